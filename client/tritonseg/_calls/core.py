"""What both clients do, apart from how they wait."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from .._attempt import Purpose
from .._config import check_duration, check_model_name, check_model_version, check_request_id
from .._connection import TransportName, check_transport
from .._errors import ConfigurationError, SegmentationError
from .._model.metadata import ModelInfo
from .._pictures.image import ImageSource, read_image, read_sendable
from .._pictures.picture import Picture, RgbImage
from .._results.segmentation import Segmentation
from .._settings import ClientSettings
from .deadline import Deadline
from .endpoint import LossCounter, ModelEndpoint, ServerEndpoint
from .flow import Compute, Flow, Lock
from .inference import Question
from .listing import list_models
from .remote_model import RemoteModel
from .retry import RetryBudget
from .shared_memory import SharedMemory
from .telemetry import Call, Telemetry
from .tracing import make_tracing

_MAX_MODELS: Final = 256
"""How many models are remembered; of one that is forgotten the server is asked again."""


class ClientCore:
    """The methods of a client as flows, which its transport runs.

    Attributes:
        telemetry: What the client counts.
        memory: What it shares with its server.

    Args:
        settings: What the client was made with.
        watch: Of the connection.
        new_lock: Makes locks of the kind that the transport acquires.
    """

    def __init__(
        self, settings: ClientSettings, *, watch: LossCounter, new_lock: Callable[[], Lock]
    ) -> None:
        self._settings = settings
        self._server = ServerEndpoint(address=settings.address, watch=watch)
        self._new_lock = new_lock
        self._budget = RetryBudget()
        self.memory = SharedMemory(self._server)
        self._known_model = lru_cache(maxsize=_MAX_MODELS)(self._new_model)
        tracing = make_tracing(settings.address, wanted=settings.tracing)
        self.telemetry = Telemetry(settings.on_attempt, tracing)

    def segment(
        self,
        image: ImageSource,
        *,
        model: str | None,
        model_version: str | None,
        transport: TransportName | None,
        confidence: bool,
        timeout_s: float | None,
        request_id: str | None,
    ) -> Flow[Segmentation]:
        """Return what `segment` of a client returns."""
        deadline = self.deadline(timeout_s)
        request_id = request_id_of(request_id)
        asked = self._model(model, model_version)
        transport = self._transport_name(transport)
        with self._call("segment", asked.endpoint, request_id) as call:
            picture = yield Compute(function=lambda: self._read(image, transport))
            call.end_reading()
            question = Question(
                picture=picture,
                confidence=confidence,
                shares_memory=transport == "shared_memory",
                request_id=request_id,
                deadline=deadline,
                call=call,
            )
            return (yield from asked.segment(question))

    def describe(
        self, *, model: str | None, model_version: str | None, timeout_s: float | None
    ) -> Flow[ModelInfo]:
        """Return what `describe` of a client returns."""
        deadline = self.deadline(timeout_s)
        asked = self._model(model, model_version)
        with self._call("describe", asked.endpoint) as call:
            return (yield from asked.describe(deadline, call))

    def models(self, *, timeout_s: float | None) -> Flow[tuple[ModelInfo, ...]]:
        """Return what `models` of a client returns."""
        return (yield from list_models(self._server, self.deadline(timeout_s)))

    def is_ready(
        self, *, model: str | None, model_version: str | None, timeout_s: float
    ) -> Flow[bool]:
        """Return what `is_ready` of a client returns, or raise why the server did not say."""
        deadline = self.deadline(timeout_s)
        return (yield from self._model(model, model_version).is_ready(deadline))

    def wait_ready(
        self, *, model: str | None, model_version: str | None, timeout_s: float
    ) -> Flow[None]:
        """Return once the model is ready; raise what waiting cannot cure."""
        deadline = self.deadline(timeout_s)
        asked = self._model(model, model_version)
        with _attributed(asked.endpoint):
            yield from asked.wait_ready(deadline)

    def check_call(
        self,
        model: str | None,
        model_version: str | None,
        transport: TransportName | None,
        timeout_s: float | None,
    ) -> None:
        """Raise `ConfigurationError` for arguments with which no picture can be segmented."""
        self._model(model, model_version)
        self._transport_name(transport)
        self.deadline(timeout_s)

    def read_pixels(self, image: ImageSource) -> Flow[RgbImage]:
        """Return the pixels of a picture."""
        pixels: RgbImage = yield Compute(function=lambda: read_image(image, self._settings.limits))
        return pixels

    def attributed(
        self, model: str | None, request_id: str
    ) -> contextlib.AbstractContextManager[None]:
        """Write into every error of a call to which model and request it belongs."""
        return _attributed(self._model(model, None).endpoint, request_id)

    def deadline(self, timeout_s: float | None) -> Deadline:
        """Return the deadline of a call that begins now; None for the client's own time-out."""
        if timeout_s is None:
            return Deadline(self._settings.timeout_s)
        return Deadline(check_duration("timeout_s", timeout_s))

    @contextlib.contextmanager
    def _call(
        self, purpose: Purpose, endpoint: ModelEndpoint, request_id: str | None = None
    ) -> Iterator[Call]:
        """Watch a call, and name its model and request in its errors."""
        with (
            self.telemetry.call(
                purpose,
                model_name=endpoint.name,
                model_version=endpoint.version,
                request_id=request_id,
            ) as call,
            _attributed(endpoint, request_id),
        ):
            yield call

    def _transport_name(self, transport: TransportName | None) -> TransportName:
        if transport is None:
            return self._settings.transport
        return check_transport(transport, self._settings.address)

    def _model(self, model: str | None, model_version: str | None) -> RemoteModel:
        """Return a model by what a call says of it; the client's own model for None."""
        settings = self._settings
        name = settings.model if model is None else check_model_name(model)
        if not name:
            raise ConfigurationError(
                "which model? give model= to the client or to the call, or set TRITONSEG_MODEL"
            )
        version = check_model_version(model_version)
        if model_version is None and name == settings.model:
            version = settings.model_version
        return self._known_model(name, version)

    def _new_model(self, name: str, version: str) -> RemoteModel:
        return RemoteModel(
            self._server.model(name, version),
            retry=self._settings.retry,
            budget=self._budget,
            memory=self.memory,
            lock=self._new_lock(),
        )

    def _read(self, image: ImageSource, transport: TransportName) -> Picture:
        """Read a picture, a file only as far as it must be read to be sent."""
        read = read_sendable if transport == "encoded" else read_image
        return read(image, self._settings.limits)


@contextlib.contextmanager
def _attributed(endpoint: ModelEndpoint, request_id: str | None = None) -> Iterator[None]:
    """Write into every error of a call to which model and request it belongs."""
    try:
        yield
    except SegmentationError as error:
        error.model_name = endpoint.name
        error.request_id = request_id
        raise


def request_id_of(given: str | None) -> str:
    """Return the identifier of a request; one is made up for None.

    Raises:
        ConfigurationError: It is not fit for logs.
    """
    return uuid.uuid4().hex if given is None else check_request_id(given)
