"""A model in a later operator set than the one it was exported in."""

from __future__ import annotations

import onnx
from onnx import version_converter

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.constants import gather_constants
from tritonseg_engines.graph.nodes import name_nodes
from tritonseg_engines.graph.onnx_file import default_opset
from tritonseg_engines.graph.surgery import as_proto, editable

SCALES_PER_CHANNEL = 13
"""Opset from which QuantizeLinear and DequantizeLinear have an axis."""


def with_opset(model: onnx.ModelProto, minimum: int) -> onnx.ModelProto:
    """Return the model in an opset that is at least `minimum`, or itself.

    Raises:
        OnnxModelError: ONNX does not know how to convert it.
    """
    opset = default_opset(model)
    if opset >= minimum:
        return model
    try:
        converted = version_converter.convert_version(model, minimum)
    except (version_converter.ConvertError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise OnnxModelError(
            f"the network cannot be raised from opset {opset} to {minimum}, which is needed here; "
            f"export it in {minimum} or later: {reason}"
        ) from error
    edited = editable(converted)
    gather_constants(edited)
    name_nodes(edited.graph)
    return as_proto(edited)
