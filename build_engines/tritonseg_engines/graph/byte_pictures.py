"""Exports that take a picture's bytes, or make bytes of classes, without bytes inside the graph.

The steps hand every network float32. Where those are the picture's bytes as they are, float32 holds
them exactly, and rounding them to uint8 for the export's first nodes changes nothing. TensorRT has
uint8 at inputs and outputs only.

Source: TensorRT Python API, `DataType.UINT8`; its parser's "TensorRT does not support UINT8 types
for intermediate tensors".
"""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

from tritonseg_engines.graph.constants import pass_by_identities
from tritonseg_engines.graph.surgery import inferred_values
from tritonseg_engines.graph.value_range import value_range
from tritonseg_engines.spec import ModelSpec

MOVING: Final = (
    "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Tile",
    "Transpose", "Unsqueeze",
)  # fmt: skip
"""Operators that compute nothing, and read values in their first input alone."""
BYTES: Final = (0.0, 255.0)
FLOAT: Final = ir.TensorType(ir.DataType.FLOAT)


def carry_bytes_as_floats(model: ir.Model, spec: ModelSpec) -> None:
    """Take a picture's Cast to uint8 out of a settled graph, in place, and the Casts back.

    It stays where the steps give other numbers than bytes, or where the export computes with them.
    """
    if not _gives_bytes(spec):
        return
    for node in list(model.graph):
        fed = node.inputs[0] if node.op_type == "Cast" else None
        if fed is None or not fed.is_graph_input() or not _casts_to(node, ir.DataType.UINT8):
            continue
        moved = _moved(node.outputs[0])
        if moved is not None:
            _carry(node, moved)
    pass_by_identities(model.graph)


def carry_bytes_as_integers(model: ir.Model) -> None:
    """Make int32 of what an export narrows to uint8 only to move it, in place.

    Classes, and what else lies between 0 and 255, are the same in both.
    """
    values = inferred_values(model)
    for node in model.graph:
        read = node.inputs[0] if node.inputs else None
        if read is None or not _casts_to(node, ir.DataType.UINT8):
            continue
        moved = _moved(node.outputs[0])
        known = value_range(values.get(read.name or "", read))
        if moved is None or not known.within(*BYTES):
            continue
        node.attributes["to"] = ir.AttrInt64("to", ir.DataType.INT32)
        for value in moved:
            value.type = ir.TensorType(ir.DataType.INT32)


def _gives_bytes(spec: ModelSpec) -> bool:
    """Whether the steps hand over whole numbers: a specification of bytes scales nothing."""
    padding = spec.preprocessing.padding or (0.0, 0.0, 0.0)
    whole = all(value == int(value) and 0 <= value <= 255 for value in padding)
    return spec.input.dtype == "uint8" and whole


def _moved(picture: ir.Value) -> list[ir.Value] | None:
    """Return the tensors that the bytes move through, or None where they end in no Cast."""
    found = [picture]
    for value in found:
        if value.is_graph_output():
            return None
        for node, index in value.uses():
            if node.op_type == "Cast":
                continue
            if node.op_type not in MOVING or index != 0:
                return None
            found += [output for output in node.outputs if output not in found]
    return found


def _carry(cast: ir.Node, moved: list[ir.Value]) -> None:
    for value in moved:
        value.type = FLOAT
        for node, _ in list(value.uses()):
            if _casts_to(node, ir.DataType.FLOAT):
                _pass_on(node)
    _pass_on(cast)


def _pass_on(node: ir.Node) -> None:
    node.op_type = "Identity"
    node.attributes.clear()


def _casts_to(node: ir.Node, dtype: ir.DataType) -> bool:
    return node.op_type == "Cast" and node.attributes.get_int("to", 0) == dtype
