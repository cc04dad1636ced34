"""What a random export is drawn from: everything that is chosen before a node is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graph_drawing import CONSTANT_FORMS
from random_networks import CHANCES, NetworkPlan, random_upsampling
from random_tails import (
    BINARY_CLASS_MAP_TAILS,
    BINARY_TAILS,
    CLASS_MAP_TAILS,
    EDITS,
    FORMS,
    INDEX_TYPES,
    SCORE_TAILS,
    TailPlan,
)

OPSETS = (11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)
REFUSED_SHARE = 0.08
"""Of what must be refused."""
WHY_REFUSED = {
    "batch_norm_training": "scales by the pictures at hand",
    "dropout_training": "drops values by chance",
    "normal_noise": "adds random numbers",
    "uniform_noise": "adds random numbers",
    "batch_mean": "adds the mean of all pictures of the batch",
}


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
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
    other_picture: bool

    @property
    def refused(self) -> str | None:
        """Which of `CHANCES` it has, that a picture's mask depends on."""
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


def random_plan(rng: np.random.Generator, *, fixed: bool, other_picture: bool) -> ExportPlan:
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
    return ExportPlan(
        opset=opset, half=half, dtype=dtype, classes=classes, batch=batch,
        form=str(rng.choice(CONSTANT_FORMS, p=[0.55, 0.15, 0.15, 0.15])),
        layout=str(rng.choice(["NCHW", "NCHW", "NHWC"])), open_size=open_size,
        size_hw=(height, width), image_hw=image_hw, network=network,
        edit=_edit(rng, binary=binary), tail=_random_tail(rng, batch, binary=binary),
        extra_output=bool(rng.random() < 0.15), other_picture=other_picture,
    )  # fmt: skip


def _chance(rng: np.random.Generator, opset: int) -> tuple[str, str | int]:
    """Draw what must be refused, rarely, and the batch axis, which may be open."""
    batch: str | int = ("N", 1, 2)[rng.choice(3, p=[0.57, 0.37, 0.06])]
    if rng.random() >= REFUSED_SHARE:
        return "none", batch
    known = [chance for chance, since in CHANCES.items() if opset >= since]
    return str(rng.choice(known)), batch


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
