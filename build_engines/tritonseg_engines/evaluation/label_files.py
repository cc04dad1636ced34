"""Files of labels, read whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin

from tritonseg_engines.errors import EvaluationError
from tritonseg_engines.running.labels import read_labels


def read_undamaged_labels(path: Path, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Read the labels of a picture, and hold its checksums against what is there.

    Args:
        path: A PNG, grey or with a palette.
        size_hw: Height and width of the picture as it is displayed.

    Returns:
        (H, W) uint8, as in the file.

    Raises:
        CalibrationError: The labels are no class indices, or of another size.
        EvaluationError: The file is damaged.
    """
    values_hw = read_labels(path, size_hw)
    try:
        # Decoding skips the checksums of pixels, and stops at the last of them.
        with PngImagePlugin.PngImageFile(path) as image:
            image.verify()
    except Exception as error:  # on corrupt files Pillow raises all kinds
        raise EvaluationError(
            f"{path}: expected labels, got a damaged PNG, of which pixels would be other classes: "
            f"{error}; fetch it again"
        ) from error
    return values_hw
