"""What the build makes of a random export: right, wrong, refused, or a traceback."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx

from random_exports import Export
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.errors import EngineBuildError
from tritonseg_engines.running.networks import FoldedSteps
from tritonseg_engines.running.pictures import Picture
from tritonseg_engines.running.served import infer_as_served
from tritonseg_engines.spec_yaml import spec_from_document
from tritonseg_engines.target import BuildTarget

EQUAL = {"class_map": 0.995}
"""Of a class map that is cut, near ties cannot be told apart."""
EQUAL_STABLE = 0.999


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How one export ended: "right", "wrong", "refused" or "traceback", with words."""

    kind: str
    words: str


def outcome_of(export: Export, *, layout: str = "single", precision: str = "fp32") -> Outcome:
    """Build an export in process, and hold the mask of its picture against its own.

    The layouts "single" and "ensemble" differ in how Triton runs the steps, not in this.
    """
    expected_hw, stable_hw = export.mask()
    try:
        with tempfile.TemporaryDirectory() as folder:
            equal_hw = _served(export, Path(folder), layout, precision) == expected_hw
    except EngineBuildError as error:
        lines = len(str(error).strip().splitlines())
        return Outcome(kind="refused" if lines == 1 else "traceback", words=str(error))
    except Exception as error:  # noqa: BLE001 - what is no error of the build is looked for
        return Outcome(kind="traceback", words=f"{type(error).__name__}: {error}")
    share = float(equal_hw[stable_hw].mean()) if stable_hw.any() else 1.0
    least = EQUAL.get(export.document["output"]["kind"], EQUAL_STABLE)
    return Outcome(kind="right" if share >= least else "wrong", words=f"{share:.4%} of the pixels")


def _served(export: Export, folder: Path, layout: str, precision: str):
    path = folder / "export.onnx"
    onnx.save(export.model, path)
    spec = spec_from_document(export.document)
    report = build_model(
        spec,
        path,
        folder / "repository",
        precision=precision,
        layout=layout,
        options=BuildOptions(),
    )
    steps = prepare_network(spec, path, keep_tail=False).server_steps
    if layout == "fused":
        steps = FoldedSteps(export.image_hwc.shape[:2])
    engine = f"{spec.name}_engine" if layout == "ensemble" else spec.name
    built = onnx.load(report.model.parent / engine / "1" / "model.onnx")
    picture = Picture(name="picture", image_hwc=export.image_hwc)
    with infer_as_served(built, BuildTarget.of(precision, layout=layout)) as infer:
        return steps.class_map(infer(steps.batch(picture)), picture)
