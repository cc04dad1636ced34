"""Check a graph's input against its specification; what differs is said in the YAML's own keys."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.surgery import dimensions
from tritonseg_engines.spec import ModelSpec

CHANNELS = 3
CHANNEL_AXES = {"NCHW": 1, "NHWC": 3}
SIZE_AXES = {"NCHW": (2, 3), "NHWC": (1, 2)}
ELEMENT_TYPES = {
    "float32": ir.DataType.FLOAT,
    "float16": ir.DataType.FLOAT16,
    "uint8": ir.DataType.UINT8,
}


def check_names(inputs: Sequence[ir.Value], outputs: Sequence[ir.Value], spec: ModelSpec) -> None:
    """Check that the file's only input, and one of its outputs, are those of the specification.

    Raises:
        OnnxModelError: They are others; the message names them.
    """
    fed, given = [value.name for value in inputs], [value.name for value in outputs]
    if len(fed) != 1:
        raise OnnxModelError(
            f"expected exactly one input named {spec.input.name!r}, got {fed}; export the network "
            "as a function of the picture alone"
        )
    if fed != [spec.input.name]:
        raise OnnxModelError(
            f"input {spec.input.name!r} is not in the file, whose input is {fed[0]!r}: write "
            f"input.name: {fed[0]}"
        )
    if spec.output.name not in given:
        known = ", ".join(repr(name) for name in given)
        raise OnnxModelError(
            f"output {spec.output.name!r} is not in the file, which has {known}: write the one "
            "that is meant as output.name"
        )


MOST_PIXELS = 1 << 28
"""Of a fixed input: 3 GiB in float32."""


def check_input(value: ir.Value, spec: ModelSpec) -> None:
    """Check type, layout and size of the input.

    Raises:
        OnnxModelError: One differs; the message says what to write.
    """
    where = f"input {value.name!r}"
    _check_type(where, value.dtype, spec.input.dtype)
    shape = dimensions(value)
    if shape is None or len(shape) != 4:
        got = "no shape" if shape is None else shape_words(shape)
        raise OnnxModelError(
            f"{where}: expected 4 dimensions, (N, 3, h, w) or (N, h, w, 3), got {got} in the file; "
            "export it with its batch axis"
        )
    _check_layout(where, shape, spec.input.layout)
    _check_size(where, shape, spec)


def shape_words(shape: Sequence[int | None]) -> str:
    """Return a shape as one writes it, `(?, 3, 512, ?)`."""
    return f"({', '.join('?' if dim is None else str(dim) for dim in shape)})"


def _check_type(where: str, dtype: ir.DataType | None, expected: str) -> None:
    if dtype == ELEMENT_TYPES[expected]:
        return
    known = {element: name for name, element in ELEMENT_TYPES.items()}
    got = known.get(dtype) if dtype is not None else None
    if got is None:
        name = "no type" if dtype is None else dtype.name.lower()
        raise OnnxModelError(
            f"{where}: expected {expected}, got {name} in the file, which cannot be served; export "
            f"it with {', '.join(ELEMENT_TYPES)}"
        )
    bytes_as_they_are = " with mean: [0, 0, 0] and scale: [1, 1, 1]" if got == "uint8" else ""
    raise OnnxModelError(
        f"{where}: expected {expected}, got {got} in the file: write input.dtype: {got}"
        f"{bytes_as_they_are}"
    )


def _check_layout(where: str, shape: Sequence[int | None], layout: str) -> None:
    channels = shape[CHANNEL_AXES[layout]]
    if channels == CHANNELS:
        return
    other = "NHWC" if layout == "NCHW" else "NCHW"
    if shape[CHANNEL_AXES[other]] == CHANNELS:
        raise OnnxModelError(
            f"{where} is {shape_words(shape)} in the file: write input.layout: {other}"
        )
    if channels is not None:
        raise OnnxModelError(
            f"{where} is {shape_words(shape)} in the file, where axis {CHANNEL_AXES[layout]} is "
            f"{channels}; a picture has 3 channels, R, G, B: export a network that takes these"
        )


def _check_size(where: str, shape: Sequence[int | None], spec: ModelSpec) -> None:
    size = [shape[axis] for axis in SIZE_AXES[spec.input.layout]]
    if math.prod(side or 1 for side in size) > MOST_PIXELS:
        raise OnnxModelError(
            f"{where} is {shape_words(shape)} in the file, more than can be served"
        )
    expected = [spec.input.height, spec.input.width]
    pairs = zip(expected, size, strict=True)
    if any(None not in (want, got) and want != got for want, got in pairs):
        height, width = (
            want if got is None else got for want, got in zip(expected, size, strict=True)
        )
        raise OnnxModelError(
            f"{where} is {height}x{width} in the file, {expected[0]}x{expected[1]} in the "
            f"specification: write input.height: {height} and input.width: {width}, or neither"
        )
