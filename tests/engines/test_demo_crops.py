"""The crops that the demo model is trained on (`scripts/demo_model/crops.py`)."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the `export` extra")

pytestmark = pytest.mark.torch

from demo_model import crops  # noqa: E402 - not without torch


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops are made in processes of their own, which this one must not behave like."""
    monkeypatch.setattr(torch, "set_num_threads", lambda _count: None)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Of one scene whose red says which row, and whose label says which column."""
    height, width = crops.SCENE_HEIGHT, crops.SCENE_WIDTH
    scene_hwc = np.zeros((height, width, 4), np.uint8)
    scene_hwc[..., 0] = np.linspace(0, 255, height)[:, None]
    scene_hwc[..., 3] = np.arange(width) // 64
    np.save(tmp_path / "1000000.npy", scene_hwc)
    return tmp_path


@pytest.mark.parametrize("size_hw", [(256, 320), (384, 640), (384, 768), (512, 1024)])
def test_crops_of_any_size_lie_within_the_scene(size_hw: tuple[int, int], pool: Path) -> None:
    for image_chw, labels_hw in islice(crops.Crops(pool, size_hw, seed=0), 40):
        assert image_chw.dtype == labels_hw.dtype == torch.uint8
        assert (tuple(image_chw.shape), tuple(labels_hw.shape)) == ((3, *size_hw), size_hw)
        assert labels_hw.max() < 16
        rows = image_chw[0].float().mean(dim=1)
        assert (rows.diff() > -1).all()


def test_a_seed_decides_the_crops(pool: Path) -> None:
    def first(seed: int) -> bytes:
        image_chw, _labels = next(iter(crops.Crops(pool, (256, 320), seed)))
        return image_chw.numpy().tobytes()

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_exposure_varies_from_picture_to_picture_and_stays_in_range() -> None:
    torch.manual_seed(0)
    images_nchw = torch.full((64, 3, 8, 8), 0.5)
    varied = crops.photographed(images_nchw)
    assert varied.shape == images_nchw.shape
    assert varied.min() >= 0
    assert varied.max() <= 1
    assert varied.mean(dim=(1, 2, 3)).std() > 0.02
    assert crops.normalised(varied).shape == images_nchw.shape
