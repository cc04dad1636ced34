"""A network brought to an operator set that its precision needs."""

from __future__ import annotations

import onnx

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.nodes import name_nodes
from tritonseg_engines.graph.onnx_file import default_opset
from tritonseg_engines.graph.surgery import as_proto, editable

PER_CHANNEL_OPSET = 13
"""From here on QuantizeLinear and DequantizeLinear take one scale per channel."""
HALF_QUANTIZE_OPSET = 19
"""From here on QuantizeLinear takes fp16. TensorRT 10 and 11 read it; 8.6 documents 17."""
IR_OF_OPSET = {PER_CHANNEL_OPSET: 7, HALF_QUANTIZE_OPSET: 9}


def with_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return the model at an operator set, or as it is if it has a newer one.

    Args:
        model: Any; nodes that conversion adds get names of their own.
        opset: A key of `IR_OF_OPSET`.

    Raises:
        OnnxModelError: An operator of it cannot be converted.
    """
    present = default_opset(model)
    if present >= opset:
        return model
    try:
        converted = onnx.version_converter.convert_version(model, opset)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise OnnxModelError(
            f"expected an export of opset {opset} or newer, which its int8 needs, got {present}, "
            f"which cannot be converted ({reason}); export it again with that opset"
        ) from error
    converted.ir_version = max(converted.ir_version, IR_OF_OPSET[opset])
    named = editable(converted)
    name_nodes(named.graph)
    return as_proto(named)
