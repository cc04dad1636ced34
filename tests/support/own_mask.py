"""What an export itself says of a picture: ONNX Runtime on the file as it came, and NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from random_exports import bilinear
from tiny_models import run_onnx
from tritonseg_engines.spec import ModelSpec


def own_mask(
    path: Path, spec: ModelSpec, image_hwc: np.ndarray, *, margin: float = 4e-3
) -> tuple[np.ndarray, np.ndarray]:
    """Classes of a picture of the network's size, and where they are stable, both `(H, W)`.

    Args:
        path: An export of scores `(N, C, h, w)`.
        spec: Says how it is fed.
        image_hwc: uint8.
        margin: By which the two best scores must differ, as a share of the largest.
    """
    mean, scale = (np.array(value) for value in (spec.preprocessing.mean, spec.preprocessing.scale))
    batch = ((image_hwc - mean) / scale)[None].astype(np.float32).astype(spec.input.dtype)
    if spec.input.layout == "NCHW":
        batch = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
    scores = run_onnx(onnx.load(path), batch)[0].astype(np.float64)
    scores = np.stack([bilinear(plane, image_hwc.shape[:2]) for plane in scores])
    ranked = np.sort(scores, axis=0)
    return scores.argmax(axis=0), ranked[-1] - ranked[-2] > margin * np.abs(scores).max()
