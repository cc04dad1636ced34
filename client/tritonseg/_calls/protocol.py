"""The tensors between client and server, as messages: pure, without any I/O.

    IMAGE          UINT8 [1, H, W, 3]   RGB, 0–255; either this
    ENCODED_IMAGE  BYTES [1, 1]         or this: an image file, which the server decodes
    CLASS_MAP      UINT8 [1, H, W]      class index of every pixel, as displayed
    CONFIDENCE     UINT8 [1, H, W]      255 × probability of that class, where it was asked for
    MODEL_DIGEST   UINT8 [1, 32]        which build answered, where the model says so

All are named by the model's metadata, which is checked before the first request.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2

from .._errors import InferenceFailedError, ProtocolError
from .._pictures.picture import Picture, RgbImage

IMAGE: Final = "IMAGE"
ENCODED_IMAGE: Final = "ENCODED_IMAGE"
CLASS_MAP: Final = "CLASS_MAP"
CONFIDENCE: Final = "CONFIDENCE"
MODEL_DIGEST: Final = "MODEL_DIGEST"
CONFIDENCE_REQUEST: Final = "confidence"
DIGEST_BYTES: Final = 32
"""Of a SHA-256."""
NO_CLASS: Final = 255
"""In the class map of a fused engine, which can answer with nothing else."""

_IMAGES: Final = ("UINT8", (None, None, None, 3))
_MAPS: Final = ("UINT8", (None, None, None))
_FILES: Final = ("BYTES", (None, 1))
_DIGESTS: Final = ("UINT8", (None, DIGEST_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionalTensors:
    """Which tensors a model has beyond those that every one must have."""

    encoded_image: bool
    confidence: bool
    digest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server computed for one picture.

    Attributes:
        class_map: (H, W) uint8, read-only.
        confidence: (H, W) uint8, read-only; None if it was not asked for.
    """

    class_map: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8] | None


def check_tensors(metadata: service_pb2.ModelMetadataResponse) -> OptionalTensors:
    """Return which optional tensors a model has.

    Raises:
        ProtocolError: It does not take IMAGE or does not give CLASS_MAP, batched; or one of its
            tensors has a name of the contract, but is something else.
    """
    inputs, outputs = metadata.inputs, metadata.outputs
    model = metadata.name
    _check_tensor(model, "input", inputs, IMAGE, _IMAGES)
    _check_tensor(model, "output", outputs, CLASS_MAP, _MAPS)
    optional = OptionalTensors(
        encoded_image=any(tensor.name == ENCODED_IMAGE for tensor in inputs),
        confidence=any(tensor.name == CONFIDENCE for tensor in outputs),
        digest=any(tensor.name == MODEL_DIGEST for tensor in outputs),
    )
    if optional.encoded_image:
        _check_tensor(model, "input", inputs, ENCODED_IMAGE, _FILES)
    if optional.confidence:
        _check_tensor(model, "output", outputs, CONFIDENCE, _MAPS)
    if optional.digest:
        _check_tensor(model, "output", outputs, MODEL_DIGEST, _DIGESTS)
    return optional


def build_infer_request(
    *,
    model_name: str,
    model_version: str = "",
    request_id: str,
    picture: Picture,
    region: str | None = None,
    confidence: bool = False,
    digest: bool = False,
) -> service_pb2.ModelInferRequest:
    """Build the request for the class map of one picture, and for what else is wanted.

    Where `region` names memory that the server shares, that begins with the picture's pixels.
    """
    request = service_pb2.ModelInferRequest(
        model_name=model_name, model_version=model_version, id=request_id
    )
    if isinstance(picture, RgbImage):
        image = request.inputs.add(name=IMAGE, datatype="UINT8", shape=[1, *picture.size, 3])
        if region is None:
            request.raw_input_contents.append(picture.pixels)
        else:
            image.parameters["shared_memory_region"].string_param = region
            image.parameters["shared_memory_byte_size"].int64_param = len(picture.pixels)
    else:
        request.inputs.add(name=ENCODED_IMAGE, datatype="BYTES", shape=[1, 1])
        request.raw_input_contents.append(_serialize_bytes(picture.encoded))
    request.outputs.add(name=CLASS_MAP)
    if confidence:
        request.parameters[CONFIDENCE_REQUEST].bool_param = True
        request.outputs.add(name=CONFIDENCE)
    if digest:
        request.outputs.add(name=MODEL_DIGEST)
    return request


def read_digest(
    response: service_pb2.ModelInferResponse, *, request: service_pb2.ModelInferRequest
) -> bytes:
    """Return the digest of the model that answered.

    Raises:
        ProtocolError: The answer is another request's, or has no digest.
    """
    _check_answers(response, request)
    if all(output.name != MODEL_DIGEST for output in response.outputs):
        raise ProtocolError(
            f"expected {MODEL_DIGEST} in the answer of model '{request.model_name}', which says "
            "that it gives it, got none: tritonseg on the server is older than the one that built "
            "the model; install that one there"
        )
    return _read_output(response, MODEL_DIGEST, (1, DIGEST_BYTES)).tobytes()


def parse_infer_response(
    response: service_pb2.ModelInferResponse,
    *,
    request: service_pb2.ModelInferRequest,
    size: tuple[int, int],
    class_count: int,
) -> Answer:
    """Return what was asked for by `request` out of its answer.

    Args:
        response: The answer.
        request: What it should be the answer to.
        size: (H, W) of the picture as displayed, which is the size of the map.
        class_count: How many classes the model has.

    Raises:
        InferenceFailedError: The network gave no class for some pixels.
        ProtocolError: The answer is another request's, lacks an output, or holds one of another
            size or type, or with classes that the model does not have.
    """
    _check_answers(response, request)
    class_map = _read_map(response, CLASS_MAP, size)
    highest = int(class_map.max())
    if highest >= class_count:
        if highest == NO_CLASS:
            raise InferenceFailedError(
                f"the network of model '{request.model_name}' gave NaN or infinite scores, or an "
                f"index of no class, at {np.count_nonzero(class_map == NO_CLASS)} pixels"
            )
        raise ProtocolError(
            f"{CLASS_MAP} holds class {highest}, but the model described itself with "
            f"{class_count} classes; if it was replaced since, make a new client"
        )
    wants_confidence = any(output.name == CONFIDENCE for output in request.outputs)
    confidence = _read_map(response, CONFIDENCE, size) if wants_confidence else None
    return Answer(class_map=class_map, confidence=confidence)


def _check_answers(
    response: service_pb2.ModelInferResponse, request: service_pb2.ModelInferRequest
) -> None:
    if (response.id, response.model_name) != (request.id, request.model_name):
        raise ProtocolError(
            f"expected the answer of model '{request.model_name}' to request '{request.id}', "
            f"got that of '{response.model_name}' to '{response.id}'"
        )
    if request.model_version and response.model_version != request.model_version:
        raise ProtocolError(
            f"expected the answer of version {request.model_version} of model "
            f"'{request.model_name}', got that of version {response.model_version or 'none'}"
        )


def _serialize_bytes(content: bytes) -> bytes:
    """Return a BYTES tensor of one element.

    Source: Triton's "Binary Tensor Data Extension": each element after its length, 4 bytes
    little-endian.
    """
    return struct.pack("<I", len(content)) + content


def _read_map(
    response: service_pb2.ModelInferResponse, name: str, size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Return one UINT8 [1, H, W] output as (H, W), read-only."""
    return _read_output(response, name, (1, *size)).reshape(size)


def _read_output(
    response: service_pb2.ModelInferResponse, name: str, expected_shape: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """Return one UINT8 output as it lies in memory, flat and read-only."""
    names = [output.name for output in response.outputs]
    if names.count(name) != 1 or len(response.raw_output_contents) != len(names):
        raise ProtocolError(
            f"expected one output {name} with raw contents, got outputs {names} with "
            f"{len(response.raw_output_contents)} raw contents"
        )
    position = names.index(name)
    output = response.outputs[position]
    if output.datatype != "UINT8" or tuple(output.shape) != expected_shape:
        raise ProtocolError(
            f"{name} must be UINT8 {list(expected_shape)}, "
            f"got {output.datatype} {list(output.shape)}"
        )
    # Every access makes a new bytes object of the whole map, so there is only this one.
    content: bytes = response.raw_output_contents[position]
    if len(content) != math.prod(expected_shape):
        raise ProtocolError(
            f"{name} {list(expected_shape)} must hold {math.prod(expected_shape)} bytes, "
            f"got {len(content)}"
        )
    return np.frombuffer(content, np.uint8)


def _check_tensor(
    model_name: str,
    kind: str,
    tensors: Sequence[service_pb2.ModelMetadataResponse.TensorMetadata],
    name: str,
    expected: tuple[str, tuple[int | None, ...]],
) -> None:
    expected_type, axes = expected
    found = {tensor.name: (tensor.datatype, list(tensor.shape)) for tensor in tensors}
    datatype, shape = found.get(name, ("", []))
    fixed = [(length, axis) for length, axis in zip(shape, axes, strict=False) if axis]
    is_expected = datatype == expected_type and len(shape) == len(axes)
    if not is_expected or any(got != axis for got, axis in fixed):
        wanted = ", ".join("any" if axis is None else str(axis) for axis in axes)
        raise ProtocolError(
            f"model '{model_name}' must have the {kind} {name} {expected_type} [{wanted}], "
            f"got {found}; is this the ensemble, and not one of its steps?"
        )
