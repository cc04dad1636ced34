"""A server for the tests of services that use this client: a real socket, and no model behind it.

Example::

    import grpc
    import numpy as np

    from tritonseg import OverloadedError, RetryPolicy, SegmentationClient
    from tritonseg.testing import FakeTriton

    with FakeTriton(classes=("road", "car")) as triton:
        triton.mask = lambda image_hwc: np.uint8(image_hwc[..., 0] > 127)
        once = RetryPolicy(max_retries=0)
        client = SegmentationClient(triton.url, model=triton.model, retry=once)
        assert client.segment(np.zeros((4, 6, 3), np.uint8)).coverage["road"] == 1.0

        triton.fail(grpc.StatusCode.UNAVAILABLE, "queue full", times=1)
        try:
            client.segment(np.zeros((4, 6, 3), np.uint8))
        except OverloadedError:
            print("the service has to wait")
        client.close()

A fixture for pytest is in `tritonseg.pytest_plugin`. The server speaks what a Triton with a model
of tritonseg's speaks, as far as the clients of this package ask; their own tests use it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ._errors import ConfigurationError
from ._fake_service import Failure, FakeService, Pixels, ReceivedRequest
from ._model.metadata import (
    CONTRACT_PARAMETER,
    CONTRACT_VERSION,
    DIGEST_PARAMETER,
    MAX_CLASSES,
    MODEL_PARAMETER,
    PROVENANCE_PARAMETER,
    Color,
)
from ._version import __version__

__all__ = ["FakeTriton", "ReceivedRequest"]

METHODS: Final = (
    "ModelReady",
    "ModelMetadata",
    "ModelConfig",
    "ModelInfer",
    "RepositoryIndex",
    "SystemSharedMemoryRegister",
)
_ALWAYS: Final = 2**63
_THREADS: Final = 16


class FakeTriton:
    """Serves one model on a free port of this machine, from `start` to `stop` or in a `with` block.

    Args:
        model: Its name.
        version: Its version.
        classes: Its class names.
        palette: A colour for each; None for shades of grey.
        takes_files: Whether clients may send image files (`transport="encoded"`).
        gives_confidence: Whether clients may ask for confidence.

    Attributes:
        mask: Makes the (H, W) uint8 class map of an (H, W, 3) uint8 picture; by default the red
            value modulo the number of classes. It may raise, which is answered as a failure of the
            model.
        confidence: Makes the (H, W) uint8 confidence; by default the green value.
        edit_answer: Changes the response to an inference before it is sent, to break it.
        versions: Those that it serves; the last is the one for who names none.
        is_ready: What the server says to who asks whether the model is.
        parameters: What the model publishes about itself, JSON by key.
        requests: The pictures that came, in their order.
        calls: How often each of `METHODS` was called.
        takes_files: As the argument.
        gives_confidence: As the argument.
        failures: What `fail` asked for.
        delays_s: What `delay` asked for.
        stopping: Set while the server does not answer.

    Raises:
        ConfigurationError: There cannot be such a model.
    """

    def __init__(
        self,
        *,
        model: str = "street-demo",
        version: str = "1",
        classes: Sequence[str] = ("road", "car", "sky"),
        palette: Sequence[Color] | None = None,
        takes_files: bool = True,
        gives_confidence: bool = True,
    ) -> None:
        if not 1 <= len(classes) <= MAX_CLASSES:
            raise ConfigurationError(f"expected 1 to {MAX_CLASSES} classes, got {len(classes)}")
        self.model: str = model
        self.versions: list[str] = [version]
        self._class_count = len(classes)
        self.mask: Callable[[Pixels], Pixels] = lambda image_hwc: np.asarray(
            image_hwc[..., 0] % self._class_count, np.uint8
        )
        self.confidence: Callable[[Pixels], Pixels] = lambda image_hwc: image_hwc[..., 1]
        self.edit_answer: Callable[[service_pb2.ModelInferResponse], object] = lambda response: None
        self.is_ready: bool = True
        self.parameters: dict[str, str] = _published(
            model, classes, palette or _greys(len(classes))
        )
        self.requests: list[ReceivedRequest] = []
        self.calls: Counter[str] = Counter()
        self.takes_files: bool = takes_files
        self.gives_confidence: bool = gives_confidence
        self.failures: dict[str, Failure] = {}
        self.delays_s: dict[str, float] = {}
        self.stopping: threading.Event = threading.Event()
        self._server: grpc.Server | None = None
        self._port = 0

    def fail(
        self,
        status: grpc.StatusCode,
        details: str = "",
        *,
        method: str = "ModelInfer",
        times: int = _ALWAYS,
    ) -> None:
        """Answer the next calls with an error.

        Args:
            status: What Triton would say: UNAVAILABLE for a full queue, NOT_FOUND for no model,
                INTERNAL for a model that failed.
            details: Its words.
            method: Of `METHODS`.
            times: How many calls; 0 for none any more.
        """
        self.failures[method] = Failure(status=status, details=details, left=times)

    def delay(self, delay_s: float, *, method: str = "ModelInfer") -> None:
        """Answer all calls of a method so many seconds later, or when the server is stopped."""
        self.delays_s[method] = delay_s

    @property
    def url(self) -> str:
        """Where it answers; the same again after a `stop` and a `start`."""
        return f"127.0.0.1:{self._port}"

    def _service(self) -> FakeService:
        return FakeService(self)

    def start(self) -> None:
        """Begin to answer."""
        self.stopping.clear()
        unlimited = ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)
        options = [*unlimited, ("grpc.so_reuseport", 0)]
        self._server = grpc.server(ThreadPoolExecutor(_THREADS), options=options)
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self._service(), self._server)
        self._port = self._server.add_insecure_port(self.url)
        self._server.start()

    def stop(self) -> None:
        """End all connections, as a server does that dies; does nothing where it is stopped."""
        self.stopping.set()
        if self._server is not None:
            self._server.stop(None).wait()
        self._server = None

    def __enter__(self) -> FakeTriton:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _greys(count: int) -> list[Color]:
    return [(255 * index // count,) * 3 for index in range(count)]


def _published(model: str, classes: Sequence[str], palette: Sequence[Color]) -> dict[str, str]:
    documents: dict[str, object] = {
        CONTRACT_PARAMETER: CONTRACT_VERSION,
        MODEL_PARAMETER: {
            "name": model,
            "classes": list(classes),
            "palette": [list(color) for color in palette],
            "ignore_index": None,
            "license": "none",
            "source": "tritonseg.testing",
        },
        PROVENANCE_PARAMETER: {
            "onnx_sha256": "0" * 64,
            "precision": "fp32",
            "runtime": "none",
            "tritonseg_version": __version__,
            "engine_sha256": "0" * 64,
        },
    }
    text = json.dumps(documents, sort_keys=True)
    documents[DIGEST_PARAMETER] = hashlib.sha256(text.encode()).hexdigest()
    return {key: json.dumps(document) for key, document in documents.items()}
