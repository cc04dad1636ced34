"""Canaries are drawn, not stored: every machine and version has to draw the same."""

from __future__ import annotations

import numpy as np
import pytest

from tritonseg_engines.verification.drawing import _bytes, draw, picture_sha256

DRAWN = {
    ("clouds", 0, (64, 96)): "e5bb078dd9b749d01ba0e1e85e8c225c0006a7857d56dcd8d8a5c7d906d23fb8",
    ("blocks", 1, (97, 131)): "000719c0d2c537b1176783cb9af6a0f7cc553ba4a002014291be0723ad509da2",
    ("contrasts", 2, (61, 200)): "b27db175bba840d085b358d1f69b935cc7b3f208bc4327372113ffd0cd7ff875",
}
"""Written down once. A change here breaks every receipt that was ever written."""
MASK = (1 << 64) - 1


def splitmix64(state: int) -> int:
    """The generator in whole numbers of Python, as its authors give it."""
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


@pytest.mark.parametrize(("kind", "seed", "size_hw"), DRAWN)
def test_a_picture_is_the_same_for_ever(kind: str, seed: int, size_hw: tuple[int, int]) -> None:
    image_hwc = draw(kind, seed, size_hw)
    assert image_hwc.shape == (*size_hw, 3)
    assert image_hwc.dtype == np.uint8
    assert picture_sha256(image_hwc) == DRAWN[kind, seed, size_hw]


def test_what_is_random_in_it_is_splitmix64() -> None:
    step = 0x9E3779B97F4A7C15
    states = [((index + 1) * step + (3 << 32)) & MASK for index in range(64)]
    assert _bytes(3, (64,)).tolist() == [splitmix64(state) >> 56 for state in states]


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 5), (1, 300), (17, 640)])
@pytest.mark.parametrize("kind", ["clouds", "blocks", "contrasts"])
def test_any_size_can_be_drawn(kind: str, size_hw: tuple[int, int]) -> None:
    assert draw(kind, 0, size_hw).shape == (*size_hw, 3)


def test_clouds_have_no_edges_and_blocks_do() -> None:
    steps = {
        kind: int(np.abs(np.diff(draw(kind, 0, (64, 96)).astype(int), axis=1)).max())
        for kind in ("clouds", "blocks")
    }
    assert steps["clouds"] <= 16 < 100 < steps["blocks"]
