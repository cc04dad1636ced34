"""A Triton that answers on the loopback interface, as told, by a wire that can be cut.

The servicer is the one from tritonclient's generated code and the answers travel over real gRPC,
so what the client meets here is what it meets in production, errors included.
"""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

import tritonseg
from blocking_client import BlockingClient, LoopThread
from tritonseg._fake_service import FakeService
from tritonseg.testing import FakeTriton
from tritonseg_steps.encoded_image import EncodedImageError, decode_rgb
from wire import Wire

CLASSES = ("road", "car", "sky", "person", "tree")
DIGEST = bytes(range(100, 132))
PALETTE = ((128, 64, 128), (0, 0, 142), (70, 130, 180), (220, 20, 60), (107, 142, 35))


def make_parameters() -> dict[str, str]:
    documents = {
        "tritonseg_contract": "3",
        "tritonseg_model": {
            "name": "street-demo",
            "classes": list(CLASSES),
            "palette": [list(color) for color in PALETTE],
            "ignore_index": 255,
            "license": "Apache-2.0",
            "source": "trained for this test",
        },
        "tritonseg_provenance": {
            "onnx_sha256": "0123456789abcdef" * 4,
            "precision": "fp32",
            "runtime": "openvino",
            "tritonseg_version": "0.1.0",
        },
        "tritonseg_digest": DIGEST.hex(),
    }
    return {key: json.dumps(document) for key, document in documents.items()}


class LoopbackTriton(FakeTriton):
    """The public fake, with what only these tests want of it: held calls, broken descriptions.

    Files are decoded by what decodes them in a real server.
    """

    def __init__(self) -> None:
        super().__init__(classes=CLASSES, palette=PALETTE)
        self.parameters = make_parameters()
        self.versions = ["1", "9", "10"]
        self.gives_digest = True
        self.most_at_once: Counter[str] = Counter()
        self.cancelled: list[str] = []
        self.metadata: list[tuple[tuple[str, str], ...]] = []
        self.raw_requests: list[service_pb2.ModelInferRequest] = []
        self.decode = decode_rgb
        self.edit_metadata = lambda response: None
        self.is_held = lambda request: False
        self.held_until = threading.Event()

    def hold(self, is_held: Callable[[object], bool], until: threading.Event) -> None:
        """Answer those inferences only after the event."""
        self.is_held, self.held_until = is_held, until

    def _service(self) -> FakeService:
        return LoopbackService(self)


class LoopbackService(FakeService):
    """Notes and holds what goes through it."""

    def __init__(self, fake: LoopbackTriton) -> None:
        super().__init__(fake)
        self._inferring: list[object] = []

    def ModelMetadata(self, request, context):
        response = super().ModelMetadata(request, context)
        response.outputs.add(name="CLASS_PIXELS", datatype="INT64", shape=[-1, len(CLASSES)])
        if not self._fake.gives_digest:
            kept = [output for output in response.outputs if output.name != "MODEL_DIGEST"]
            del response.outputs[:]
            response.outputs.extend(kept)
        self._fake.edit_metadata(response)
        return response

    def ModelInfer(self, request, context):
        with self._lock:
            self._inferring.append(request)
            at_once = max(self._fake.most_at_once["ModelInfer"], len(self._inferring))
            self._fake.most_at_once["ModelInfer"] = at_once
        context.add_callback(partial(self._note_cancelled, request))
        try:
            self._fake.raw_requests.append(request)
            return super().ModelInfer(request, context)
        finally:
            with self._lock:
                self._inferring = [one for one in self._inferring if one is not request]

    def _note_cancelled(self, request):
        """Called when a call ends: before its handler does, nobody waits for it any more."""
        if any(one is request for one in self._inferring):
            self._fake.cancelled.append("ModelInfer")

    def _begin(self, method, context):
        self._fake.metadata.append(context.invocation_metadata())
        super()._begin(method, context)

    def _received(self, request, context):
        if self._fake.is_held(request):
            self._fake.held_until.wait(20)
        return super()._received(request, context)

    def _decoded(self, encoded, context):
        try:
            return self._fake.decode(encoded)
        except EncodedImageError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"ENCODED_IMAGE: {error}")


@pytest.fixture
def triton():
    server = LoopbackTriton()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def wire(triton):
    wire = Wire(int(triton.url.rpartition(":")[2]))
    yield wire
    wire.close()


@pytest.fixture
def silent_address():
    """Address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def refused_address():
    """Address at which nothing listens; bound, so that nothing else comes to listen there."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture(scope="session")
def loop_thread():
    return LoopThread()


@pytest.fixture(params=["threads", "asyncio"])
def new_client(request, loop_thread):
    """Both clients, by the same methods."""
    if request.param == "threads":
        return tritonseg.SegmentationClient
    return partial(BlockingClient, thread=loop_thread)


@pytest.fixture
def connect(new_client):
    """Make clients that are closed after the test, by default with hardly any pause to retry."""
    clients = []

    def connect(address: str, **options):
        options.setdefault("model", "street-demo")
        options.setdefault("timeout_s", 10.0)
        options.setdefault("retry", tritonseg.RetryPolicy(initial_delay_s=0.01, max_delay_s=0.02))
        client = new_client(address, **options)
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def client(triton, connect):
    return connect(triton.url)


@pytest.fixture
def parameters():
    return make_parameters()


@pytest.fixture
def classes():
    return CLASSES


@pytest.fixture
def palette():
    return PALETTE


@pytest.fixture
def photo():
    """(6, 8, 3) uint8 with every value different from its neighbours'."""
    return (np.arange(6 * 8 * 3, dtype=np.uint8) * 7).reshape(6, 8, 3)
