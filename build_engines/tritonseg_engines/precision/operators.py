"""Which ONNX operators TensorRT's parser reads, from 8.6 to 11.

Sources: onnx/onnx-tensorrt, `docs/operators.md`, commit 6d0ab7be (TensorRT 8.5, opset 17, the
last table before 8.6; operators are added and not taken away) and its 10.1 edition for what came
later; newest opsets: 8.6 from NVIDIA/TensorRT's polygraphy and OSS documentation ("TensorRT 8.6
supports operators up to Opset 17"), 10 from the 10.0 edition of the table, 11 from
docs.nvidia.com/deeplearning/tensorrt, "ONNX Opset Guide" (TensorRT 11.x: 9 to 25).
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

NEWEST_OPSET = {"8.6": 17, "10": 20, "11": 25}
"""By TensorRT release, oldest first."""
OLDEST_OPSET = 9

_NAMES_8_6 = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast
    Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace
    DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather
    GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
    GreaterOrEqual GridSample HardSigmoid HardSwish Identity If InstanceNormalization IsNaN
    LeakyRelu Less LessOrEqual Log LogSoftmax Loop LRN LpNormalization LpPool MatMul Max MaxPool
    Mean MeanVarianceNormalization Min Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or Pad Pow
    PRelu QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize RoiAlign Round
    ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus
    Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose
    Trilu Unsqueeze Upsample Where Xor
"""
SINCE_8_6 = frozenset(_NAMES_8_6.split())
SINCE_10 = frozenset({"GroupNormalization", "LayerNormalization"})
SINCE_11 = frozenset({"Gelu", "Hardmax", "IsInf", "Mish", "RMSNormalization", "Swish"})
"""Source: TensorRT-RTX 1.7, which shares its parser with TensorRT 11, compiles each of them; what
TensorRT 10 makes of them is not known here."""


def tensorrt_releases(operators: Iterable[str], opset: int) -> list[str]:
    """Return the TensorRT releases that read all of the operators at an opset, oldest first."""
    used = frozenset(operators)
    return [
        release
        for release, newest in NEWEST_OPSET.items()
        if OLDEST_OPSET <= opset <= newest and not unreadable(used, release)
    ]


def unreadable(operators: Iterable[str], release: str) -> list[str]:
    """Return the operators that a TensorRT release does not read."""
    known = SINCE_8_6
    if release != "8.6":
        known |= SINCE_10
    if release == "11":
        known |= SINCE_11
    return sorted(set(operators) - known)


def full_name(node: ir.Node) -> str:
    """Return a node's operator, with its domain where that is not ONNX's."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
