"""Drawn street scenes: what a model may learn from them, and a data set made of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from demo_model.scenes import (
    CLASSES,
    IGNORE,
    Scene,
    draw_scene,
)
from tritonseg_engines.errors import CalibrationError

HEIGHT, WIDTH = 128, 256
SEEDS = range(30)

# Written out from the data set's own definition, not derived from the package.
CITYSCAPES_LABEL_IDS = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}

Hw = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(seed, height=HEIGHT, width=WIDTH) for seed in SEEDS]


def pixels_of(scenes: list[Scene], name: str) -> npt.NDArray[np.uint8]:
    """All pixels of one class, `(N, 3)`."""
    train_id = CLASSES.index(name)
    return np.concatenate([scene.image_hwc[scene.labels_hw == train_id] for scene in scenes])


def digest(scene: Scene) -> str:
    return hashlib.sha256(scene.image_hwc.tobytes() + scene.labels_hw.tobytes()).hexdigest()


def read(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.array(image)


class TestDrawScene:
    def test_same_seed_and_size_give_the_same_bytes_in_another_process(self) -> None:
        program = (
            "import hashlib; from demo_model.scenes import draw_scene\n"
            "scene = draw_scene(5, height=96, width=160)\n"
            "both = scene.image_hwc.tobytes() + scene.labels_hw.tobytes()\n"
            "print(hashlib.sha256(both).hexdigest())"
        )
        elsewhere = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert elsewhere.stdout.strip() == digest(draw_scene(5, height=96, width=160))

    def test_every_seed_is_another_street(self, scenes: list[Scene]) -> None:
        assert len({digest(scene) for scene in scenes}) == len(scenes)

    @pytest.mark.parametrize(("height", "width"), [(32, 32), (97, 211), (200, 40)])
    def test_any_size_is_filled(self, height: int, width: int) -> None:
        scene = draw_scene(1, height=height, width=width)
        assert scene.image_hwc.shape == (height, width, 3)
        assert scene.labels_hw.shape == (height, width)
        assert scene.image_hwc.dtype == scene.labels_hw.dtype == np.uint8
        assert scene.image_hwc.flags.c_contiguous
        assert scene.labels_hw.flags.c_contiguous

    def test_the_size_changes_the_resolution_and_not_the_street(self) -> None:
        small = draw_scene(3, height=HEIGHT, width=WIDTH).labels_hw
        large = draw_scene(3, height=2 * HEIGHT, width=2 * WIDTH).labels_hw
        assert np.mean(large[::2, ::2] == small) > 0.93

    def test_labels_are_cityscapes_classes_and_hardly_ever_unknown(
        self, scenes: list[Scene]
    ) -> None:
        labels = np.stack([scene.labels_hw for scene in scenes])
        assert set(np.unique(labels).tolist()) <= {*range(19), IGNORE}
        assert np.mean(labels == IGNORE) < 0.05

    def test_all_classes_occur(self, scenes: list[Scene]) -> None:
        counts = np.bincount(np.stack([s.labels_hw for s in scenes]).ravel(), minlength=256)
        assert {name: n for name, n in zip(CLASSES, counts, strict=False) if n < 100} == {}

    @pytest.mark.parametrize(
        "arguments",
        [{"seed": -1}, {"seed": 0, "height": 31}, {"seed": 0, "width": 5000}],
    )
    def test_what_cannot_be_drawn_is_refused(self, arguments: dict[str, int]) -> None:
        with pytest.raises(CalibrationError, match="expected"):
            draw_scene(**arguments)


class TestLabelsBelongToTheImage:
    def test_the_sky_is_above_the_road(self, scenes: list[Scene]) -> None:
        rows = np.arange(HEIGHT)[:, None] * np.ones((1, WIDTH))
        for scene in scenes:
            sky, road = (scene.labels_hw == CLASSES.index(name) for name in ("sky", "road"))
            if sky.any() and road.any():
                assert rows[sky].mean() < rows[road].mean()

    def test_the_sky_is_the_brightest_and_plants_are_the_greenest(
        self, scenes: list[Scene]
    ) -> None:
        sky, road, building, plants = (
            pixels_of(scenes, name).mean(axis=0)
            for name in ("sky", "road", "building", "vegetation")
        )
        assert sky.mean() > max(road.mean(), building.mean(), plants.mean())
        greenness = [2 * mean[1] - mean[0] - mean[2] for mean in (sky, road, building, plants)]
        assert max(greenness) == greenness[3]

    def test_labels_change_where_the_image_changes(self, scenes: list[Scene]) -> None:
        shifts = [(dy, dx) for dy in (-4, 0, 4) for dx in (-4, 0, 4)]
        contrast = dict.fromkeys(shifts, 0.0)
        for scene in scenes:
            slope_hw = image_slope(scene.image_hwc)
            border_hw = label_border(scene.labels_hw)
            for shift in shifts:
                contrast[shift] += float(slope_hw[np.roll(border_hw, shift, (0, 1))].mean())
        aligned = contrast.pop((0, 0))
        assert aligned > 1.2 * max(contrast.values())


def image_slope(image_hwc: npt.NDArray[np.uint8]) -> Hw:
    """Size of the gradient of the grey image, by central differences."""
    vertical, horizontal = np.gradient(image_hwc.mean(axis=2))
    slope: Hw = np.hypot(vertical, horizontal)
    return slope


def label_border(labels_hw: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Pixels whose label differs from the one below or to the right."""
    border = np.zeros(labels_hw.shape, dtype=bool)
    border[:-1] |= labels_hw[:-1] != labels_hw[1:]
    border[:, :-1] |= labels_hw[:, :-1] != labels_hw[:, 1:]
    return border
