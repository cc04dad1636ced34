"""Random networks of operators that see a window each, and what one of them changes where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from graph_drawing import Drawing

OPSET = 17
CHANNELS = 3


@dataclass(frozen=True)
class Signal:
    """A tensor while a network is drawn: its name and how many pixels its cells are apart."""

    name: str
    stride: int


def reaching_network(seed: int, steps: int = 6) -> onnx.ModelProto:
    """A chain with skips of `steps` operators; scores at 1/stride, all sizes open."""
    rng = np.random.default_rng(seed)
    draw = Drawing(rng, opset=OPSET, half=False, form="initializer")
    last = Signal(_conv(draw, "NORMALIZED", step=1), 1)
    passed = [last]
    for _ in range(steps):
        kinds = [_kept, _kept, _shrunk, _skipped]
        if last.stride > 1:
            kinds += [_grown, _grown]
        last = rng.choice(np.array(kinds, object))(draw, last, passed)
        passed.append(last)
    return _model(draw, last.name)


def plain_network(seed: int, steps: list[int]) -> onnx.ModelProto:
    """Convolutions 3x3 with positive weights and these strides, in which nothing cancels."""
    draw = Drawing(np.random.default_rng(seed), opset=OPSET, half=False, form="initializer")
    name = "NORMALIZED"
    for step in steps:
        weights = draw.constant(draw.rng.uniform(0.2, 0.4, (CHANNELS, CHANNELS, 3, 3)))
        name = draw.node(
            "Conv", name, weights, kernel_shape=[3, 3], pads=[1] * 4, strides=[step] * 2
        )
    return _model(draw, name)


def _model(draw: Drawing, scores: str) -> onnx.ModelProto:
    draw.nodes.append(helper.make_node("Identity", [scores], ["SCORES"], "output"))
    shape = ["N", 3, "H", "W"]
    graph = helper.make_graph(
        draw.nodes, "reaching",
        [helper.make_tensor_value_info("NORMALIZED", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("SCORES", TensorProto.FLOAT, ["N", CHANNELS, "h", "w"])],
        draw.constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _conv(draw: Drawing, source: str, step: int) -> str:
    rng = draw.rng
    side, dilation = int(rng.choice([1, 2, 3, 5])), 1 if step > 1 else int(rng.choice([1, 1, 2]))
    window = (side - 1) * dilation + 1
    both = max(window - step, 0)
    before = int(rng.integers(0, both + 1))
    weights = draw.constant(rng.normal(0, 1 / side, (CHANNELS, CHANNELS, side, side)))
    padding = {"pads": [before, before, both - before, both - before]}
    if dilation == 1 and rng.random() < 0.3:
        padding = {"auto_pad": str(rng.choice(["SAME_UPPER", "SAME_LOWER"]))}
    return draw.node(
        "Conv", source, weights, kernel_shape=[side] * 2, strides=[step] * 2,
        dilations=[dilation] * 2, **padding,
    )  # fmt: skip


def _kept(draw: Drawing, last: Signal, passed: list[Signal]) -> Signal:
    kind, name = draw.rng.choice(["conv", "pool", "mean", "pad", "slice"]), last.name
    if kind == "conv":
        return Signal(draw.node("Relu", _conv(draw, name, 1)), last.stride)
    if kind == "pool":
        pads = {"kernel_shape": [3, 3], "pads": [2, 0, 0, 2]}
        return Signal(draw.node("MaxPool", name, **pads), last.stride)
    if kind == "mean":
        pads = {"kernel_shape": [2, 4], "pads": [0, 2, 1, 1]}
        return Signal(draw.node("AveragePool", name, **pads), last.stride)
    if kind == "pad":
        mode = str(draw.rng.choice(["constant", "edge", "reflect"]))
        wide = draw.node("Pad", name, draw.integers(0, 0, 2, 0, 0, 0, 0, 1), mode=mode)
        pads = {"kernel_shape": [3, 2], "pads": [0] * 4}
        return Signal(draw.node("MaxPool", wide, **pads), last.stride)
    wide = draw.node("Pad", name, draw.integers(0, 0, 3, 0, 0, 0, 0, 1), mode="constant")
    bounds = draw.integers(3, 0), draw.integers(2**31, -1), draw.integers(2, 3)
    return Signal(draw.node("Slice", wide, *bounds), last.stride)


def _shrunk(draw: Drawing, last: Signal, passed: list[Signal]) -> Signal:
    kind = draw.rng.choice(["conv", "pool", "space"])
    if kind == "conv":
        return Signal(_conv(draw, last.name, 2), 2 * last.stride)
    if kind == "pool":
        pool = draw.node("MaxPool", last.name, kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])
        return Signal(pool, 2 * last.stride)
    deep = draw.node("SpaceToDepth", last.name, blocksize=2)
    weights = draw.constant(draw.rng.normal(0, 0.3, (CHANNELS, 4 * CHANNELS, 1, 1)))
    return Signal(draw.node("Conv", deep, weights), 2 * last.stride)


def _grown(draw: Drawing, last: Signal, passed: list[Signal]) -> Signal:
    kind, rng = draw.rng.choice(["resize", "transposed", "depth"]), draw.rng
    if kind == "transposed":
        weights = draw.constant(rng.normal(0, 0.3, (CHANNELS, CHANNELS, 4, 4)))
        pads = {"kernel_shape": [4, 4], "pads": [1, 2, 1, 0], "strides": [2, 2]}
        return Signal(draw.node("ConvTranspose", last.name, weights, **pads), last.stride // 2)
    if kind == "depth":
        weights = draw.constant(rng.normal(0, 0.3, (4 * CHANNELS, CHANNELS, 1, 1)))
        deep = draw.node("Conv", last.name, weights)
        return Signal(draw.node("DepthToSpace", deep, blocksize=2), last.stride // 2)
    mode = str(rng.choice(["linear", "cubic", "nearest"]))
    places = str(rng.choice(["half_pixel", "pytorch_half_pixel", "asymmetric"]))
    attributes = {"mode": mode, "coordinate_transformation_mode": places}
    if mode == "nearest":
        rounds = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
        attributes["nearest_mode"] = str(rng.choice(rounds))
    finer = [one for one in passed if one.stride < last.stride]
    if finer and rng.random() < 0.6:
        other = finer[int(rng.integers(len(finer)))]
        size = draw.node("Concat", draw.size_of(last.name, 0, 2), draw.size_of(other.name), axis=0)
        grown = draw.node("Resize", last.name, "", "", size, **attributes)
        return Signal(draw.node("Add", grown, other.name), other.stride)
    scales = draw.constant([1, 1, 2, 2], np.float32)
    return Signal(draw.node("Resize", last.name, "", scales, **attributes), last.stride // 2)


def _skipped(draw: Drawing, last: Signal, passed: list[Signal]) -> Signal:
    alike = [one for one in passed if one.stride == last.stride]
    other = alike[int(draw.rng.integers(len(alike)))]
    both = draw.node("Concat", last.name, other.name, axis=1)
    weights = draw.constant(draw.rng.normal(0, 0.3, (CHANNELS, 2 * CHANNELS, 1, 1)))
    return Signal(draw.node("Conv", both, weights), last.stride)


class Upsampled:
    """A network with the interpolation of its scores to the input's size, by ONNX Runtime."""

    def __init__(self, model: onnx.ModelProto, stride: int) -> None:
        whole = onnx.ModelProto()
        whole.CopyFrom(model)
        scales = np.array([1, 1, stride, stride], np.float32)
        whole.graph.initializer.append(onnx.numpy_helper.from_array(scales, "to_picture"))
        whole.graph.node.append(
            helper.make_node(
                "Resize", ["SCORES", "", "to_picture"], ["result"], "to_picture_resize",
                mode="linear", coordinate_transformation_mode="half_pixel",
            )
        )  # fmt: skip
        whole.graph.output[0].CopyFrom(helper.make_empty_tensor_value_info("result"))
        self._session = onnxruntime.InferenceSession(
            whole.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def __call__(self, batch_nchw: np.ndarray) -> np.ndarray:
        return self._session.run(None, {"NORMALIZED": batch_nchw})[0]


def stride_of(model: onnx.ModelProto) -> int:
    """Pixels of the input to a cell of the scores, by running it."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    scores = session.run(None, {"NORMALIZED": np.zeros((1, 3, 256, 256), np.float32)})[0]
    return 256 // scores.shape[2]
