"""The class map of a picture as a built model serves it, run in process instead of in a Triton."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from tritonseg_engines.build.model import BuildReport, build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.running.networks import FoldedSteps, Steps
from tritonseg_engines.running.pictures import Picture
from tritonseg_engines.running.served import infer_as_served
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.target import BuildTarget


def build_and_segment(
    spec: ModelSpec,
    export: Path,
    image_hwc: np.ndarray,
    folder: Path,
    *,
    layout: str = "single",
    precision: str = "fp32",
    options: BuildOptions | None = None,
) -> tuple[BuildReport, np.ndarray]:
    """Build into a folder and return what was built, with the `(H, W)` class map of a picture.

    The layouts "single" and "ensemble" differ in how Triton runs the steps, not in this.
    """
    report = build_model(
        spec, export, folder / "repository", precision=precision, layout=layout, options=options
    )
    steps: Steps = prepare_network(spec, export).server_steps
    if layout == "fused":
        steps = FoldedSteps(image_hwc.shape[:2])
    engine = f"{spec.name}_engine" if layout == "ensemble" else spec.name
    built = onnx.load(report.model.parent / engine / "1" / "model.onnx")
    picture = Picture(name="picture", image_hwc=image_hwc)
    with infer_as_served(built, BuildTarget.of(precision, layout=layout)) as infer:
        return report, steps.class_map(infer(steps.batch(picture)), picture)
