"""The client: pictures in, class maps out."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TypeVar

import grpc

from ._attempt import AttemptHook
from ._calls.core import ClientCore
from ._calls.many import OnError, check_many, in_threads
from ._calls.telemetry import ClientStatistics
from ._channels.channel import ChannelSettings
from ._channels.threads import GrpcTransport
from ._config import ImageLimits, RetryPolicy
from ._connection import CompressionName, TransportName
from ._errors import ClientClosedError, ConfigurationError, SegmentationError
from ._model.metadata import ModelInfo
from ._pictures.image import ImageSource
from ._results.segmentation import Segmentation
from ._settings import ClientSettings, remade
from ._tiles.picture import TiledCall
from ._tiles.running import segment_in_tiles
from ._tiles.tiling import TilingOption, check_tiling

_Source = TypeVar("_Source", bound=ImageSource)


class SegmentationClient:
    """A connection to the segmentation models of a Triton server.

    Make one client and keep it: it may be shared by any number of threads, and reconnects by
    itself. It must not be shared across a fork. Nothing is sent before the first method call.

    Args:
        url: The server's gRPC address, 'host:port' or 'unix:/path'. With 'dns:///name:port', or
            'ipv4:10.0.0.1:8001,10.0.0.2:8001', several servers take turns.
        model: The model's name on the server; None if every call says which.
        model_version: Which of its versions, as '2'; None for the highest that it serves, which
            another may follow while the client lives.
        timeout_s: Seconds within which a call must end, retries and all; 30 by default.
        retry: How requests that the server could not take are sent again.
        limits: What pictures to accept.
        transport: 'raw' decodes here and sends pixels. 'encoded' sends JPEG, PNG and WebP files
            as they are, for thin links; what a server does not decode still goes as pixels.
            'shared_memory' leaves pixels where a server on this host reads them, and sends them to
            one that does not take that. 'raw' by default.
        compression: Of requests: 'none', 'gzip' or 'deflate'. 'none' by default.
        credentials: From `grpc.ssl_channel_credentials`, for a server behind TLS, with a
            certificate of the client's own if that asks for one; without them the connection is in
            the clear.
        headers: Sent with every call, as {"triton-grpc-protocol-KEY": "VALUE"} for a Triton with
            `--grpc-restricted-protocol`. Never printed.
        token: Sent as "authorization: Bearer TOKEN", with `credentials` only. Never printed.
        on_attempt: Called with an `Attempt` after each one, in the thread or task that made it;
            what it raises is logged.
        tracing: Whether every call is a span of OpenTelemetry's, and the server is told of it.

    For `url`, `model`, `model_version`, `timeout_s`, `transport`, `compression` and `token` a
    variable TRITONSEG_URL and so on stands in, where the argument is None.

    Raises:
        ConfigurationError: An argument or a variable can never work.

    Example:
        >>> client = SegmentationClient("localhost:8001", model="street-demo")
        >>> client
        SegmentationClient('localhost:8001', model='street-demo')
        >>> client.close()
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        model: str | None = None,
        model_version: str | None = None,
        timeout_s: float | None = None,
        retry: RetryPolicy | None = None,
        limits: ImageLimits | None = None,
        transport: TransportName | None = None,
        compression: CompressionName | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        on_attempt: AttemptHook | None = None,
        tracing: bool = False,
    ) -> None:
        self._settings = ClientSettings.of(
            url,
            model=model,
            model_version=model_version,
            timeout_s=timeout_s,
            retry=retry,
            limits=limits,
            transport=transport,
            compression=compression,
            credentials=credentials,
            headers=headers,
            token=token,
            on_attempt=on_attempt,
            tracing=tracing,
        )
        self._transport = GrpcTransport(ChannelSettings.of(self._settings))
        self._core = ClientCore(
            self._settings, watch=self._transport.watch, new_lock=threading.Lock
        )
        self._closing = threading.Lock()
        # At the interpreter's exit, too, and where nobody has the client any more.
        self._forget_memory = weakref.finalize(self, self._transport.forget, self._core.memory)

    def segment(
        self,
        image: ImageSource,
        *,
        model: str | None = None,
        model_version: str | None = None,
        transport: TransportName | None = None,
        confidence: bool = False,
        tiling: TilingOption | None = None,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> Segmentation:
        """Compute the class of every pixel of a picture.

        Args:
            image: A path, the bytes of an image file (BMP, JPEG, PNG, TIFF, WebP), a PIL image,
                or an (H, W, 3) uint8 array, RGB, 0–255. Pictures are taken as they are
                displayed: turned by their EXIF orientation, transparent pixels on
                `ImageLimits.background`. CMYK colours are converted without a profile.
            model: In place of the client's own.
            model_version: Of the model; None for the client's, where the model is the client's,
                else for the highest.
            transport: In place of the client's own.
            confidence: Whether to ask how sure the model is of each pixel; doubles the answer.
            tiling: For pictures far larger than the network's input: sends them in overlapping
                tiles, "auto" by what the model says of itself. `Segmentation.tiling` has whether
                the mask is the untiled one. None sends the picture as it is.
            timeout_s: Seconds for this call, in place of the client's own.
            request_id: Identifier for logs on both sides; up to 128 of A–Z a–z 0–9 . _ : -.
                One is made up if None.

        Returns:
            The class map at the picture's own resolution, and what goes with it.

        Raises:
            ConfigurationError: An argument is unusable, no model is named, or the model gives no
                confidence.
            InvalidImageError: The picture cannot be segmented.
            TransportError: The request or its answer did not get through in time.
            ServerError: The server answered with an error.
            ProtocolError: The server's answer breaks the contract.
            ClientClosedError: The client is closed, or belongs to another process.
        """
        self._transport.require_open()
        if tiling is not None:
            tiled = TiledCall.of(
                self._core,
                tiling,
                model=model,
                model_version=model_version,
                transport=transport,
                confidence=confidence,
                timeout_s=timeout_s,
                request_id=request_id,
            )
            return segment_in_tiles(tiled, image, self._transport.run)
        return self._transport.run(
            self._core.segment(
                image,
                model=model,
                model_version=model_version,
                transport=transport,
                confidence=confidence,
                timeout_s=timeout_s,
                request_id=request_id,
            )
        )

    def segment_many(
        self,
        images: Iterable[_Source],
        *,
        max_in_flight: int = 8,
        ordered: bool = True,
        on_error: OnError = "return",
        model: str | None = None,
        model_version: str | None = None,
        transport: TransportName | None = None,
        confidence: bool = False,
        tiling: TilingOption | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[tuple[_Source, Segmentation | SegmentationError]]:
        """Segment pictures side by side, and yield each with what became of it.

        One bad picture stops no other. Pictures are taken from `images` only as fast as results are
        taken from here, and decoded while the server computes others. What has begun when you stop
        taking ends in the background, unheard.

        Args:
            images: What `segment` takes, one after the other; may be endless. It is advanced in
                the calling thread.
            max_in_flight: How many are segmented at once, each in a thread; twice as many pictures
                and results are held at most. A server of one engine is busy with 4 to 8; all
                callers together should stay below its queue's limit.
            ordered: Yield in the order of `images`; False yields as they are done.
            on_error: "return" yields a picture's error in the place of its result; "raise" raises
                it there.
            model: As for `segment`.
            model_version: As for `segment`.
            transport: As for `segment`.
            confidence: As for `segment`.
            tiling: As for `segment`; each picture's tiles count as one of `max_in_flight`.
            timeout_s: Seconds for each picture, in place of the client's own.

        Raises:
            ConfigurationError: An argument is unusable.
            SegmentationError: With `on_error="raise"`: what `segment` raises.
            ClientClosedError: The client is closed, or belongs to another process.

        Example:
            >>> import numpy as np
            >>> with SegmentationClient("localhost:9", model="street-demo", timeout_s=1) as client:
            ...     for image, result in client.segment_many([np.zeros((2, 2, 3), np.uint8)]):
            ...         if isinstance(result, SegmentationError):
            ...             print(type(result).__name__)
            ConnectError
        """
        self._transport.require_open()
        check_many(images, max_in_flight, on_error)
        self._core.check_call(model, model_version, transport, timeout_s)
        if tiling is not None:
            check_tiling(tiling)

        def outcome_of(image: ImageSource) -> Segmentation | SegmentationError:
            try:
                return self.segment(
                    image,
                    model=model,
                    model_version=model_version,
                    transport=transport,
                    confidence=confidence,
                    tiling=tiling,
                    timeout_s=timeout_s,
                )
            except ClientClosedError:
                raise  # no picture's error, and that of all that follow
            except SegmentationError as error:
                return error

        return in_threads(
            images,
            outcome_of,
            max_in_flight=max_in_flight,
            ordered=ordered,
            on_error=on_error,
        )

    @property
    def model(self) -> ModelInfo:
        """What `describe` returns."""
        return self.describe()

    def describe(
        self,
        *,
        model: str | None = None,
        model_version: str | None = None,
        timeout_s: float | None = None,
    ) -> ModelInfo:
        """Return what the server says about a model; asked for once, then remembered.

        Args:
            model: As for `segment`.
            model_version: As for `segment`.
            timeout_s: Seconds for this call, in place of the client's own.

        Raises:
            ConfigurationError: An argument is unusable, or no model is named.
            TransportError: The question or its answer did not get through in time.
            ServerError: The server answered with an error.
            ProtocolError: The model is not one that this client understands.
            ClientClosedError: The client is closed, or belongs to another process.
        """
        self._transport.require_open()
        flow = self._core.describe(model=model, model_version=model_version, timeout_s=timeout_s)
        return self._transport.run(flow)

    def models(self, *, timeout_s: float | None = None) -> tuple[ModelInfo, ...]:
        """Return what the server serves for this client, by name and version.

        Models of other kinds, and the steps of an ensemble, are left out. Not retried.

        Args:
            timeout_s: Seconds for this call, in place of the client's own.

        Raises:
            ConfigurationError: `timeout_s` is unusable.
            AccessDeniedError: The server does not tell everybody which models it has.
            TransportError: A question or its answer did not get through in time.
            ServerError: The server answered with an error.
            ProtocolError: A model's description breaks the contract.
            ClientClosedError: The client is closed, or belongs to another process.
        """
        self._transport.require_open()
        return self._transport.run(self._core.models(timeout_s=timeout_s))

    def is_ready(
        self,
        *,
        model: str | None = None,
        model_version: str | None = None,
        timeout_s: float = 5.0,
    ) -> bool:
        """Return whether the server says that it can segment pictures now.

        A server that cannot be reached, refuses to say or does not answer in time is not ready.

        Args:
            model: As for `segment`.
            model_version: As for `segment`.
            timeout_s: Seconds to wait for its answer.

        Raises:
            ConfigurationError: An argument is unusable, or no model is named.
            ClientClosedError: The client is closed, or belongs to another process.
        """
        self._transport.require_open()
        flow = self._core.is_ready(model=model, model_version=model_version, timeout_s=timeout_s)
        try:
            return self._transport.run(flow)
        except ConfigurationError:
            raise
        except SegmentationError:
            self._transport.require_open()
            return False

    def wait_ready(
        self,
        *,
        model: str | None = None,
        model_version: str | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        """Wait until the server can segment pictures.

        Args:
            model: As for `segment`.
            model_version: As for `segment`.
            timeout_s: Seconds to wait at most.

        Raises:
            ConfigurationError: An argument is unusable, or no model is named.
            TransportError: Until then the server could not be reached.
            ServerError: Until then the model was not ready, or the server refuses to say.
            ClientClosedError: The client is closed, or belongs to another process.
        """
        self._transport.require_open()
        self._transport.run(
            self._core.wait_ready(model=model, model_version=model_version, timeout_s=timeout_s)
        )

    @property
    def statistics(self) -> ClientStatistics:
        """What the client has counted since it was made."""
        return self._core.telemetry.statistics

    def close(self) -> None:
        """Close the connection; calls under way end with `ClientClosedError`."""
        with self._closing:  # whoever else closes waits until the server was told
            self._forget_memory()
            self._transport.close()

    def __enter__(self) -> SegmentationClient:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., SegmentationClient], tuple[object, ...]]:
        return remade, (type(self), self._settings.arguments())

    def __repr__(self) -> str:
        return self._settings.repr_of(self)
