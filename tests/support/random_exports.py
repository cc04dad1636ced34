"""Random small exports with the tails that exporters write, and what each of them means.

Nothing of the product is imported: the truth is ONNX Runtime on the file as it came, its classes
taken by NumPy (`export_masks.py`). What is drawn stands in `random_plans.py` and
what it imports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper

from export_masks import bilinear, class_mask, run, score_mask
from graph_drawing import ELEMENT_TYPES, Drawing
from random_networks import draw_network
from random_plans import WHY_REFUSED, ExportPlan, random_plan
from random_tails import Ranking, draw_tail, edited

OLDEST_IR, USUAL_IR = 3, 8


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
        batch_size: How many pictures it wants at once.
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
    batch_size: int = 1
    refusal: str | None = None

    def batch(self) -> np.ndarray:
        """Return the picture as the network takes it, as often as it wants pictures."""
        fields, image_hwc = self.document, self.image_hwc
        if image_hwc.shape[:2] != self.network_hw:
            image_hwc = cv2.resize(image_hwc, self.network_hw[::-1], interpolation=cv2.INTER_LINEAR)
        batch = (image_hwc - np.array(fields["mean"])) / np.array(fields["scale"])
        batch = batch.astype(np.float32).astype(fields["input"]["dtype"])[None]
        if fields["input"]["layout"] == "NCHW":
            batch = batch.transpose(0, 3, 1, 2)
        return np.repeat(batch, self.batch_size, axis=0)

    def mask(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the picture's classes `(H, W)`, and where rounding cannot move them.

        Raises:
            CannotRunError: ONNX Runtime does not run it.
        """
        size_hw = self.image_hwc.shape[0], self.image_hwc.shape[1]
        if self.ranking is not None:
            output, ranked = run(self.model, self.batch(), ["result", self.ranking.tensor])
            # A map without a batch axis is that of a batch of one.
            first = output[:1] if self.batch_size > 1 else output
            return class_mask(first, ranked, self.ranking, size_hw, half=self.half)
        (output,) = run(self.model, self.batch(), ["result"])
        return score_mask(
            output[:1],
            size_hw,
            count=1 if self.document["output"]["kind"] == "binary" else self.document["classes"],
            threshold=0.5 if self.probability else 0.0,
            half=self.half or output.dtype == np.float16,
        )


def random_export(seed: int, *, fixed: bool = False, other_picture: bool = False) -> Export:
    """The export of a seed.

    Args:
        seed: The same seed is always the same export.
        fixed: Draw none of open size.
        other_picture: Give it a picture of another size than the network's, which `stretch` makes
            fit; the truth is its own output, interpolated to the picture.
    """
    rng = np.random.default_rng(seed)
    plan = random_plan(rng, fixed=fixed, other_picture=other_picture)
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
        batch_size=plan.batch if isinstance(plan.batch, int) else 1,
        refusal=WHY_REFUSED[plan.refused] if plan.refused else None,
    )


def _input(draw: Drawing, plan: ExportPlan) -> str:
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


def _model(
    draw: Drawing, plan: ExportPlan, scores: str, rng: np.random.Generator
) -> onnx.ModelProto:
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


def _document(seed: int, plan: ExportPlan, kind: str) -> dict[str, Any]:
    whole = plan.dtype == "uint8"
    height, width = plan.size_hw
    document: dict[str, Any] = {
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
    if plan.other_picture:
        document["output"]["upsampling"] = "export"
    return document
