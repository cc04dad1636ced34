"""What a case is made from: a network's export, and pictures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

from PIL import Image

from demo_model.scenes import draw_scene
from gpu_check.rows import RANDOM_WEIGHTS
from tritonseg_engines import zoo
from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.zoo.published import PUBLISHED_CHECKPOINTS

CALIBRATION_PICTURES: Final = 8
CALIBRATION_STREETS_FROM: Final = 500_000
GATE_PICTURES: Final = 4
GATE_STREETS_FROM: Final = 0


def exported(spec: ModelSpec, folder: Path, weights: Path | None) -> tuple[Path, str]:
    """Return the export of a published model, and whose weights it has.

    It is made only if it is not there yet.

    Args:
        spec: The model's, of a fixed size: its published one, or another.
        folder: Where exports of that size are kept.
        weights: Folder with published checkpoints under their published names; a model whose
            file is not there gets random weights.

    Raises:
        CheckpointError: The file is not the model's.
        OnnxModelError: ONNX Runtime does not agree with torch.
    """
    model = spec.name
    checkpoint = weights / PUBLISHED_CHECKPOINTS[model].file_name if weights else None
    if checkpoint is not None and not checkpoint.is_file():
        checkpoint = None
    name = RANDOM_WEIGHTS if checkpoint is None else checkpoint.name
    path = folder / f"{model}.{name}.onnx"
    if not path.is_file():
        _export(spec, path, checkpoint)
    return path, name


def picture_options(
    spec: ModelSpec, folder: Path, calibration: Path | None, pictures: Path | None
) -> BuildOptions:
    """Return the options of a build that goes on whatever the gate says.

    Args:
        spec: Of a model with a fixed size.
        folder: Where drawn streets are kept.
        calibration: Folder of pictures; streets are drawn unless given.
        pictures: Folder of pictures to judge by; streets are drawn unless given.
    """
    size_hw = spec.input.size_hw
    if size_hw is not None and calibration is None:
        calibration = _streets(folder, size_hw, CALIBRATION_PICTURES, CALIBRATION_STREETS_FROM)
    if size_hw is not None and pictures is None:
        pictures = _streets(folder, size_hw, GATE_PICTURES, GATE_STREETS_FROM)
    return BuildOptions(calibration=calibration, pictures=pictures, minimum_pictures=1, accept=True)


def _export(spec: ModelSpec, path: Path, checkpoint: Path | None) -> None:
    from gpu_check.lively_weights import enliven
    from tritonseg_engines.checkpoints import load_checkpoint
    from tritonseg_engines.zoo.export import export_onnx

    model = spec.name
    if checkpoint is None:
        network = enliven(zoo.build_network(model), model)
    else:
        network = load_checkpoint(model, checkpoint)
    export_onnx(
        network,
        path,
        size_hw=spec.input.size_hw,
        input_name=spec.input.name,
        output_name=spec.output.name,
    )


def _streets(folder: Path, size_hw: tuple[int, int], count: int, first_seed: int) -> Path:
    """Draw streets into a folder that is told by all that decides about them."""
    place = folder / f"streets_{size_hw[0]}x{size_hw[1]}_{first_seed}"
    for index in range(count):
        path = place / f"{index:03}.png"
        if not path.is_file():
            content = io.BytesIO()
            scene = draw_scene(first_seed + index, height=size_hw[0], width=size_hw[1])
            Image.fromarray(scene.image_hwc).save(content, "PNG")
            write_atomically(path, content.getvalue())
    return place
