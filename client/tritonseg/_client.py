"""The client: pictures in, class maps out."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from types import TracebackType
from typing import Final

import grpc

from ._config import (
    ImageLimits,
    RetryPolicy,
    TransportName,
    check_address,
    check_duration,
    check_model_name,
    check_model_version,
    check_request_id,
    check_transport,
)
from ._deadline import Deadline
from ._errors import (
    DeadlineExceededError,
    ModelNotFoundError,
    ModelNotReadyError,
    SegmentationError,
)
from ._image import ImageSource, read_image, read_sendable
from ._metadata import ModelInfo
from ._remote_model import RemoteModel
from ._result import Segmentation
from ._transport import GrpcTransport

_MAPS_PER_ANSWER: Final = 2
"""Class map and confidence, a byte a pixel each."""

_PROBE_TIMEOUT_S: Final = 5.0
_PROBE_INTERVAL_S: Final = 0.2


class SegmentationClient:
    """A connection to one segmentation model on one Triton server.

    Make one client and keep it: it may be shared by any number of threads, and reconnects by
    itself. It must not be shared across a fork. Nothing is sent before the first method call.

    Args:
        url: The server's gRPC address, 'host:port'.
        model: The model's name on the server.
        model_version: Which of its versions, as '2'; None for the highest that it serves, which
            another may follow while the client lives.
        timeout_s: Seconds within which a call must end, retries and all.
        retry: How requests that the server could not take are sent again.
        limits: What pictures to accept.
        transport: 'raw' decodes here and sends pixels. 'encoded' sends JPEG, PNG and WebP files
            as they are, for thin links; what a server does not decode still goes as pixels.
        credentials: From `grpc.ssl_channel_credentials`, for a server behind TLS; without them
            the connection is in the clear.

    Raises:
        ConfigurationError: An argument can never work.

    Example:
        >>> client = SegmentationClient("localhost:8001", model="street-demo")
        >>> client
        SegmentationClient('localhost:8001', model='street-demo')
        >>> client.close()
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
    ) -> None:
        self._address = check_address(url)
        self._model_name = check_model_name(model)
        self._timeout_s = check_duration("timeout_s", timeout_s)
        self._limits = ImageLimits() if limits is None else limits
        self._read = read_sendable if check_transport(transport) == "encoded" else read_image
        self._transport = GrpcTransport(
            self._address,
            model_name=self._model_name,
            model_version=check_model_version(model_version),
            max_response_bytes=_MAPS_PER_ANSWER * self._limits.max_pixels,
            credentials=credentials,
        )
        self._remote_model = RemoteModel(
            self._model_name,
            transport=self._transport,
            retry=RetryPolicy() if retry is None else retry,
        )

    def segment(
        self,
        image: ImageSource,
        *,
        confidence: bool = False,
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
            timeout_s: Seconds for this call, in place of the client's own.
            request_id: Identifier for logs on both sides; up to 128 of A–Z a–z 0–9 . _ : -.
                One is made up if None.

        Returns:
            The class map at the picture's own resolution, and what goes with it.

        Raises:
            ConfigurationError: `timeout_s` or `request_id` is unusable, or the model gives no
                confidence.
            InvalidImageError: The picture cannot be segmented.
            TransportError: The request or its answer did not get through in time.
            ServerError: The server answered with an error.
            ProtocolError: The server's answer breaks the contract.
            ClientClosedError: The client is closed, or belongs to another process.
        """
        deadline = self._start(timeout_s)
        request_id = uuid.uuid4().hex if request_id is None else check_request_id(request_id)
        with self._attribute_errors(request_id):
            picture = self._read(image, self._limits)
            return self._remote_model.segment(
                picture, confidence=confidence, request_id=request_id, deadline=deadline
            )

    @property
    def model(self) -> ModelInfo:
        """What the server says about its model; asked for once, then remembered.

        Raises:
            TransportError: The question or its answer did not get through in time.
            ServerError: The server answered with an error.
            ProtocolError: The model is not one that this client understands.
            ClientClosedError: The client is closed, or belongs to another process.
        """
        deadline = self._start(None)
        with self._attribute_errors(None):
            return self._remote_model.describe(deadline)

    def is_ready(self, *, timeout_s: float = _PROBE_TIMEOUT_S) -> bool:
        """Return whether the server says that it can segment pictures now.

        A server that cannot be reached, refuses to say or does not answer in time is not ready.

        Args:
            timeout_s: Seconds to wait for its answer.

        Raises:
            ConfigurationError: `timeout_s` is unusable.
            ClientClosedError: The client is closed, or belongs to another process.
        """
        deadline = self._start(timeout_s)
        try:
            return self._transport.is_model_ready(deadline.require_s())
        except SegmentationError:
            self._transport.require_open()
            return False

    def wait_ready(self, *, timeout_s: float = 60.0) -> None:
        """Wait until the server can segment pictures.

        Args:
            timeout_s: Seconds to wait at most.

        Raises:
            ConfigurationError: `timeout_s` is unusable.
            TransportError: Until then the server could not be reached.
            ServerError: Until then the model was not ready, or the server refuses to say.
            ClientClosedError: The client is closed, or belongs to another process.
        """
        deadline = self._start(timeout_s)
        with self._attribute_errors(None):
            while (error := self._probe(deadline)) is not None:
                if deadline.remaining_s() <= _PROBE_INTERVAL_S:
                    raise error
                self._transport.pause(_PROBE_INTERVAL_S)

    def close(self) -> None:
        """Close the connection; calls under way end with `ClientClosedError`."""
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

    def __repr__(self) -> str:
        return f"SegmentationClient({self._address!r}, model={self._model_name!r})"

    def _start(self, timeout_s: float | None) -> Deadline:
        self._transport.require_open()
        if timeout_s is None:
            return Deadline(self._timeout_s)
        return Deadline(check_duration("timeout_s", timeout_s))

    @contextlib.contextmanager
    def _attribute_errors(self, request_id: str | None) -> Iterator[None]:
        try:
            yield
        except SegmentationError as error:
            error.model_name = self._model_name
            error.request_id = request_id
            raise

    def _probe(self, deadline: Deadline) -> SegmentationError | None:
        """Return None if the model is ready, else why not; raise what waiting cannot cure."""
        try:
            ready = self._transport.is_model_ready(min(deadline.require_s(), _PROBE_TIMEOUT_S))
        except (DeadlineExceededError, ModelNotFoundError) as error:
            return error
        except SegmentationError as error:
            if not error.retryable:
                raise
            return error
        if ready:
            return None
        return ModelNotReadyError(
            f"model '{self._model_name}' at {self._address} is not ready; "
            "the server's log says whether it is still loading, failed to load or is unknown",
            retryable=True,
        )
