"""Random small exports with the tails that exporters write, and what each of them means.

Nothing of the product is imported: the truth is ONNX Runtime on the file as it came, its classes
taken here by NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

ELEMENT_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
}
SCORE_TAILS = (
    "none", "softmax", "log_softmax", "argmax", "argmax_keepdims", "argmax_float", "softmax_argmax",
    "nhwc", "nhwc_softmax", "nhwc_argmax", "prior", "negated_argmin", "cast_half", "identity",
)  # fmt: skip
BINARY_TAILS = (
    "none", "sigmoid", "sigmoid_identity", "sigmoid_cast", "hard_sigmoid", "one_minus_sigmoid",
    "written_out", "greater", "round", "clip", "squeezed", "nhwc",
)  # fmt: skip
UPSAMPLINGS = (
    "none", "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "nearest",
    "by_size", "transposed", "depth_to_space",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Export:
    """One random export.

    Attributes:
        model: The file.
        description: What it was drawn from, in words.
        document: Its YAML specification, parsed.
        image_hwc: A picture that it takes, uint8.
        probability: Whether a binary output is one.
    """

    model: onnx.ModelProto = field(repr=False)
    description: str
    document: dict[str, Any]
    image_hwc: np.ndarray = field(repr=False)
    probability: bool

    def mask(self) -> tuple[np.ndarray, np.ndarray]:
        """Classes `(H, W)` of the picture by ONNX Runtime, and where rounding cannot move them."""
        fields = self.document
        batch = (self.image_hwc - np.array(fields["mean"])) / np.array(fields["scale"])
        batch = batch.astype(np.float32).astype(fields["input"]["dtype"])[None]
        if fields["input"]["layout"] == "NCHW":
            batch = batch.transpose(0, 3, 1, 2)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            self.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        inputs = {"image": np.ascontiguousarray(batch)}
        (output,) = session.run(["result"], inputs)
        size_hw = self.image_hwc.shape[:2]
        if fields["output"]["kind"] == "class_map":
            classes_hw = output.reshape(output.shape[-2:] if output.shape[-1] != 1 else
                                        output.shape[-3:-1]).astype(int)  # fmt: skip
            return nearest(classes_hw, size_hw), np.ones(size_hw, bool)
        count = 1 if fields["output"]["kind"] == "binary" else fields["classes"]
        scores = output.astype(np.float64)
        scores = scores.reshape(scores.shape[-3:]) if scores.ndim == 4 else scores
        if scores.shape[0] != count:
            scores = scores.transpose(2, 0, 1)
        scores = np.stack([bilinear(plane, size_hw) for plane in scores])
        margin = 1e-3 * max(np.abs(scores).max(), 1e-3)
        if output.dtype == np.float16 or fields["input"]["dtype"] == "float16":
            margin *= 10
        if count == 1:
            distance = scores[0] - (0.5 if self.probability else 0.0)
            return (distance > 0).astype(int), np.abs(distance) > margin
        ranked = np.sort(scores, axis=0)
        return scores.argmax(axis=0), ranked[-1] - ranked[-2] > margin


def bilinear(plane: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Half-pixel centres, edges repeated."""
    axes = []
    for wanted, have in zip(size_hw, plane.shape, strict=True):
        position = ((np.arange(wanted) + 0.5) * have / wanted - 0.5).clip(0, have - 1)
        low = np.floor(position).astype(int)
        axes.append((low, np.minimum(low + 1, have - 1), position - low))
    (top, bottom, down), (left, right, along) = axes
    rows = plane[top] * (1 - down)[:, None] + plane[bottom] * down[:, None]
    return rows[:, left] * (1 - along) + rows[:, right] * along


def nearest(classes_hw: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """The class whose cell a pixel's centre lies in."""
    rows, columns = (
        (2 * np.arange(wanted) + 1) * have // (2 * wanted)
        for wanted, have in zip(size_hw, classes_hw.shape, strict=True)
    )
    return classes_hw[rows[:, None], columns]


class _Drawing:
    """Nodes and constants as they are drawn."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        name = f"ct{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [output], f"n{output}", **attributes))
        return output

    def conv(self, source: str, inputs: int, outputs: int, stride: int) -> str:
        weights = self.rng.normal(0, np.sqrt(2 / (9 * inputs)), (outputs, inputs, 3, 3))
        bias = self.rng.normal(0, 0.3, outputs)
        return self.node(
            "Conv", source, self.constant(weights), self.constant(bias),
            kernel_shape=[3, 3], pads=[1] * 4, strides=[stride] * 2,
        )  # fmt: skip


def random_export(seed: int) -> Export:
    """The export of a seed."""
    rng = np.random.default_rng(seed)
    draw = _Drawing(rng)
    binary = bool(rng.random() < 0.4)
    stride = int(rng.choice([1, 2, 4, 8]))
    upsampling = "none" if stride == 1 else str(rng.choice(UPSAMPLINGS))
    tail = str(rng.choice(BINARY_TAILS if binary else SCORE_TAILS))
    dtype = str(rng.choice(["float32", "float32", "float16", "uint8"]))
    layout = str(rng.choice(["NCHW", "NCHW", "NHWC"]))
    open_size = bool(rng.random() < 0.4)
    batch = str(rng.choice(["N", "1"]))
    opset = int(rng.choice([11, 13, 16, 17, 18, 19, 21]))
    extra_output = bool(rng.random() < 0.2)
    classes = 2 if binary else int(rng.choice([2, 3, 5, 19]))
    height, width = (int(8 * rng.integers(6, 11)) for _ in range(2))
    image_hw = (height, width)
    if open_size and rng.random() < 0.6:
        image_hw = (height - int(rng.integers(0, 8)), width - int(rng.integers(0, 8)))

    source = "image" if dtype == "float32" else draw.node("Cast", "image", to=TensorProto.FLOAT)
    if layout == "NHWC":
        source = draw.node("Transpose", source, perm=[0, 3, 1, 2])
    if dtype == "uint8":
        source = draw.node("Div", source, draw.constant(128.0))
        source = draw.node("Sub", source, draw.constant(1.0))
    scores = _network(draw, source, stride, 1 if binary else classes, upsampling, opset)
    tailed, kind, probability = _tail(draw, scores, tail, binary, classes, opset)
    draw.nodes[-1].output[0] = "result"
    for node in draw.nodes:
        for index, name in enumerate(node.input):
            node.input[index] = "result" if name == tailed else name
    sizes = ("h", "w") if open_size else image_hw
    shape = [batch if batch == "N" else 1, 3, *sizes]
    if layout == "NHWC":
        shape = [shape[0], *sizes, 3]
    outputs = [helper.make_empty_tensor_value_info("result")]
    if extra_output:
        draw.nodes.append(helper.make_node("Relu", [scores], ["aux"], "aux"))
        outputs.insert(int(rng.integers(2)), helper.make_empty_tensor_value_info("aux"))
    graph = helper.make_graph(
        draw.nodes, "random", [helper.make_tensor_value_info("image", ELEMENT_TYPES[dtype], shape)],
        outputs, draw.constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model)
    for value in inferred.graph.output:
        if value.type.tensor_type.elem_type == 0:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    del inferred.graph.value_info[:]
    coarse = rng.normal(128, 70, (image_hw[0] // 6 + 2, image_hw[1] // 6 + 2, 3))
    picture = np.stack([bilinear(coarse[..., c], image_hw) for c in range(3)], axis=-1)
    whole = dtype == "uint8"
    document = {
        "name": f"random-{seed}",
        "input": {"name": "image", "dtype": dtype, "layout": layout}
        | ({} if open_size else {"height": image_hw[0], "width": image_hw[1]}),
        "mean": [0.0] * 3 if whole else [120.0, 110.0, 100.0],
        "scale": [1.0] * 3 if whole else [60.0, 58.0, 57.0],
        "output": {"name": "result", "kind": kind},
        "classes": classes,
    }
    if not open_size:
        document["resize"] = {"policy": "stretch"}
    words = (
        f"{kind} {tail}, stride {stride}, {upsampling}, {dtype} {layout}, opset {opset}, batch "
        f"{batch}, {'open' if open_size else 'fixed'} {image_hw}, classes {classes}, "
        f"{'two outputs' if extra_output else 'one output'}"
    )
    return Export(
        model=inferred, description=f"seed {seed}: {words}", document=document,
        image_hwc=picture.clip(0, 255).astype(np.uint8), probability=probability,
    )  # fmt: skip


def _network(
    draw: _Drawing, source: str, stride: int, outputs: int, upsampling: str, opset: int
) -> str:
    channels, left = 3, stride
    tensor = source
    while True:
        step = 2 if left > 1 else 1
        tensor = draw.node("Relu", draw.conv(tensor, channels, 6, step))
        channels, left = 6, left // 2
        if left <= 1:
            break
    if upsampling == "depth_to_space":
        deep = draw.conv(tensor, channels, outputs * stride * stride, 1)
        return draw.node("DepthToSpace", deep, blocksize=stride, mode="CRD")
    scores = draw.conv(tensor, channels, outputs, 1)
    if upsampling == "none":
        return scores
    if upsampling == "transposed":
        weights = draw.rng.normal(0, 0.5, (outputs, outputs, stride, stride))
        return draw.node(
            "ConvTranspose", scores, draw.constant(weights), strides=[stride] * 2,
            kernel_shape=[stride] * 2,
        )  # fmt: skip
    roi = "" if opset >= 13 else draw.constant([])
    mode = "nearest" if upsampling == "nearest" else "linear"
    coordinates = "half_pixel" if upsampling in ("nearest", "by_size") else upsampling
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if upsampling == "by_size":
        shape = draw.node("Shape", source)
        bounds = (draw.constant([2], np.int64), draw.constant([4], np.int64))
        size = draw.node("Slice", shape, *bounds)
        front = draw.node(
            "Slice", draw.node("Shape", scores), draw.constant([0], np.int64),
            draw.constant([2], np.int64),
        )  # fmt: skip
        sizes = draw.node("Concat", front, size, axis=0)
        empty = "" if opset >= 13 else draw.constant([])
        return draw.node("Resize", scores, roi, empty, sizes, **attributes)
    scales = draw.constant([1, 1, stride, stride])
    return draw.node("Resize", scores, roi, scales, **attributes)


def _tail(
    draw: _Drawing, scores: str, tail: str, binary: bool, classes: int, opset: int
) -> tuple[str, str, bool]:
    """Add what stands behind the scores; return the last tensor, the kind, and if it is a
    probability."""
    if binary:
        return *_binary_tail(draw, scores, tail, opset),
    to_last = {"perm": [0, 2, 3, 1]}
    if tail in ("softmax", "log_softmax"):
        return draw.node({"softmax": "Softmax"}.get(tail, "LogSoftmax"), scores, axis=1), "scores", False  # fmt: skip
    if tail == "prior":
        prior = draw.rng.normal(0, 1, (1, classes, 1, 1))
        return draw.node("Add", scores, draw.constant(prior)), "scores", False
    if tail == "cast_half":
        return draw.node("Cast", scores, to=TensorProto.FLOAT16), "scores", False
    if tail in ("nhwc", "nhwc_softmax"):
        last = draw.node("Transpose", scores, **to_last)
        if tail == "nhwc_softmax" and opset >= 13:
            last = draw.node("Softmax", last, axis=-1)
        return last, "scores", False
    if tail == "negated_argmin":
        last = draw.node("ArgMin", draw.node("Neg", scores), axis=1, keepdims=0)
        return last, "class_map", False
    if tail == "nhwc_argmax":
        last = draw.node("Transpose", scores, **to_last)
        return draw.node("ArgMax", last, axis=-1, keepdims=0), "class_map", False
    if "argmax" in tail:
        if tail == "softmax_argmax":
            scores = draw.node("Softmax", scores, axis=1)
        last = draw.node("ArgMax", scores, axis=1, keepdims=int(tail == "argmax_keepdims"))
        if tail == "argmax_float":
            last = draw.node("Cast", last, to=TensorProto.FLOAT)
        return last, "class_map", False
    return draw.node("Identity", scores), "scores", False


def _binary_tail(draw: _Drawing, scores: str, tail: str, opset: int) -> tuple[str, str, bool]:
    one = draw.constant(1.0)
    if tail == "none":
        return draw.node("Identity", scores), "binary", False
    if tail == "squeezed":
        if opset < 13:
            return draw.node("Squeeze", scores, axes=[1]), "binary", False
        return draw.node("Squeeze", scores, draw.constant([1], np.int64)), "binary", False
    if tail == "nhwc":
        return draw.node("Transpose", scores, perm=[0, 2, 3, 1]), "binary", False
    if tail == "hard_sigmoid":
        return draw.node("HardSigmoid", scores), "binary", True
    if tail == "written_out":
        exponential = draw.node("Exp", draw.node("Neg", scores))
        return draw.node("Div", one, draw.node("Add", exponential, one)), "binary", True
    if tail == "greater":
        above = draw.node("Greater", scores, draw.constant(0.0))
        return draw.node("Cast", above, to=TensorProto.FLOAT), "binary", True
    if tail == "clip":
        half = draw.node("Add", scores, draw.constant(0.5))
        return draw.node("Clip", half, draw.constant(0.0), one), "binary", True
    sigmoid = draw.node("Sigmoid", scores)
    if tail == "sigmoid_identity":
        return draw.node("Identity", sigmoid), "binary", True
    if tail == "sigmoid_cast":
        return draw.node("Cast", sigmoid, to=TensorProto.FLOAT16), "binary", True
    if tail == "one_minus_sigmoid":
        return draw.node("Sub", one, sigmoid), "binary", True
    if tail == "round":
        return draw.node("Round", sigmoid), "binary", True
    return sigmoid, "binary", True
