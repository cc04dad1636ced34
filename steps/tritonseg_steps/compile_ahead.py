"""Compile the loops of a model's CPU steps before anybody waits for them.

Steps do it when they are loaded; `tritonseg build` does it too, so that on the machine of the build
the first start finds what it needs in Numba's cache. For a machine or an image on which nothing is
built, this compiles what any model takes:

    python -m tritonseg_steps.compile_ahead
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tritonseg_steps import upsampling
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.preprocessing import Normalizer, Preprocessing
from tritonseg_steps.resampling import Resampling
from tritonseg_steps.resize_policy import Stretch
from tritonseg_steps.upsampling import Upsampling


def compile_ahead(preprocessing: Preprocessing) -> None:
    """Compile what the normalize and argmax steps of a model run on the CPU.

    Args:
        preprocessing: Of the model; its resize decides what is compiled.
    """
    try_normalizer(Normalizer(preprocessing))
    try_upsampler(upsampling, np.zeros((2, 2, 2), np.float32))


def try_normalizer(normalizer: Normalizer) -> None:
    """Normalise a small picture, which compiles what that takes."""
    normalizer.batch(np.zeros((1, 8, 8, 3), np.uint8))


def try_upsampler(upsampler: Any, scores_chw: Any) -> None:
    """Make classes and confidences of `(2, 2, 2)` float32 scores that lie where `upsampler` runs.

    Args:
        upsampler: The module `upsampling`, or a `CudaUpsampler`, which has the same functions.
        scores_chw: In the CPU's memory or the GPU's.
    """
    geometry = Geometry((4, 4), (4, 4), (4, 4))
    upsampler.flaw(scores_chw, Upsampling(), 2)
    upsampler.class_map_from_scores(scores_chw, geometry)
    upsampler.confidence_from_scores(scores_chw, geometry)


def main() -> None:
    """Compile all loops, of whatever preprocessing."""
    for resampling in (
        Resampling(),
        Resampling(antialias=True),
        Resampling(antialias=True, after_normalization=True),
    ):
        compile_ahead(
            Preprocessing(
                mean=(0, 0, 0),
                scale=(1, 1, 1),
                resize=Stretch(height=4, width=4),
                resampling=resampling,
            )
        )


if __name__ == "__main__":
    main()
