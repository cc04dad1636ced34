"""The two tensors between client and server, as messages: pure, without any I/O.

    IMAGE      UINT8 [1, H, W, 3]   RGB, 0–255
    CLASS_MAP  UINT8 [1, H, W]      class index of every pixel of IMAGE

Both are named by the model's metadata, which is checked before the first request.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2

from ._errors import ProtocolError
from ._image import RgbImage

IMAGE: Final = "IMAGE"
CLASS_MAP: Final = "CLASS_MAP"


def check_tensors(metadata: service_pb2.ModelMetadataResponse) -> None:
    """Raise `ProtocolError` unless the model takes IMAGE and gives CLASS_MAP, batched."""
    _check_tensor(metadata.name, "input", metadata.inputs, IMAGE, (None, None, None, 3))
    _check_tensor(metadata.name, "output", metadata.outputs, CLASS_MAP, (None, None, None))


def build_infer_request(
    *, model_name: str, request_id: str, image: RgbImage
) -> service_pb2.ModelInferRequest:
    """Build the request for the class map of one picture."""
    request = service_pb2.ModelInferRequest(model_name=model_name, id=request_id)
    request.inputs.add(name=IMAGE, datatype="UINT8", shape=[1, *image.size, 3])
    request.raw_input_contents.append(image.pixels)
    request.outputs.add(name=CLASS_MAP)
    return request


def parse_infer_response(
    response: service_pb2.ModelInferResponse,
    *,
    request: service_pb2.ModelInferRequest,
    class_count: int,
) -> npt.NDArray[np.uint8]:
    """Return the class map out of the answer to `request`.

    Returns:
        (H, W) uint8, read-only, every value below `class_count`.

    Raises:
        ProtocolError: The answer is another request's, lacks the map, or holds one of another
            size or type, or with classes that the model does not have.
    """
    if (response.id, response.model_name) != (request.id, request.model_name):
        raise ProtocolError(
            f"expected the answer of model '{request.model_name}' to request '{request.id}', "
            f"got that of '{response.model_name}' to '{response.id}'"
        )
    height, width = (int(length) for length in request.inputs[0].shape[1:3])
    content = _read_content(response, (1, height, width))
    class_map = np.frombuffer(content, np.uint8).reshape(height, width)
    highest = int(class_map.max())
    if highest >= class_count:
        raise ProtocolError(
            f"{CLASS_MAP} holds class {highest}, but the model described itself with "
            f"{class_count} classes; if it was replaced since, make a new client"
        )
    return class_map


def _read_content(
    response: service_pb2.ModelInferResponse, expected_shape: tuple[int, int, int]
) -> bytes:
    names = [output.name for output in response.outputs]
    if names.count(CLASS_MAP) != 1 or len(response.raw_output_contents) != len(names):
        raise ProtocolError(
            f"expected one output {CLASS_MAP} with raw contents, got outputs {names} with "
            f"{len(response.raw_output_contents)} raw contents"
        )
    position = names.index(CLASS_MAP)
    output = response.outputs[position]
    if output.datatype != "UINT8" or tuple(output.shape) != expected_shape:
        raise ProtocolError(
            f"{CLASS_MAP} must be UINT8 {list(expected_shape)}, "
            f"got {output.datatype} {list(output.shape)}"
        )
    # Every access makes a new bytes object of the whole map, so there is only this one.
    content: bytes = response.raw_output_contents[position]
    if len(content) != math.prod(expected_shape):
        raise ProtocolError(
            f"{CLASS_MAP} {list(expected_shape)} must hold {math.prod(expected_shape)} bytes, "
            f"got {len(content)}"
        )
    return content


def _check_tensor(
    model_name: str,
    kind: str,
    tensors: Sequence[service_pb2.ModelMetadataResponse.TensorMetadata],
    name: str,
    axes: tuple[int | None, ...],
) -> None:
    found = {tensor.name: (tensor.datatype, list(tensor.shape)) for tensor in tensors}
    datatype, shape = found.get(name, ("", []))
    fixed = [(length, axis) for length, axis in zip(shape, axes, strict=False) if axis]
    if datatype != "UINT8" or len(shape) != len(axes) or any(got != axis for got, axis in fixed):
        wanted = ", ".join("any" if axis is None else str(axis) for axis in axes)
        raise ProtocolError(
            f"model '{model_name}' must have the {kind} {name} UINT8 [{wanted}], got {found}; "
            "is this the ensemble, and not one of its steps?"
        )
