"""What the build makes of a random export: right, wrong, refused, or a traceback."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from PIL import Image

from export_masks import CannotRunError, bilinear
from random_exports import Export
from served_map import build_and_segment
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.errors import EngineBuildError, SpecificationError
from tritonseg_engines.gate import GateError
from tritonseg_engines.spec_yaml import spec_from_document

EQUAL_STABLE = {"fp32": 0.999, "fp16": 0.995, "int8": 0.95}
"""Least share of equal pixels where rounding cannot move the class, by precision. The picture is
none of those that the gate judges by, which asks for 0.985 in int8."""
CALIBRATION_PICTURES = 4
BY_NVIDIA, WARNED = "refused by NVIDIA", "warned"
"""Of graphs that the build takes for TensorRT: what its compiler says where it is asked."""
FAILED = ("wrong", "traceback", "several lines", BY_NVIDIA, WARNED)
KINDS = (
    "right", "refused as it must", "refused", "refused by the gate", "not for this layout",
    "cannot be run", *FAILED,
)  # fmt: skip
"""How an export may end. "refused" is what ONNX Runtime runs and the build does not take;
"cannot be run" is what ONNX Runtime does not run either."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How one export ended: one of `KINDS`, with words."""

    kind: str
    words: str

    @property
    def refusal(self) -> str:
        """The words without what differs from export to export."""
        return refusal_kind(self.words)


def outcome_of(export: Export, *, layout: str = "single", precision: str = "fp32") -> Outcome:
    """Build an export in process, and hold the mask of its picture against its own."""
    expected = None
    if export.refusal is None:
        try:
            expected = export.mask()
        except CannotRunError as error:
            return Outcome(kind="cannot be run", words=str(error))
    try:
        actual_hw = _segmented(export, layout, precision)
    except EngineBuildError as error:
        return refused(error, layout, must=export.refusal is not None)
    except Exception as error:  # noqa: BLE001 - what is no error of the build is looked for
        return Outcome(kind="traceback", words=f"{type(error).__name__}: {error}")
    if expected is None:
        return Outcome(kind="wrong", words=f"was built, although it {export.refusal}")
    return _compared(actual_hw, *expected, EQUAL_STABLE[precision])


def outcome_of_file(export: Export, content: bytes) -> Outcome:
    """Build an export whose file was exchanged for another, of which nothing is known."""
    try:
        model = onnx.load_from_string(content)
    except Exception:  # noqa: BLE001 - whatever it is, no mask is to be had from it
        model = None
    try:
        actual_hw = _segmented(export, "single", "fp32", content)
    except EngineBuildError as error:
        return refused(error, "single", must=False)
    except Exception as error:  # noqa: BLE001 - what is no error of the build is looked for
        return Outcome(kind="traceback", words=f"{type(error).__name__}: {error}")
    if model is None:
        return Outcome(kind="wrong", words="was built, although it is no model")
    try:
        expected_hw, stable_hw = replace(export, model=model).mask()
    except Exception as error:  # noqa: BLE001 - it means something else than the export did
        return Outcome(kind="built", words=f"not compared: {error}")
    return _compared(actual_hw, expected_hw, stable_hw, EQUAL_STABLE["fp32"])


def refusal_kind(message: str) -> str:
    """Return a message without names, numbers and paths."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "NAME", message)
    text = re.sub(r"(/[\w.-]+)+", "PATH", text)
    text = re.sub(r"random-\d+", "MODEL", text)
    text = re.sub(r"\[[^]]*\]", "LIST", text)
    return re.sub(r"[-+]?\d[\d.e+-]*\d|\d", "0", text)


def _compared(
    actual_hw: np.ndarray, expected_hw: np.ndarray, stable_hw: np.ndarray, least: float
) -> Outcome:
    equal_hw = actual_hw == expected_hw
    share = float(equal_hw[stable_hw].mean()) if stable_hw.any() else 1.0
    return Outcome(kind="right" if share >= least else "wrong", words=f"{share:.4%} of the pixels")


def _segmented(
    export: Export, layout: str, precision: str, content: bytes | None = None
) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.onnx"
        path.write_bytes(export.model.SerializeToString() if content is None else content)
        options = None
        if precision == "int8":
            options = BuildOptions(
                calibration=calibration_pictures(path.parent, export),
                minimum_pictures=CALIBRATION_PICTURES,
            )
        _, actual_hw = build_and_segment(
            spec_from_document(export.document), path, export.image_hwc, path.parent,
            layout=layout, precision=precision, options=options,
        )  # fmt: skip
        return actual_hw


def calibration_pictures(folder: Path, export: Export) -> Path:
    """Write pictures like the export's own, of its size."""
    pictures = folder / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(len(export.description))
    height, width = export.image_hwc.shape[:2]
    for index in range(CALIBRATION_PICTURES):
        coarse = rng.normal(128, 70, (height // 6 + 2, width // 6 + 2, 3))
        planes = [bilinear(coarse[..., channel], (height, width)) for channel in range(3)]
        picture = np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8)
        Image.fromarray(picture).save(pictures / f"{index:03d}.png")
    return pictures


def refused(error: EngineBuildError, layout: str, *, must: bool) -> Outcome:
    """Return what a refusal of the build is, of an export that must be refused or must not."""
    words = str(error)
    if len(words.strip().splitlines()) != 1:
        kind = "several lines"
    elif must:
        kind = "refused as it must"
    elif isinstance(error, GateError):
        kind = "refused by the gate"
    elif layout == "fused" and isinstance(error, SpecificationError):
        kind = "not for this layout"
    else:
        kind = "refused"
    return Outcome(kind=kind, words=words)
