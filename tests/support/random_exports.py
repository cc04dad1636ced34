"""Random small exports with the tails that exporters write, and what each of them means.

Nothing of the product is imported: the truth is ONNX Runtime on the file as it came, its classes
taken by NumPy (`export_masks.py`). What is drawn stands in `random_networks.py`, `random_tails.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper

from export_masks import bilinear, class_mask, run, score_mask
from graph_drawing import CONSTANT_FORMS, ELEMENT_TYPES, Drawing
from random_networks import CHANCES, NetworkPlan, draw_network, random_upsampling
from random_tails import (
    BINARY_CLASS_MAP_TAILS,
    BINARY_TAILS,
    CLASS_MAP_TAILS,
    EDITS,
    FORMS,
    INDEX_TYPES,
    SCORE_TAILS,
    Ranking,
    TailPlan,
    draw_tail,
    edited,
)

OPSETS = (11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)
REFUSED_SHARE = 0.08
"""Of what must be refused."""
OLDEST_IR, USUAL_IR = 3, 8
WHY_REFUSED = {
    "batch_norm_training": "scales by the pictures at hand",
    "dropout_training": "drops values by chance",
    "normal_noise": "adds random numbers",
    "uniform_noise": "adds random numbers",
    "batch_mean": "adds the mean of all pictures of the batch",
    "batch_of_two": "takes two pictures at once, and never one",
}


@dataclass(frozen=True, kw_only=True)
class Export:
    """One random export.

    Attributes:
        model: The file.
        description: What it was drawn from, in words.
        document: Its YAML specification, parsed.
        image_hwc: A picture that it takes, uint8.
        network_hw: Size of the input that the picture becomes.
        probability: Whether a binary output is one.
        ranking: Of a class map: what its classes are taken from.
        half: Whether it computes in float16 somewhere.
        refusal: Why no server can give its masks; None if it should be taken.
    """

    model: onnx.ModelProto = field(repr=False)
    description: str
    document: dict[str, Any]
    image_hwc: np.ndarray = field(repr=False)
    network_hw: tuple[int, int]
    probability: bool
    ranking: Ranking | None
    half: bool
    refusal: str | None = None

    def batch(self) -> np.ndarray:
        """Return the picture as the network takes it."""
        fields, image_hwc = self.document, self.image_hwc
        if image_hwc.shape[:2] != self.network_hw:
            image_hwc = cv2.resize(image_hwc, self.network_hw[::-1], interpolation=cv2.INTER_LINEAR)
        batch = (image_hwc - np.array(fields["mean"])) / np.array(fields["scale"])
        batch = batch.astype(np.float32).astype(fields["input"]["dtype"])[None]
        if fields["input"]["layout"] == "NCHW":
            batch = batch.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(batch)

    def mask(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the picture's classes `(H, W)`, and where rounding cannot move them.

        Raises:
            CannotRunError: ONNX Runtime does not run it.
        """
        size_hw = self.image_hwc.shape[0], self.image_hwc.shape[1]
        if self.ranking is not None:
            output, ranked = run(self.model, self.batch(), ["result", self.ranking.tensor])
            return class_mask(output, ranked, self.ranking, size_hw, half=self.half)
        (output,) = run(self.model, self.batch(), ["result"])
        return score_mask(
            output,
            size_hw,
            count=1 if self.document["output"]["kind"] == "binary" else self.document["classes"],
            threshold=0.5 if self.probability else 0.0,
            half=self.half or output.dtype == np.float16,
        )


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Everything that is drawn before a node is."""

    opset: int
    form: str
    half: bool
    dtype: str
    layout: str
    batch: str | int
    classes: int
    open_size: bool
    size_hw: tuple[int, int]
    image_hw: tuple[int, int]
    network: NetworkPlan
    edit: str
    tail: TailPlan
    extra_output: bool

    @property
    def refused(self) -> str | None:
        if self.batch == 2:
            return "batch_of_two"
        chance = self.network.chance
        # The mean of one picture is that picture.
        harmless = chance == "none" or (chance == "batch_mean" and self.batch == 1)
        return None if harmless else chance

    def __str__(self) -> str:
        network, kind = self.network, "binary" if self.network.outputs == 1 else "scores"
        size = "open" if self.open_size else "fixed"
        words = [
            f"{kind} {self.tail}", f"edits {network.edit}+{self.edit}", f"stride {network.stride}",
            str(network.upsampling), network.norm, "residual" if network.residual else "chain",
            f"{self.dtype} {self.layout}", "half" if self.half else "float", self.form,
            f"opset {self.opset}", f"batch {self.batch}", f"{size} {self.size_hw}",
            f"picture {self.image_hw}", f"classes {self.classes}",
            "two outputs" if self.extra_output else "one output",
        ]  # fmt: skip
        refused = [f"MUST BE REFUSED: {self.refused}"] if self.refused else []
        return ", ".join(words + refused)


def random_export(seed: int, *, fixed: bool = False, other_picture: bool = False) -> Export:
    """The export of a seed.

    Args:
        seed: The same seed is always the same export.
        fixed: Draw none of open size.
        other_picture: Give it a picture of another size than the network's, which `stretch` makes
            fit; the truth is its own output, interpolated to the picture.
    """
    rng = np.random.default_rng(seed)
    plan = _random_plan(rng, fixed=fixed, other_picture=other_picture)
    draw = Drawing(rng, opset=plan.opset, half=plan.half, form=plan.form)
    source = _input(draw, plan)
    outputs = plan.network.outputs
    scores = edited(draw, draw_network(draw, source, plan.network), plan.edit, outputs)
    tail = draw_tail(draw, scores, plan.tail, outputs)
    draw.rename(tail.tensor, "result")
    image_hwc = _picture(rng, plan.image_hw)
    return Export(
        model=_model(draw, plan, scores, rng),
        description=f"seed {seed}: {plan}",
        document=_document(seed, plan, tail.kind),
        image_hwc=image_hwc,
        network_hw=plan.image_hw if plan.open_size else plan.size_hw,
        probability=tail.probability,
        ranking=tail.ranking,
        half=plan.half or plan.dtype == "float16",
        refusal=WHY_REFUSED[plan.refused] if plan.refused else None,
    )


def _random_plan(rng: np.random.Generator, *, fixed: bool, other_picture: bool) -> _Plan:
    binary = bool(rng.random() < 0.4)
    classes = 2 if binary else int(rng.choice([2, 3, 5, 19]))
    opset, stride = int(rng.choice(OPSETS)), int(rng.choice([1, 2, 4, 8]))
    open_size = bool(rng.random() < 0.4) and not fixed
    residual = bool(rng.random() < 0.15)
    cells = 2 * stride if residual else 8  # of which the size is a multiple
    height, width = (int(cells * max(1, rng.integers(48, 88) // cells)) for _ in range(2))
    image_hw = (height, width)
    if open_size and not residual and rng.random() < 0.6:
        image_hw = (height - int(rng.integers(0, 8)), width - int(rng.integers(0, 8)))
    if other_picture and not open_size:
        image_hw = (int(rng.integers(40, 120)), int(rng.integers(40, 120)))
    half = bool(rng.random() < 0.08)
    dtype = str(rng.choice(["float32", "float32", "float16", "uint8"]))
    chance, batch = _chance(rng, opset)
    network = NetworkPlan(
        stride=stride, outputs=1 if binary else classes, residual=residual,
        norm=str(rng.choice(["none", "batch_norm", "dropout"], p=[0.6, 0.25, 0.15])),
        chance=chance, edit=_edit(rng, binary=binary),
        upsampling=random_upsampling(rng, opset, stride=stride, fixed=not open_size),
        size_hw=None if open_size else (height, width),
    )  # fmt: skip
    return _Plan(
        opset=opset, half=half, dtype=dtype, classes=classes, batch=batch,
        form=str(rng.choice(CONSTANT_FORMS, p=[0.55, 0.15, 0.15, 0.15])),
        layout=str(rng.choice(["NCHW", "NCHW", "NHWC"])), open_size=open_size,
        size_hw=(height, width), image_hw=image_hw, network=network,
        edit=_edit(rng, binary=binary), tail=_random_tail(rng, batch, binary=binary),
        extra_output=bool(rng.random() < 0.15),
    )  # fmt: skip


def _chance(rng: np.random.Generator, opset: int) -> tuple[str, str | int]:
    """Draw what must be refused, rarely, and the batch axis."""
    batch: str | int = "N" if rng.random() < 0.6 else 1
    if rng.random() >= REFUSED_SHARE:
        return "none", batch
    known = [chance for chance, since in CHANCES.items() if opset >= since]
    chance = str(rng.choice([*known, "batch_of_two"]))
    return ("none", 2) if chance == "batch_of_two" else (chance, batch)


def _edit(rng: np.random.Generator, *, binary: bool) -> str:
    if rng.random() < 0.7:
        return "none"
    # Rectified scores of one class are never below the threshold.
    return str(rng.choice([edit for edit in EDITS[1:] if not binary or edit != "rectified"]))


def _random_tail(rng: np.random.Generator, batch: str | int, *, binary: bool) -> TailPlan:
    class_map = rng.random() < (0.2 if binary else 0.5)
    names: tuple[str, ...] = BINARY_TAILS if binary else SCORE_TAILS
    if class_map:
        names = BINARY_CLASS_MAP_TAILS if binary else CLASS_MAP_TAILS
    types = (*INDEX_TYPES, "bool") if binary else INDEX_TYPES
    forms = FORMS if batch == 1 else FORMS[:-1]
    return TailPlan(
        name=str(rng.choice(names)), index_type=str(rng.choice(types)), form=str(rng.choice(forms)),
        negative_axis=bool(rng.random() < 0.4),
    )  # fmt: skip


def _input(draw: Drawing, plan: _Plan) -> str:
    """Return the picture as the first convolution takes it."""
    source, computed = "image", "float16" if plan.half else "float32"
    if plan.dtype != computed:
        source = draw.node("Cast", source, to=ELEMENT_TYPES[computed])
    if plan.layout == "NHWC":
        source = draw.node("Transpose", source, perm=[0, 3, 1, 2])
    if plan.dtype == "uint8":
        source = draw.node("Div", source, draw.constant(128.0))
        source = draw.node("Sub", source, draw.constant(1.0))
    return source


def _model(draw: Drawing, plan: _Plan, scores: str, rng: np.random.Generator) -> onnx.ModelProto:
    sizes = ("h", "w") if plan.open_size else plan.size_hw
    shape = [plan.batch, 3, *sizes] if plan.layout == "NCHW" else [plan.batch, *sizes, 3]
    outputs = [helper.make_empty_tensor_value_info("result")]
    if plan.extra_output:
        draw.nodes.append(helper.make_node("Relu", [scores], ["aux"], "aux"))
        outputs.insert(int(rng.integers(2)), helper.make_empty_tensor_value_info("aux"))
    image = helper.make_tensor_value_info("image", ELEMENT_TYPES[plan.dtype], shape)
    graph = helper.make_graph(
        draw.nodes, "random", [image, *draw.listed_inputs()], outputs, draw.constants
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", plan.opset)],
        ir_version=OLDEST_IR if plan.form == "listed" else USUAL_IR,
    )
    inferred = onnx.shape_inference.infer_shapes(model)
    for value in inferred.graph.output:
        if value.type.tensor_type.elem_type == 0:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    del inferred.graph.value_info[:]
    return inferred


def _picture(rng: np.random.Generator, image_hw: tuple[int, int]) -> np.ndarray:
    coarse = rng.normal(128, 70, (image_hw[0] // 6 + 2, image_hw[1] // 6 + 2, 3))
    picture = np.stack([bilinear(coarse[..., c], image_hw) for c in range(3)], axis=-1)
    return picture.clip(0, 255).astype(np.uint8)


def _document(seed: int, plan: _Plan, kind: str) -> dict[str, Any]:
    whole = plan.dtype == "uint8"
    height, width = plan.size_hw
    document = {
        "name": f"random-{seed}",
        "input": {"name": "image", "dtype": plan.dtype, "layout": plan.layout}
        | ({} if plan.open_size else {"height": height, "width": width}),
        "mean": [0.0] * 3 if whole else [120.0, 110.0, 100.0],
        "scale": [1.0] * 3 if whole else [60.0, 58.0, 57.0],
        "output": {"name": "result", "kind": kind},
        "classes": plan.classes,
    }
    if not plan.open_size:
        document["resize"] = {"policy": "stretch"}
    return document
