"""int8 in the ONNX itself: Q/DQ where TensorRT fuses them into int8 kernels.

ONNX Runtime's quantizer places the pairs, told to leave out what TensorRT does not take: a
quantized bias, non-zero zero points, a pair between a convolution and its activation. What it
cannot be told stands here: a residual addition reads the skipped branch in int8, and the
convolution's own result as it comes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx
import onnx_ir as ir
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import QuantType

from tritonseg_engines.graph.multiplications import MULTIPLYING
from tritonseg_engines.graph.surgery import (
    add_constant,
    as_proto,
    editable,
    make_node,
    maker,
    values_of_pictures,
)

LAYER_OPERATORS = MULTIPLYING
ACTIVATIONS = (
    "Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Selu", "HardSwish", "HardSigmoid", "Sigmoid",
    "Tanh",
)  # fmt: skip
"""What TensorRT computes within the kernel of the convolution before it."""
MINIMUM_MATMUL_SIDE = 32
"""Below this a product with a constant is no layer: PSPNet pools with bins of 1 to 6 rows."""
INT8_MAX = 127
REASON_COMPUTED = "multiplies two computed tensors: int8 is for layers with constant weights"
REASON_SMALL = (
    f"a product with {{sides}} constants: int8 is for matrices from {MINIMUM_MATMUL_SIDE} on a side"
)


def quantizable_layers(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that can compute in int8, in order of execution."""
    return [node.name or "" for node in editable(model).graph if _is_layer(node)]


def why_not_int8(node: ir.Node) -> str | None:
    """Return why a node that multiplies is no layer to quantize, whatever the pictures; or None.

    Args:
        node: One of `LAYER_OPERATORS`.
    """
    weights = node.inputs[1]
    if weights is None or weights.const_value is None:
        return REASON_COMPUTED
    sides = weights.const_value.shape.numpy()
    if node.op_type == "MatMul" and (len(sides) != 2 or min(sides) < MINIMUM_MATMUL_SIDE):
        return REASON_SMALL.format(sides="x".join(map(str, sides)))
    return None


def calibrated_tensors(model: onnx.ModelProto, layers: Collection[str]) -> list[str]:
    """Return the tensors whose thresholds `quantize` needs for these layers."""
    tensors = [node.input[0] for node in model.graph.node if node.name in layers]
    tensors += _skipped_branches(editable(model).graph, layers).values()
    return list(dict.fromkeys(tensors))


def quantize(
    model: onnx.ModelProto,
    thresholds: Mapping[str, float],
    layers: Collection[str],
    *,
    store_int8: bool,
    weight_bits: int = 8,
) -> onnx.ModelProto:
    """Return the model with Q/DQ around layers: int8, symmetric, weights per output channel.

    Args:
        model: In fp32; every node has a name of its own and weights are initializers.
        thresholds: Largest value that int8 represents, by tensor; see `calibrated_tensors`.
        layers: Names out of `quantizable_layers`.
        store_int8: Store weights as int8 behind a DequantizeLinear, a quarter of the bytes.
            Otherwise they stay float behind a pair, the only form that TensorRT 8 documents.
        weight_bits: 8, or 7 for CPUs without VNNI: weights of -64 to 64.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if not layers:
        return copy
    # A file that has been through the quantizer says "onnx.infer", and it would infer no types.
    del copy.metadata_props[:]
    skipped = _skipped_branches(editable(model).graph, layers)
    quantizer = QDQQuantizer(
        copy,
        per_channel=True,
        reduce_range=weight_bits == 7,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range=_ranges(model, thresholds),
        nodes_to_quantize=list(layers),
        nodes_to_exclude=[],
        op_types_to_quantize=list(LAYER_OPERATORS),
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            "AddQDQPairToWeight": not store_int8,
            "OpTypesToExcludeOutputQuantization": list(LAYER_OPERATORS),
        },
    )
    quantizer.quantize_model()
    quantized = editable(quantizer.model.model)
    _free_activations(quantized.graph)
    _quantize_skipped_branches(quantized.graph, skipped, thresholds)
    return as_proto(quantized)


def _is_layer(node: ir.Node) -> bool:
    return node.op_type in LAYER_OPERATORS and why_not_int8(node) is None


def _skipped_branches(graph: ir.Graph, layers: Collection[str]) -> dict[str, str]:
    """Return, by name of a residual Add, its input that is to be read in int8.

    The other input is a convolution's result that nothing else reads, so that TensorRT adds
    within the convolution; if that one is not among the layers, or what is added is a bias, of
    whatever shape, the Add is left alone. Where both inputs are such, the second is read in int8,
    whichever layers are chosen.
    """
    skipped = {}
    of_pictures = values_of_pictures(graph)
    for node in graph:
        if node.op_type != "Add" or node.inputs[0] is node.inputs[1]:
            continue
        first, second = node.inputs
        for value, other in ((first, second), (second, first)):
            fused = maker(value, "Conv")
            if value is None or other is None or fused is None:
                continue
            if not _is_layer(fused) or len(value.uses()) > 1:
                continue
            if fused.name in layers and other in of_pictures:
                skipped[node.name or ""] = other.name or ""
            break
    return skipped


def _ranges(model: onnx.ModelProto, thresholds: Mapping[str, float]) -> TensorsData:
    """Return thresholds as ONNX Runtime reads them; tensors not named are not quantized."""
    ranges = {
        tensor: (np.array(-threshold, np.float32), np.array(threshold, np.float32))
        for tensor, threshold in thresholds.items()
    }
    return TensorsData(CalibrationMethod.MinMax, ranges)


def _quantize_skipped_branches(
    graph: ir.Graph, skipped: Mapping[str, str], thresholds: Mapping[str, float]
) -> None:
    """Give every residual Add its Q/DQ; where the branch feeds a layer too, it has one already."""
    for node in [node for node in graph if node.name in skipped]:
        for index, value in enumerate(node.inputs):
            if value is not None and value.name == skipped[node.name or ""]:
                pair = _insert_pair(graph, node, value, thresholds[value.name])
                node.replace_input_with(index, pair)


def _free_activations(graph: ir.Graph) -> None:
    """Let activations read a convolution's result as it comes, also where a layer reads it too.

    ONNX Runtime's quantizer leads every reader of a tensor through the tensor's pair.
    """
    for node in graph:
        if node.op_type not in ACTIVATIONS:
            continue
        source = _behind_pair(node.inputs[0])
        if maker(source, *LAYER_OPERATORS) is not None:
            node.replace_input_with(0, source)


def _behind_pair(value: ir.Value | None) -> ir.Value | None:
    """Return what goes into the Q/DQ pair that a tensor comes out of, or None."""
    dequantize = maker(value, "DequantizeLinear")
    quantize = maker(dequantize.inputs[0], "QuantizeLinear") if dequantize is not None else None
    return quantize.inputs[0] if quantize is not None else None


def _insert_pair(graph: ir.Graph, reader: ir.Node, value: ir.Value, threshold: float) -> ir.Value:
    """Put a Q/DQ pair of a tensor in front of its reader and return the pair's output."""
    stem = f"{value.name}_skip"
    scale = np.array(threshold / INT8_MAX if threshold > 0 else 1.0, np.float32)
    constants = [
        add_constant(graph, f"{stem}_scale", scale),
        add_constant(graph, f"{stem}_zero_point", np.array(0, np.int8)),
    ]
    for op_type, output in (("QuantizeLinear", f"{stem}_quantized"), ("DequantizeLinear", stem)):
        node = make_node(op_type, [value, *constants], output, name=f"{stem}_{op_type}")
        graph.insert_before(reader, node)
        value = node.outputs[0]
    return value
