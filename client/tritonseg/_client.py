"""The client: pictures in, class maps out."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, TypeVar

import grpc

from ._config import (
    ImageLimits,
    RetryPolicy,
    check_address,
    check_duration,
    check_model_name,
    check_request_id,
)
from ._deadline import Deadline
from ._errors import (
    DeadlineExceededError,
    ModelNotFoundError,
    ModelNotReadyError,
    SegmentationError,
)
from ._image import ImageSource, read_image
from ._metadata import ModelInfo, parse_model_info
from ._protocol import build_infer_request, check_tensors, parse_infer_response
from ._result import Segmentation
from ._retry import RetryBudget, RetrySequence
from ._transport import GrpcTransport

_PROBE_TIMEOUT_S: Final = 5.0
_PROBE_INTERVAL_S: Final = 0.2

_logger = logging.getLogger("tritonseg")
_T = TypeVar("_T")


class SegmentationClient:
    """A connection to one segmentation model on one Triton server.

    Make one client and keep it: it may be shared by any number of threads, and reconnects by
    itself. It must not be shared across a fork. Nothing is sent before the first method call.

    Args:
        url: The server's gRPC address, 'host:port'.
        model: The model's name on the server.
        timeout_s: Seconds within which a call must end, retries and all.
        retry: How requests that the server could not take are sent again.
        limits: What pictures to accept.
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
        timeout_s: float = 30.0,
        retry: RetryPolicy | None = None,
        limits: ImageLimits | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._address = check_address(url)
        self._model_name = check_model_name(model)
        self._timeout_s = check_duration("timeout_s", timeout_s)
        self._retry = RetryPolicy() if retry is None else retry
        self._limits = ImageLimits() if limits is None else limits
        self._budget = RetryBudget()
        self._model: ModelInfo | None = None
        self._model_lock = threading.Lock()
        self._transport = GrpcTransport(
            self._address,
            model_name=self._model_name,
            max_response_pixels=self._limits.max_pixels,
            credentials=credentials,
        )

    def segment(
        self,
        image: ImageSource,
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> Segmentation:
        """Compute the class of every pixel of a picture.

        Args:
            image: A path, the bytes of an image file (BMP, JPEG, PNG, TIFF, WebP), a PIL image,
                or an (H, W, 3) uint8 array, RGB, 0–255. Pictures are taken as they are
                displayed: turned by their EXIF orientation, transparent pixels on
                `ImageLimits.background`. CMYK colours are converted without a profile.
            timeout_s: Seconds for this call, in place of the client's own.
            request_id: Identifier for logs on both sides; up to 128 of A–Z a–z 0–9 . _ : -.
                One is made up if None.

        Returns:
            The class map at the picture's own resolution, and what goes with it.

        Raises:
            ConfigurationError: `timeout_s` or `request_id` is unusable.
            InvalidImageError: The picture cannot be segmented.
            TransportError: The request or its answer did not get through in time.
            ServerError: The server answered with an error.
            ProtocolError: The server's answer breaks the contract.
            ClientClosedError: The client is closed, or belongs to another process.
        """
        deadline = self._start(timeout_s)
        request_id = uuid.uuid4().hex if request_id is None else check_request_id(request_id)
        with self._attribute_errors(request_id):
            rgb = read_image(image, self._limits)
            model = self._describe_model(deadline)
            request = build_infer_request(
                model_name=self._model_name, request_id=request_id, image=rgb
            )
            response = self._send(lambda left_s: self._transport.infer(request, left_s), deadline)
            class_map = parse_infer_response(
                response, request=request, class_count=len(model.classes)
            )
        return Segmentation(
            class_map=class_map,
            image_hwc=rgb.array_hwc,
            stored_size=rgb.stored_size,
            model=model,
            model_version=response.model_version,
            request_id=request_id,
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
            return self._describe_model(deadline)

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

    def _describe_model(self, deadline: Deadline) -> ModelInfo:
        if self._model is not None:
            return self._model
        # Another thread may be asking, with a later deadline than this call's.
        while not self._model_lock.acquire(timeout=deadline.require_s()):
            continue
        try:
            if self._model is None:
                metadata = self._send(self._transport.fetch_metadata, deadline)
                check_tensors(metadata)
                parameters = self._send(self._transport.fetch_parameters, deadline)
                self._model = parse_model_info(
                    self._model_name, versions=metadata.versions, parameters=parameters
                )
            return self._model
        finally:
            self._model_lock.release()

    def _send(self, call: Callable[[float], _T], deadline: Deadline) -> _T:
        """Make a call with the time that is left, and again as the retry policy allows."""
        sequence = RetrySequence(self._retry, self._budget)
        while True:
            left_s = deadline.require_s()
            try:
                return call(left_s)
            except SegmentationError as error:
                error.attempts = sequence.attempts
                delay_s = sequence.next_delay_s(error, deadline.remaining_s())
                if delay_s is None:
                    raise
                _logger.info("%s; next attempt in %.2f s", error, delay_s)
            self._transport.pause(delay_s)

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
