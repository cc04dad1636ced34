"""int8 in the ONNX itself: Q/DQ where TensorRT fuses them into int8 kernels.

ONNX Runtime's quantizer places the pairs, told to leave out what TensorRT does not take: a
quantized bias, non-zero zero points, a pair between a convolution and its activation. What it
cannot be told stands here: a residual addition reads the skipped branch in int8, and the
convolution's own result as it comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import QuantType

from tritonseg_engines.graph.nodes import sort_by_execution
from tritonseg_engines.graph.onnx_file import producers

LAYER_OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
ACTIVATIONS = (
    "Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Selu", "HardSwish", "HardSigmoid", "Sigmoid",
    "Tanh",
)  # fmt: skip
"""What TensorRT computes within the kernel of the convolution before it."""
MINIMUM_MATMUL_SIDE = 32
"""Below this a product with a constant is no layer: PSPNet pools with bins of 1 to 6 rows."""
INT8_MAX = 127


def quantizable_layers(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that can compute in int8, in order of execution."""
    shapes = {value.name: list(value.dims) for value in model.graph.initializer}
    return [node.name for node in model.graph.node if _is_layer(node, shapes)]


def calibrated_tensors(model: onnx.ModelProto, layers: Collection[str]) -> list[str]:
    """Return the tensors whose thresholds `quantize` needs for these layers."""
    tensors = [node.input[0] for node in model.graph.node if node.name in layers]
    tensors += _skipped_branches(model, layers).values()
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
    skipped = _skipped_branches(model, layers)
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
    quantized: onnx.ModelProto = quantizer.model.model
    _free_activations(quantized.graph)
    _quantize_skipped_branches(quantized.graph, skipped, thresholds)
    sort_by_execution(quantized.graph)
    return quantized


def _is_layer(node: onnx.NodeProto, initializers: Mapping[str, list[int]]) -> bool:
    if node.op_type not in LAYER_OPERATORS or node.input[1] not in initializers:
        return False
    shape = initializers[node.input[1]]
    return node.op_type != "MatMul" or (len(shape) == 2 and min(shape) >= MINIMUM_MATMUL_SIDE)


def _skipped_branches(model: onnx.ModelProto, layers: Collection[str]) -> dict[str, str]:
    """Return, by name of a residual Add, its input that is to be read in int8.

    The other input is a convolution's result that nothing else reads, so that TensorRT adds
    within the convolution; if that one is not among the layers, the Add is left alone. Where both
    inputs are such, the second is read in int8, whichever layers are chosen.
    """
    graph = model.graph
    producer = producers(graph)
    readers = Counter(name for node in graph.node for name in node.input)
    candidates = set(quantizable_layers(model))
    skipped = {}
    for node in graph.node:
        if node.op_type != "Add" or node.input[0] == node.input[1]:
            continue
        fused = [
            name
            for name in node.input
            if name in producer
            and producer[name].op_type == "Conv"
            and producer[name].name in candidates
            and readers[name] == 1
        ]
        if fused and producer[fused[0]].name in layers:
            other = node.input[1] if fused[0] == node.input[0] else node.input[0]
            if other in producer or other == model.graph.input[0].name:
                skipped[node.name] = other
    return skipped


def _ranges(model: onnx.ModelProto, thresholds: Mapping[str, float]) -> TensorsData:
    """Return thresholds as ONNX Runtime reads them; tensors not named are not quantized."""
    ranges = {
        tensor: (np.array(-threshold, np.float32), np.array(threshold, np.float32))
        for tensor, threshold in thresholds.items()
    }
    return TensorsData(CalibrationMethod.MinMax, ranges)


def _quantize_skipped_branches(
    graph: onnx.GraphProto, skipped: Mapping[str, str], thresholds: Mapping[str, float]
) -> None:
    """Give every residual Add its Q/DQ; where the branch feeds a layer too, it has one already."""
    for node in [node for node in graph.node if node.name in skipped]:
        tensor = skipped[node.name]
        for index, name in enumerate(node.input):
            if name == tensor:
                node.input[index] = _insert_pair(graph, node, tensor, thresholds[tensor])


def _free_activations(graph: onnx.GraphProto) -> None:
    """Let activations read a convolution's result as it comes, also where a layer reads it too.

    ONNX Runtime's quantizer leads every reader of a tensor through the tensor's pair.
    """
    producer = producers(graph)
    for node in graph.node:
        if node.op_type not in ACTIVATIONS:
            continue
        source = _behind_pair(producer, node.input[0])
        layer = producer.get(source) if source is not None else None
        if source is not None and layer is not None and layer.op_type in LAYER_OPERATORS:
            node.input[0] = source


def _behind_pair(producer: Mapping[str, onnx.NodeProto], tensor: str) -> str | None:
    """Return what goes into the Q/DQ pair that a tensor comes out of, or None."""
    dequantize = producer.get(tensor)
    if dequantize is None or dequantize.op_type != "DequantizeLinear":
        return None
    quantize = producer.get(dequantize.input[0])
    return quantize.input[0] if quantize is not None else None


def _insert_pair(
    graph: onnx.GraphProto, reader: onnx.NodeProto, tensor: str, threshold: float
) -> str:
    """Put a Q/DQ pair of a tensor in front of its reader and return the pair's output."""
    scale = np.array(threshold / INT8_MAX if threshold > 0 else 1.0, np.float32)
    constants: dict[str, NDArray[Any]] = {
        f"{tensor}_skip_scale": scale,
        f"{tensor}_skip_zero_point": np.array(0, np.int8),
    }
    graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in constants.items())
    quantized, result = f"{tensor}_skip_quantized", f"{tensor}_skip"
    position = list(graph.node).index(reader)
    pair = (
        ("QuantizeLinear", tensor, quantized),
        ("DequantizeLinear", quantized, result),
    )
    for offset, (op_type, source, target) in enumerate(pair):
        node = helper.make_node(
            op_type, [source, *constants], [target], name=f"{tensor}_skip_{op_type}"
        )
        graph.node.insert(position + offset, node)
    return result
