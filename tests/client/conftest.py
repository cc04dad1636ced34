"""A Triton that answers on the loopback interface, as told, and a wire that can be cut.

The servicer is the one from tritonclient's generated code and the answers travel over real gRPC,
so what the client meets here is what it meets in production, errors included.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import deserialize_bytes_tensor

import tritonseg
from blocking_client import BlockingClient, LoopThread
from tritonseg_steps.encoded_image import EncodedImageError, decode_rgb

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


class LoopbackTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers for one model; the class of a pixel is its red value modulo the class count.

    The confidence is its green value. Files are decoded by what decodes them in a real server.
    """

    def __init__(self) -> None:
        self.model_name = "street-demo"
        self.parameters = make_parameters()
        self.gives_digest = True
        self.versions = ["1", "10", "9"]
        self.ready = True
        self.calls: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self.cancelled: list[str] = []
        self.metadata: list[tuple[tuple[str, str], ...]] = []
        self.requests: list[service_pb2.ModelInferRequest] = []
        self.decode = decode_rgb
        self.edit_metadata = lambda response: None
        self.edit_inference = lambda response: None
        self._failures: dict[str, deque[tuple[grpc.StatusCode, str]]] = {}
        self._delays_s: dict[str, float] = {}
        self._held = lambda request: False
        self._held_until = threading.Event()
        self._inferring: list[object] = []
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._server: grpc.Server | None = None
        self.port = 0

    # What a test tells it.

    def fail(self, method: str, status: grpc.StatusCode, details: str, times: int = 10**6) -> None:
        self._failures[method] = deque([(status, details)] * min(times, 10_000))

    def delay(self, method: str, delay_s: float) -> None:
        self._delays_s[method] = delay_s

    def hold(self, is_held: Callable[[object], bool], until: threading.Event) -> None:
        """Answer those inferences only after the event."""
        self._held, self._held_until = is_held, until

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._released.clear()
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        options.append(("grpc.so_reuseport", 0))
        self._server = grpc.server(ThreadPoolExecutor(16), options=options)
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        self._released.set()
        if self._server is not None:
            self._server.stop(None).wait()
        self._server = None

    # What Triton's gRPC service does.

    def ModelReady(self, request, context):
        self._begin("ModelReady", context)
        ready = self.ready and request.name == self.model_name
        return service_pb2.ModelReadyResponse(ready=ready)

    def ModelMetadata(self, request, context):
        self._begin("ModelMetadata", context)
        self._require_model(request.name, context)
        response = service_pb2.ModelMetadataResponse(name=request.name, versions=self.versions)
        response.inputs.add(name="IMAGE", datatype="UINT8", shape=[-1, -1, -1, 3])
        response.inputs.add(name="ENCODED_IMAGE", datatype="BYTES", shape=[-1, 1])
        response.outputs.add(name="CLASS_MAP", datatype="UINT8", shape=[-1, -1, -1])
        response.outputs.add(name="CONFIDENCE", datatype="UINT8", shape=[-1, -1, -1])
        response.outputs.add(name="CLASS_PIXELS", datatype="INT64", shape=[-1, len(CLASSES)])
        if self.gives_digest:
            response.outputs.add(name="MODEL_DIGEST", datatype="UINT8", shape=[-1, 32])
        self.edit_metadata(response)
        return response

    def ModelConfig(self, request, context):
        self._begin("ModelConfig", context)
        self._require_model(request.name, context)
        response = service_pb2.ModelConfigResponse()
        response.config.name = request.name
        for key, value in self.parameters.items():
            response.config.parameters[key].string_value = value
        return response

    def ModelInfer(self, request, context):
        with self._lock:
            self._inferring.append(request)
            at_once = max(self.most_at_once["ModelInfer"], len(self._inferring))
            self.most_at_once["ModelInfer"] = at_once
        context.add_callback(partial(self._note_cancelled, request))
        try:
            return self._infer(request, context)
        finally:
            with self._lock:
                self._inferring = [one for one in self._inferring if one is not request]

    def _note_cancelled(self, request):
        """Called when a call ends: before its handler does, nobody waits for it any more."""
        if any(one is request for one in self._inferring):
            self.cancelled.append("ModelInfer")

    def _infer(self, request, context):
        self.requests.append(request)
        self._begin("ModelInfer", context)
        if self._held(request):
            self._held_until.wait(20)
        self._require_model(request.model_name, context)
        images = self._read_images(request, context)
        maps = {"CLASS_MAP": images[..., 0] % len(CLASSES)}
        if "confidence" in request.parameters and request.parameters["confidence"].bool_param:
            maps["CONFIDENCE"] = images[..., 1]
        if self.gives_digest:
            digest = bytes.fromhex(json.loads(self.parameters["tritonseg_digest"]))
            maps["MODEL_DIGEST"] = np.frombuffer(digest, np.uint8)[None]
        response = service_pb2.ModelInferResponse(
            model_name=request.model_name, model_version="10", id=request.id
        )
        for output in request.outputs:
            if output.name in maps:
                pixels = maps[output.name]
                response.outputs.add(name=output.name, datatype="UINT8", shape=pixels.shape)
                response.raw_output_contents.append(pixels.tobytes())
        self.edit_inference(response)
        return response

    def _read_images(self, request, context):
        (tensor,), (content,) = request.inputs, request.raw_input_contents
        if tensor.name == "IMAGE":
            return np.frombuffer(content, np.uint8).reshape(list(tensor.shape))
        assert (tensor.name, tensor.datatype) == ("ENCODED_IMAGE", "BYTES")
        assert list(tensor.shape) == [1, 1]
        (encoded,) = deserialize_bytes_tensor(content)
        try:
            return self.decode(encoded)[None]
        except EncodedImageError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"ENCODED_IMAGE: {error}")

    def _begin(self, method, context):
        with self._lock:
            self.calls[method] += 1
            self.metadata.append(context.invocation_metadata())
            failures = self._failures.get(method)
            failure = failures.popleft() if failures else None
        self._released.wait(self._delays_s.get(method, 0.0))
        if failure is not None:
            context.abort(*failure)

    def _require_model(self, name, context):
        if name != self.model_name:
            text = f"Request for unknown model: '{name}' is not found"
            context.abort(grpc.StatusCode.NOT_FOUND, text)


class Wire:
    """A TCP connection to the server by way of this process, to be frozen or cut."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._flowing = threading.Event()
        self._flowing.set()
        self._sockets: list[socket.socket] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def cut(self) -> None:
        """Reset every connection, as the death of the server does."""
        sockets, self._sockets = self._sockets, []
        for end in sockets:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._listener.close()
        self.thaw()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.connections += 1
                far = socket.create_connection(("127.0.0.1", self._target_port))
                self._sockets += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while block := source.recv(65_536):
                self._flowing.wait()
                sink.sendall(block)


@pytest.fixture
def triton():
    server = LoopbackTriton()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def wire(triton):
    wire = Wire(triton.port)
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
    return connect(triton.address)


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
