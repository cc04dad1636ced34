"""The client for asyncio: pictures in, class maps out."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from types import TracebackType
from typing import TypeVar

import grpc

from ._aio_transport import AioLock, AioTransport
from ._config import ImageLimits, RetryPolicy, TransportName
from ._errors import ClientClosedError, SegmentationError
from ._image import ImageSource
from ._many import OnError, check_many, in_tasks
from ._metadata import ModelInfo
from ._result import Segmentation
from ._settings import ClientSettings, remade, request_id_of
from ._tiled import segment_in_tasks
from ._tiled_picture import TiledCall
from ._tiling import TilingOption

_Source = TypeVar("_Source", bound=ImageSource)


class AsyncSegmentationClient:
    """A connection to one segmentation model on one Triton server, for asyncio.

    Does what `SegmentationClient` does, by the same names; what that returns is awaited here.
    Pictures are decoded in threads of the event loop's. Make one client and keep it: it may be
    shared by any number of tasks of one loop, and reconnects by itself. A task that is cancelled
    takes its request with it. Nothing is sent before the first method call.

    Args:
        url: The server's gRPC address, 'host:port' or 'unix:/path'. With 'dns:///name:port', or
            'ipv4:10.0.0.1:8001,10.0.0.2:8001', several servers take turns.
        model: The model's name on the server.
        model_version: Which of its versions, as '2'; None for the highest that it serves, which
            another may follow while the client lives.
        timeout_s: Seconds within which a call must end, retries and all.
        retry: How requests that the server could not take are sent again.
        limits: What pictures to accept.
        transport: 'raw' decodes here and sends pixels. 'encoded' sends JPEG, PNG and WebP files
            as they are, for thin links; what a server does not decode still goes as pixels.
        credentials: From `grpc.ssl_channel_credentials`, for a server behind TLS, with a
            certificate of the client's own if that asks for one; without them the connection is in
            the clear.
        headers: Sent with every call, as {"triton-grpc-protocol-KEY": "VALUE"} for a Triton with
            `--grpc-restricted-protocol`. Never printed.
        token: Sent as "authorization: Bearer TOKEN", with `credentials` only. Never printed.

    Raises:
        ConfigurationError: An argument can never work.

    Example:
        >>> import asyncio
        >>> async def main() -> None:
        ...     async with AsyncSegmentationClient("localhost:8001", model="street-demo") as client:
        ...         print(client)
        >>> asyncio.run(main())
        AsyncSegmentationClient('localhost:8001', model='street-demo')
    """

    def __init__(
        self,
        url: str,
        *,
        model: str,
        model_version: str | None = None,
        timeout_s: float = 30.0,
        retry: RetryPolicy | None = None,
        limits: ImageLimits | None = None,
        transport: TransportName = "raw",
        credentials: grpc.ChannelCredentials | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> None:
        self._settings = ClientSettings.of(
            url,
            model=model,
            model_version=model_version,
            timeout_s=timeout_s,
            retry=retry,
            limits=limits,
            transport=transport,
            credentials=credentials,
            headers=headers,
            token=token,
        )
        self._transport = AioTransport(
            self._settings.address,
            max_response_bytes=self._settings.max_response_bytes,
            credentials=credentials,
            headers=self._settings.headers,
        )
        self._remote_model = self._settings.remote_model(self._transport.watch, AioLock())

    async def segment(
        self,
        image: ImageSource,
        *,
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
            ConfigurationError: `timeout_s`, `tiling` or `request_id` is unusable, or the model
                gives no confidence.
            InvalidImageError: The picture cannot be segmented.
            TransportError: The request or its answer did not get through in time.
            ServerError: The server answered with an error.
            ProtocolError: The server's answer breaks the contract.
            ClientClosedError: The client is closed, or belongs to another process.
        """
        self._transport.require_open()
        if tiling is not None:
            call = TiledCall.of(
                self._settings,
                tiling,
                confidence=confidence,
                timeout_s=timeout_s,
                request_id=request_id,
            )
            return await segment_in_tasks(
                call,
                image,
                segment=self.segment,
                describe=lambda until: self._transport.run(self._remote_model.describe(until)),
                compute=self._transport.compute,
            )
        settings, deadline = self._settings, self._settings.deadline(timeout_s)
        request_id = request_id_of(request_id)
        with settings.attributed(request_id):
            picture = await self._transport.compute(lambda: settings.read(image))
            flow = self._remote_model.segment(
                picture, confidence=confidence, request_id=request_id, deadline=deadline
            )
            return await self._transport.run(flow)

    def segment_many(
        self,
        images: Iterable[_Source] | AsyncIterable[_Source],
        *,
        max_in_flight: int = 8,
        ordered: bool = True,
        on_error: OnError = "return",
        confidence: bool = False,
        tiling: TilingOption | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[tuple[_Source, Segmentation | SegmentationError]]:
        """Segment pictures side by side, and yield each with what became of it.

        One bad picture stops no other. Pictures are taken from `images` only as fast as results are
        taken from here, and decoded in threads meanwhile. What has begun when you stop taking is
        cancelled.

        Args:
            images: What `segment` takes, one after the other, from an iterable or an asynchronous
                one; may be endless.
            max_in_flight: How many are segmented at once, each in a task; twice as many pictures
                and results are held at most. A server of one engine is busy with 4 to 8; all
                callers together should stay below its queue's limit.
            ordered: Yield in the order of `images`; False yields as they are done.
            on_error: "return" yields a picture's error in the place of its result; "raise" raises
                it there.
            confidence: As for `segment`.
            tiling: As for `segment`; each picture's tiles count as one of `max_in_flight`.
            timeout_s: Seconds for each picture, in place of the client's own.

        Raises:
            ConfigurationError: An argument is unusable.
            SegmentationError: With `on_error="raise"`: what `segment` raises.
            ClientClosedError: The client is closed, or belongs to another process.
        """
        self._transport.require_open()
        check_many(images, max_in_flight, on_error)
        self._settings.deadline(timeout_s)

        async def outcome_of(image: ImageSource) -> Segmentation | SegmentationError:
            try:
                return await self.segment(
                    image, confidence=confidence, tiling=tiling, timeout_s=timeout_s
                )
            except ClientClosedError:
                raise  # no picture's error, and that of all that follow
            except SegmentationError as error:
                return error

        return in_tasks(
            images,
            outcome_of,
            max_in_flight=max_in_flight,
            ordered=ordered,
            on_error=on_error,
        )

    async def describe(self) -> ModelInfo:
        """Return what the server says about its model; asked for once, then remembered.

        Raises:
            TransportError: The question or its answer did not get through in time.
            ServerError: The server answered with an error.
            ProtocolError: The model is not one that this client understands.
            ClientClosedError: The client is closed, or belongs to another process.
        """
        self._transport.require_open()
        with self._settings.attributed(None):
            flow = self._remote_model.describe(self._settings.deadline(None))
            return await self._transport.run(flow)

    async def is_ready(self, *, timeout_s: float = 5.0) -> bool:
        """Return whether the server says that it can segment pictures now.

        A server that cannot be reached, refuses to say or does not answer in time is not ready.

        Args:
            timeout_s: Seconds to wait for its answer.

        Raises:
            ConfigurationError: `timeout_s` is unusable.
            ClientClosedError: The client is closed, or belongs to another process.
        """
        self._transport.require_open()
        deadline = self._settings.deadline(timeout_s)
        try:
            return await self._transport.run(self._remote_model.is_ready(deadline))
        except SegmentationError:
            self._transport.require_open()
            return False

    async def wait_ready(self, *, timeout_s: float = 60.0) -> None:
        """Wait until the server can segment pictures.

        Args:
            timeout_s: Seconds to wait at most.

        Raises:
            ConfigurationError: `timeout_s` is unusable.
            TransportError: Until then the server could not be reached.
            ServerError: Until then the model was not ready, or the server refuses to say.
            ClientClosedError: The client is closed, or belongs to another process.
        """
        self._transport.require_open()
        deadline = self._settings.deadline(timeout_s)
        with self._settings.attributed(None):
            await self._transport.run(self._remote_model.wait_ready(deadline))

    async def close(self) -> None:
        """Close the connection; calls under way end with `ClientClosedError`."""
        await self._transport.close()

    async def __aenter__(self) -> AsyncSegmentationClient:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __reduce__(self) -> tuple[Callable[..., AsyncSegmentationClient], tuple[object, ...]]:
        return remade, (type(self), self._settings.arguments())

    def __repr__(self) -> str:
        return (
            f"AsyncSegmentationClient({self._settings.address!r}, model={self._settings.model!r})"
        )
