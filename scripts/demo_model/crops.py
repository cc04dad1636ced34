"""Drawn scenes as a training set for the demo model: a pool on disk, and augmented crops of it.

What needs one picture after the other happens in worker processes, which hand over bytes. What is
arithmetic on all pixels (`photographed`) happens to a whole batch, on the device that trains.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from demo_model.scenes import CLASSES, Scene, draw_scene

log = logging.getLogger(__name__)

SCENE_HEIGHT, SCENE_WIDTH = 512, 1024
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALLEST_SCALE, LARGEST_SCALE = 0.57, 1.7

Uint8 = npt.NDArray[np.uint8]


def drawn(seed: int) -> Scene:
    """Draw the scene of a seed at the size that the model is trained and measured on."""
    return draw_scene(seed, height=SCENE_HEIGHT, width=SCENE_WIDTH)


def draw_into_pool(pool: Path, seed: int) -> None:
    """Draw one scene into the pool, unless it is there: RGB and label as one (H, W, 4) array."""
    path = pool / f"{seed}.npy"
    if path.exists():
        return
    scene = drawn(seed)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, np.dstack([scene.image_hwc, scene.labels_hw]))
    partial.replace(path)


def all_cores() -> ProcessPoolExecutor:
    """Return one process for each core; spawned, because torch's threads do not survive a fork."""
    return ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))


def fill(pool: Path, seeds: range) -> None:
    """Draw the scenes that the pool lacks, before training: drawing would starve it."""
    pool.mkdir(parents=True, exist_ok=True)
    with all_cores() as workers:
        for job in [workers.submit(draw_into_pool, pool, seed) for seed in seeds]:
            job.result()
    log.info("pool %s holds seeds %d to %d", pool, seeds[0], seeds[-1])


class Crops(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless augmented crops of the scenes in a pool.

    Args:
        pool: As `fill` left it.
        size_hw: Of a crop.
        seed: Of the order; every worker has an order of its own.
    """

    def __init__(self, pool: Path, size_hw: tuple[int, int], seed: int) -> None:
        self._pool, self._size_hw, self._seed = pool, size_hw, seed
        # No window is larger than the scene, or it would have to be squeezed.
        fits = max(size_hw[0] / SCENE_HEIGHT, size_hw[1] / SCENE_WIDTH)
        self._scales = (math.log(max(SMALLEST_SCALE, fits)), math.log(LARGEST_SCALE))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `(3, h, w)` uint8 RGB and `(h, w)` uint8 labels."""
        torch.set_num_threads(1)
        worker = get_worker_info()
        rng = np.random.default_rng([self._seed, 1 + (worker.id if worker else 0)])
        paths = sorted(self._pool.glob("*.npy"))
        while True:
            scene_hwc = np.load(paths[rng.integers(len(paths))], mmap_mode="r")
            image, labels_hw = self._crop(rng, scene_hwc)
            if rng.random() < 0.4:
                image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.5)))
            yield torch.from_numpy(np.array(image)).permute(2, 0, 1), torch.from_numpy(labels_hw)

    def _crop(self, rng: np.random.Generator, scene_hwc: Uint8) -> tuple[Image.Image, Uint8]:
        size = self._size_hw[::-1]
        scale = math.exp(rng.uniform(*self._scales))
        width, height = round(size[0] / scale), round(size[1] / scale * rng.uniform(0.92, 1.08))
        height = min(height, SCENE_HEIGHT)
        left = int(rng.integers(SCENE_WIDTH - width + 1))
        top = int(rng.integers(SCENE_HEIGHT - height + 1))
        window_hwc = np.array(scene_hwc[top : top + height, left : left + width])
        if rng.random() < 0.5:
            window_hwc = np.ascontiguousarray(window_hwc[:, ::-1])
        image = Image.fromarray(window_hwc[..., :3]).resize(size, Image.Resampling.BILINEAR)
        labels = Image.fromarray(window_hwc[..., 3]).resize(size, Image.Resampling.NEAREST)
        return image, np.array(labels)


def photographed(images_nchw: Tensor) -> Tensor:
    """Vary exposure, contrast, saturation, colour balance and noise of each picture; all 0–1."""
    exposed = torch.where(_chosen(images_nchw, 0.85), _exposed(images_nchw), images_nchw)
    amplitude = _between(images_nchw, 0.005, 0.05) * _chosen(images_nchw, 0.5)
    return (exposed + torch.randn_like(exposed) * amplitude).clamp(0, 1)


def _exposed(images_nchw: Tensor) -> Tensor:
    grey = images_nchw.mean(dim=1, keepdim=True)
    images_nchw = grey + (images_nchw - grey) * _between(images_nchw, 0.2, 1.5)
    contrast, brightness = _between(images_nchw, 0.65, 1.4), _between(images_nchw, -0.12, 0.12)
    images_nchw = (images_nchw - 0.45) * contrast + 0.45 + brightness
    images_nchw = images_nchw * _between(images_nchw, 0.88, 1.12, channels=3)
    return images_nchw.clamp(0, 1) ** _between(images_nchw, 0.65, 1.5)


def _between(like_nchw: Tensor, low: float, high: float, *, channels: int = 1) -> Tensor:
    """Return one random number for each picture, or for each channel of it."""
    shape = (len(like_nchw), channels, 1, 1)
    return torch.rand(shape, device=like_nchw.device) * (high - low) + low


def _chosen(like_nchw: Tensor, share: float) -> Tensor:
    return _between(like_nchw, 0, 1) < share


def normalised(images_nchw: Tensor) -> Tensor:
    """Return 0–1 RGB as the network takes it."""
    mean, std = (images_nchw.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return (images_nchw - mean) / std


def class_weights(pool: Path, count: int = 150) -> Tensor:
    """Weigh rare classes up, gently: `(median frequency / frequency) ** 0.4`, 0.5 to 4."""
    pixels = np.zeros(256, np.int64)
    for path in sorted(pool.glob("*.npy"))[:count]:
        pixels += np.bincount(np.load(path)[..., 3].ravel(), minlength=256)
    frequency = np.maximum(pixels[: len(CLASSES)], 1) / pixels[: len(CLASSES)].sum()
    weights = np.clip((np.median(frequency) / frequency) ** 0.4, 0.5, 4.0)
    return torch.tensor(weights, dtype=torch.float32)
