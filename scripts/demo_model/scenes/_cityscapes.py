"""A data set of drawn scenes in the folder layout of Cityscapes.

Source: mcordts/cityscapesScripts, README, "Dataset Structure" (layout and file names).
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from demo_model.scenes._labels import label_ids_from_train_ids
from demo_model.scenes._scene import Scene, draw_scene
from tritonseg_engines.errors import CalibrationError

CITY = "drawn"
_FRAME = "000019"
"""Cityscapes labels the 20th frame of every snippet."""


def write_cityscapes(
    directory: Path,
    *,
    count: int,
    seed: int,
    height: int = 512,
    width: int = 1024,
    split: str = "val",
) -> None:
    """Draw a data set; it appears whole or not at all.

    Writes `leftImg8bit/<split>/drawn/drawn_<n>_000019_leftImg8bit.png` and, under
    `gtFine/<split>/drawn/`, `..._gtFine_labelIds.png` and `..._gtFine_labelTrainIds.png`.

    Args:
        directory: a folder that does not exist yet.
        count: how many scenes, 1 or more.
        seed: of the first scene; the others follow.
        height: pixels.
        width: pixels.
        split: name of the split, a single path component.

    Raises:
        CalibrationError: the folder exists, or an argument is out of range.
    """
    if count < 1:
        raise CalibrationError(f"expected 1 or more scenes, got {count}")
    if Path(split).name != split or split in ("", ".", ".."):
        raise CalibrationError(f"expected a split name without path separators, got {split!r}")
    if directory.exists():
        raise CalibrationError(
            f"expected a folder that does not exist, got {directory}; remove it first"
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        for index in range(count):
            scene = draw_scene(seed + index, height=height, width=width)
            _write_scene(partial, split, f"{CITY}_{index:06d}_{_FRAME}", scene)
        partial.chmod(0o755)
        partial.rename(directory)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_scene(root: Path, split: str, stem: str, scene: Scene) -> None:
    images, labels = root / "leftImg8bit" / split / CITY, root / "gtFine" / split / CITY
    label_ids_hw = label_ids_from_train_ids(scene.labels_hw)
    _write_png(images / f"{stem}_leftImg8bit.png", scene.image_hwc)
    _write_png(labels / f"{stem}_gtFine_labelIds.png", label_ids_hw)
    _write_png(labels / f"{stem}_gtFine_labelTrainIds.png", scene.labels_hw)


def _write_png(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)
