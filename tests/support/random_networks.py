"""Random networks, the upsampling behind them, and what makes a network's result chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graph_drawing import AXES_ARE_INPUT_SINCE, Drawing
from random_tails import edited

COORDINATES = (
    "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric",
    "tf_half_pixel_for_nn",
)  # fmt: skip
KNOWN_IN_OPSETS = {"half_pixel_symmetric": range(19, 99), "tf_half_pixel_for_nn": range(11, 13)}
"""Of the coordinates that are not known in all."""
NEAREST_MODES = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
SIZINGS = ("scales", "shape", "sizes", "axes")
"""By factors; by the input's size, read when it runs; by numbers; by those of two axes only."""
AXES_SINCE = 18
CHANCES = {
    "batch_norm_training": 14,
    "dropout_training": 12,
    "normal_noise": 11,
    "uniform_noise": 11,
    "batch_mean": 11,
}
"""What makes the result depend on chance or on other pictures, and since which opset it can."""
CHANNELS = 6
DROPOUT_WITH_INPUTS_SINCE = 12


@dataclass(frozen=True, kw_only=True)
class Upsampling:
    """How scores become larger.

    Attributes:
        kind: "none", "resize", "crop", "transposed" or "depth_to_space".
        mode: Of a Resize: "linear", "cubic" or "nearest".
        coordinates: One of `COORDINATES`.
        nearest_mode: One of `NEAREST_MODES`.
        sizing: One of `SIZINGS`.
    """

    kind: str
    mode: str = "linear"
    coordinates: str = "half_pixel"
    nearest_mode: str = "floor"
    sizing: str = "scales"

    def __str__(self) -> str:
        if self.kind not in ("resize", "crop"):
            return self.kind
        mode = f"nearest {self.nearest_mode}" if self.mode == "nearest" else self.mode
        return f"{self.kind} {mode} {self.coordinates} by {self.sizing}"


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """What a network is drawn from.

    Attributes:
        stride: Of its scores.
        outputs: Channels of its scores.
        residual: Whether a branch of twice the stride is concatenated.
        norm: "none", or "batch_norm" and "dropout" as they are in evaluation.
        chance: One of `CHANCES`, or "none".
        edit: What is done to its scores, one of `EDITS`.
        upsampling: Behind that.
        size_hw: Of its input, None where open.
    """

    stride: int
    outputs: int
    residual: bool
    norm: str
    chance: str
    edit: str
    upsampling: Upsampling
    size_hw: tuple[int, int] | None


def random_upsampling(
    rng: np.random.Generator, opset: int, *, stride: int, fixed: bool
) -> Upsampling:
    """Draw one that the opset knows."""
    if stride == 1:
        return Upsampling(kind="none")
    kind = str(
        rng.choice(["none", "resize", "crop", "transposed", "depth_to_space"],
                   p=[0.12, 0.62, 0.12, 0.07, 0.07])
    )  # fmt: skip
    mode = str(rng.choice(["linear", "cubic", "nearest"], p=[0.65, 0.12, 0.23]))
    coordinates = str(
        rng.choice([one for one in COORDINATES if opset in KNOWN_IN_OPSETS.get(one, range(99))])
    )
    known = [
        one
        for one in SIZINGS
        if (fixed or one in ("scales", "shape")) and (one != "axes" or opset >= AXES_SINCE)
    ]
    nearest_mode, sizing = str(rng.choice(NEAREST_MODES)), str(rng.choice(known))
    if kind == "crop":
        return Upsampling(kind=kind, sizing="scales", coordinates="half_pixel")
    return Upsampling(
        kind=kind, mode=mode, coordinates=coordinates, nearest_mode=nearest_mode, sizing=sizing
    )


def draw_network(draw: Drawing, source: str, plan: NetworkPlan) -> str:
    """Add a network of a few convolutions; return its scores, upsampled."""
    image = source
    if plan.upsampling.kind == "crop":  # as exporters write sizes that the stride must divide
        more = 2 * plan.stride if plan.residual else plan.stride
        pads = draw.integers(0, 0, 0, 0, 0, 0, more, more)
        source = draw.node("Pad", source, pads, mode="edge")
    tensor, channels, left = source, 3, plan.stride
    while True:
        tensor = draw.conv(tensor, channels, CHANNELS, 2 if left > 1 else 1)
        tensor = _normalized(draw, tensor, plan.norm)
        tensor = draw.node("Relu", tensor)
        channels, left = CHANNELS, left // 2
        if left <= 1:
            break
    tensor = _by_chance(draw, tensor, plan.chance)
    if plan.residual:
        coarse = draw.node("Relu", draw.conv(tensor, channels, CHANNELS, 2))
        scales = draw.constant([1, 1, 2, 2], np.float32)
        fine = draw.node("Resize", coarse, _no_roi(draw), scales, mode="linear")
        tensor, channels = draw.node("Concat", tensor, fine, axis=1), 2 * CHANNELS
    return _upsampled(draw, tensor, channels, image, plan)


def _normalized(draw: Drawing, tensor: str, norm: str) -> str:
    if norm == "batch_norm":
        statistics = [
            draw.constant(draw.rng.uniform(low, high, CHANNELS))
            for low, high in ((0.5, 1.5), (-0.3, 0.3), (-0.3, 0.3), (0.5, 1.5))
        ]
        return draw.node("BatchNormalization", tensor, *statistics)
    if norm == "dropout":
        if draw.opset < DROPOUT_WITH_INPUTS_SINCE:
            return draw.node("Dropout", tensor, ratio=0.5)
        return draw.node("Dropout", tensor, draw.constant(0.5))
    return tensor


def _by_chance(draw: Drawing, tensor: str, chance: str) -> str:
    if chance == "batch_norm_training":
        ones, zeros = draw.constant(np.ones(CHANNELS)), draw.constant(np.zeros(CHANNELS))
        statistics = (ones, zeros, zeros, ones)
        return draw.node("BatchNormalization", tensor, *statistics, outputs=3, training_mode=1)
    if chance == "dropout_training":
        training = draw.constant(True, np.bool_)
        return draw.node("Dropout", tensor, draw.constant(0.5), training)
    if chance in ("normal_noise", "uniform_noise"):
        operator = "RandomNormalLike" if chance == "normal_noise" else "RandomUniformLike"
        return draw.node("Add", tensor, draw.node(operator, tensor))
    if chance == "batch_mean":
        return draw.node("Add", tensor, _mean_over_batch(draw, tensor))
    return tensor


def _mean_over_batch(draw: Drawing, tensor: str) -> str:
    if draw.opset < AXES_SINCE:
        return draw.node("ReduceMean", tensor, axes=[0], keepdims=1)
    return draw.node("ReduceMean", tensor, draw.integers(0), keepdims=1)


def _no_roi(draw: Drawing) -> str:
    return "" if draw.opset >= AXES_ARE_INPUT_SINCE else draw.constant([], np.float32)


def _upsampled(draw: Drawing, tensor: str, channels: int, image: str, plan: NetworkPlan) -> str:
    how, stride = plan.upsampling, plan.stride
    if how.kind == "depth_to_space":
        deep = draw.conv(tensor, channels, plan.outputs * stride * stride, 1)
        return draw.node("DepthToSpace", deep, blocksize=stride, mode="CRD")
    scores = edited(draw, draw.conv(tensor, channels, plan.outputs, 1), plan.edit, plan.outputs)
    if how.kind == "none":
        return scores
    if how.kind == "transposed":
        weights = draw.rng.normal(0, 0.5, (plan.outputs, plan.outputs, stride, stride))
        return draw.node(
            "ConvTranspose", scores, draw.constant(weights), strides=[stride] * 2,
            kernel_shape=[stride] * 2,
        )  # fmt: skip
    large = _resized(draw, scores, image, plan)
    if how.kind == "crop":
        axes = draw.integers(2, 3)
        return draw.node("Slice", large, draw.integers(0, 0), draw.size_of(image), axes)
    return large


def _resized(draw: Drawing, scores: str, image: str, plan: NetworkPlan) -> str:
    how = plan.upsampling
    attributes = {"mode": how.mode, "coordinate_transformation_mode": how.coordinates}
    if how.mode == "nearest":
        attributes["nearest_mode"] = how.nearest_mode
    roi = _no_roi(draw)
    if how.sizing == "scales":
        scales = draw.constant([1, 1, plan.stride, plan.stride], np.float32)
        return draw.node("Resize", scores, roi, scales, **attributes)
    empty = _no_roi(draw)
    if how.sizing == "shape":
        front = draw.size_of(scores, 0, 2)
        sizes = draw.node("Concat", front, draw.size_of(image), axis=0)
    elif how.sizing == "sizes":
        front = draw.size_of(scores, 0, 2)
        sizes = draw.node("Concat", front, draw.integers(*(plan.size_hw or ())), axis=0)
    else:
        sizes = draw.integers(*(plan.size_hw or ()))
        attributes["axes"] = [2, 3]
    return draw.node("Resize", scores, roi, empty, sizes, **attributes)
