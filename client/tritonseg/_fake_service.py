"""What a Triton with one model of tritonseg's answers, for `tritonseg.testing`."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ._calls.protocol import (
    CLASS_MAP,
    CONFIDENCE,
    CONFIDENCE_REQUEST,
    DIGEST_BYTES,
    ENCODED_IMAGE,
    IMAGE,
    MODEL_DIGEST,
)
from ._errors import InvalidImageError
from ._model.metadata import DIGEST_PARAMETER, parameters_of
from ._pictures.image import load_image

_LENGTH_BYTES: Final = 4
"""In front of the one element of a BYTES tensor."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReceivedRequest:
    """A picture as it came to the server.

    Attributes:
        image_hwc: (H, W, 3) uint8 RGB; decoded, where a file came.
        request_id: As the client calls it.
        model_version: The version asked for; empty for none.
        confidence: Whether that was asked for.
        headers: What came with it, by name.
    """

    image_hwc: Pixels
    request_id: str
    model_version: str
    confidence: bool
    headers: dict[str, str]


@dataclass(slots=True, kw_only=True)
class Failure:
    """What calls of a method are answered with, and how many still."""

    status: grpc.StatusCode
    details: str
    left: int


class FakeModel(Protocol):
    """What the service answers by."""

    model: str
    versions: list[str]
    takes_files: bool
    gives_confidence: bool
    is_ready: bool
    parameters: dict[str, str]
    mask: Callable[[Pixels], Pixels]
    confidence: Callable[[Pixels], Pixels]
    edit_answer: Callable[[service_pb2.ModelInferResponse], object]
    requests: list[ReceivedRequest]
    calls: Counter[str]
    failures: dict[str, Failure]
    delays_s: dict[str, float]
    stopping: threading.Event


class FakeService(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Triton's gRPC service, as far as clients of this package call it.

    Args:
        fake: What it answers by, looked at anew in every call.
    """

    def __init__(self, fake: FakeModel) -> None:
        self._fake = fake
        self._lock = threading.Lock()

    def ModelReady(self, request: Any, context: Any) -> service_pb2.ModelReadyResponse:  # noqa: N802
        """Answer as Triton's service does; called by gRPC."""
        self._begin("ModelReady", context)
        is_known = self._knows(request.name, request.version)
        return service_pb2.ModelReadyResponse(ready=self._fake.is_ready and is_known)

    def RepositoryIndex(self, request: Any, context: Any) -> service_pb2.RepositoryIndexResponse:  # noqa: N802
        """Answer as Triton's service does; called by gRPC."""
        del request
        self._begin("RepositoryIndex", context)
        response = service_pb2.RepositoryIndexResponse()
        state = "READY" if self._fake.is_ready else "UNAVAILABLE"
        for version in self._fake.versions:
            response.models.add(name=self._fake.model, version=version, state=state)
        return response

    def SystemSharedMemoryRegister(self, request: Any, context: Any) -> None:  # noqa: N802
        """Refuse, as `tritonseg serve` does unless it is told otherwise; called by gRPC."""
        del request
        self._begin("SystemSharedMemoryRegister", context)
        context.abort(
            grpc.StatusCode.UNAVAILABLE,
            "This protocol is restricted, expecting header 'triton-grpc-protocol-closed'",
        )

    def ModelMetadata(self, request: Any, context: Any) -> service_pb2.ModelMetadataResponse:  # noqa: N802
        """Answer as Triton's service does; called by gRPC."""
        self._begin("ModelMetadata", context)
        self._require(request.name, request.version, context)
        response = service_pb2.ModelMetadataResponse(
            name=request.name, versions=self._fake.versions
        )
        response.inputs.add(name=IMAGE, datatype="UINT8", shape=[-1, -1, -1, 3])
        if self._fake.takes_files:
            response.inputs.add(name=ENCODED_IMAGE, datatype="BYTES", shape=[-1, 1])
        response.outputs.add(name=CLASS_MAP, datatype="UINT8", shape=[-1, -1, -1])
        if self._fake.gives_confidence:
            response.outputs.add(name=CONFIDENCE, datatype="UINT8", shape=[-1, -1, -1])
        response.outputs.add(name=MODEL_DIGEST, datatype="UINT8", shape=[-1, DIGEST_BYTES])
        return response

    def ModelConfig(self, request: Any, context: Any) -> service_pb2.ModelConfigResponse:  # noqa: N802
        """Answer as Triton's service does; called by gRPC."""
        self._begin("ModelConfig", context)
        self._require(request.name, request.version, context)
        response = service_pb2.ModelConfigResponse()
        response.config.name = request.name
        for key, value in self._fake.parameters.items():
            response.config.parameters[key].string_value = value
        return response

    def ModelInfer(self, request: Any, context: Any) -> service_pb2.ModelInferResponse:  # noqa: N802
        """Answer as Triton's service does; called by gRPC."""
        self._begin("ModelInfer", context)
        self._require(request.model_name, request.model_version, context)
        received = self._received(request, context)
        self._fake.requests.append(received)
        version = request.model_version or self._fake.versions[-1]
        response = service_pb2.ModelInferResponse(
            model_name=request.model_name, model_version=version, id=request.id
        )
        asked_for = {output.name for output in request.outputs}
        for name, array in self._outputs(received, version).items():
            if name in asked_for:
                response.outputs.add(name=name, datatype="UINT8", shape=array.shape)
                response.raw_output_contents.append(np.asarray(array, np.uint8).tobytes())
        self._fake.edit_answer(response)
        return response

    def _outputs(self, received: ReceivedRequest, version: str) -> dict[str, Pixels]:
        outputs = {CLASS_MAP: _bytes_of("mask", self._fake.mask(received.image_hwc))[None]}
        if received.confidence:
            confidence = self._fake.confidence(received.image_hwc)
            outputs[CONFIDENCE] = _bytes_of("confidence", confidence)[None]
        published = parameters_of(self._fake.parameters, version)
        digest = bytes.fromhex(json.loads(published[DIGEST_PARAMETER]))
        outputs[MODEL_DIGEST] = np.frombuffer(digest, np.uint8)[None]
        return outputs

    def _received(self, request: Any, context: Any) -> ReceivedRequest:
        (tensor,), (content,) = request.inputs, request.raw_input_contents
        if tensor.name == IMAGE:
            image_hwc = np.frombuffer(content, np.uint8).reshape(list(tensor.shape)[1:])
        else:
            image_hwc = self._decoded(content[_LENGTH_BYTES:], context)
        return ReceivedRequest(
            image_hwc=image_hwc,
            request_id=request.id,
            model_version=request.model_version,
            confidence=_asks_for(CONFIDENCE_REQUEST, request),
            headers=dict(context.invocation_metadata()),
        )

    def _decoded(self, encoded: bytes, context: Any) -> Pixels:
        try:
            return load_image(encoded)
        except InvalidImageError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{ENCODED_IMAGE}: {error}")
            raise

    def _begin(self, method: str, context: Any) -> None:
        with self._lock:
            self._fake.calls[method] += 1
            failure = self._fake.failures.get(method)
            fails = failure is not None and failure.left > 0
            if failure is not None:
                failure.left -= 1
        self._fake.stopping.wait(self._fake.delays_s.get(method, 0.0))
        if failure is not None and fails:
            context.abort(failure.status, failure.details)

    def _knows(self, model: str, version: str) -> bool:
        return model == self._fake.model and (not version or version in self._fake.versions)

    def _require(self, model: str, version: str, context: Any) -> None:
        if not self._knows(model, version):
            text = f"Request for unknown model: '{model}' version {version or -1} is not found"
            context.abort(grpc.StatusCode.NOT_FOUND, text)


def _bytes_of(what: str, array: Pixels) -> Pixels:
    """Refuse what would come to the client as something else than the test meant."""
    if array.dtype != np.uint8:
        raise TypeError(f"{what}: expected an array of uint8, got {array.dtype}")
    return array


def _asks_for(parameter: str, request: Any) -> bool:
    # Looking up a key that is not there would add it to the message.
    return parameter in request.parameters and request.parameters[parameter].bool_param
