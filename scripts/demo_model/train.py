"""Train the small model that the demo ships, on drawn street scenes only.

    python scripts/train_demo_model.py train --output out/demo --minutes 55
    python scripts/train_demo_model.py evaluate --weights out/demo/demo.pth

Needs the `export` extra (torch). See scripts/README.md for what comes out.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from demo_model.scenes import CLASSES, IGNORE, draw_scene
from tritonseg_engines.gate.metrics import ConfusionMatrix
from tritonseg_engines.zoo.hrnet import W18_SMALL_V1, HRNetV2

log = logging.getLogger("train_demo_model")

SCENE_HEIGHT, SCENE_WIDTH = 512, 1024
TRAINING_SEEDS_FROM = 1_000_000
"""Training draws seeds from here up; held-out scenes are the seeds from 0. They never meet."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Uint8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """What decides the outcome. The learning rate falls with steps or time, whichever is ahead."""

    seed: int = 0
    steps: int = 9000
    minutes: float = 55.0
    batch: int = 8
    crop_height: int = 256
    crop_width: int = 320
    scenes: int = 1200
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup_steps: int = 150
    ema_decay: float = 0.998


def draw_into_pool(pool: Path, seed: int) -> None:
    """Draw one scene into the pool, unless it is there: RGB and label as one (H, W, 4) array."""
    path = pool / f"{seed}.npy"
    if path.exists():
        return
    scene = draw_scene(seed, height=SCENE_HEIGHT, width=SCENE_WIDTH)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, np.dstack([scene.image_hwc, scene.labels_hw]))
    partial.replace(path)


class Crops(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless augmented crops of the scenes in a pool."""

    def __init__(self, pool: Path, training: Training) -> None:
        self._pool, self._training = pool, training

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `(3, h, w)` float32 normalised RGB and `(h, w)` int64 labels."""
        torch.set_num_threads(1)
        rng = np.random.default_rng([self._training.seed, 1])
        paths = sorted(self._pool.glob("*.npy"))
        while True:
            scene_hwc = np.load(paths[rng.integers(len(paths))], mmap_mode="r")
            image, labels_hw = self._crop(rng, scene_hwc)
            image_hwc = _normalised(_photographed(rng, image))
            yield torch.from_numpy(image_hwc).permute(2, 0, 1), torch.from_numpy(labels_hw).long()

    def _crop(self, rng: np.random.Generator, scene_hwc: Uint8) -> tuple[Image.Image, Uint8]:
        size = (self._training.crop_width, self._training.crop_height)
        scale = math.exp(rng.uniform(math.log(0.57), math.log(1.7)))
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


def _photographed(rng: np.random.Generator, image: Image.Image) -> npt.NDArray[np.float32]:
    """Vary blur, exposure, contrast, saturation, colour balance and noise; 0–1 float32."""
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.5)))
    image_hwc = np.asarray(image, dtype=np.float32) / 255.0
    if rng.random() < 0.85:
        grey = image_hwc.mean(axis=2, keepdims=True)
        image_hwc = grey + (image_hwc - grey) * rng.uniform(0.2, 1.5)
        image_hwc = (image_hwc - 0.45) * rng.uniform(0.65, 1.4) + 0.45 + rng.uniform(-0.12, 0.12)
        image_hwc = image_hwc * rng.uniform(0.88, 1.12, size=3).astype(np.float32)
        image_hwc = np.clip(image_hwc, 0, 1) ** rng.uniform(0.65, 1.5)
    if rng.random() < 0.5:
        noise = rng.standard_normal(image_hwc.shape, dtype=np.float32)
        image_hwc = image_hwc + noise * rng.uniform(0.005, 0.05)
    return np.clip(image_hwc, 0, 1).astype(np.float32)


def _normalised(image_hwc: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return (image_hwc - np.array(MEAN, np.float32)) / np.array(STD, np.float32)


def class_weights(pool: Path, count: int = 150) -> Tensor:
    """Weigh rare classes up, gently: `(median frequency / frequency) ** 0.4`, 0.5 to 4."""
    pixels = np.zeros(256, np.int64)
    for path in sorted(pool.glob("*.npy"))[:count]:
        pixels += np.bincount(np.load(path)[..., 3].ravel(), minlength=256)
    frequency = np.maximum(pixels[: len(CLASSES)], 1) / pixels[: len(CLASSES)].sum()
    weights = np.clip((np.median(frequency) / frequency) ** 0.4, 0.5, 4.0)
    return torch.tensor(weights, dtype=torch.float32)


def loss_of(scores_nchw: Tensor, labels_nhw: Tensor, weights: Tensor, phase: int) -> Tensor:
    """Cross-entropy at half resolution; `phase` 0–3 says which pixel of 2x2 stands for four."""
    labels_nhw = labels_nhw[:, phase // 2 :: 2, phase % 2 :: 2]
    scores_nchw = F.interpolate(scores_nchw, size=labels_nhw.shape[1:], mode="bilinear")
    return F.cross_entropy(scores_nchw, labels_nhw, weights, ignore_index=IGNORE)


def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the averaged weights and running statistics towards the network's."""
    with torch.no_grad():
        theirs = network.state_dict()
        for name, mine in average.state_dict().items():
            if mine.is_floating_point():
                mine.lerp_(theirs[name].float(), 1 - decay)
            else:
                mine.copy_(theirs[name])


def save_atomically(network: nn.Module, path: Path) -> None:
    """Write the state dict, float32, under upstream's names."""
    partial = path.with_suffix(".partial")
    torch.save({k: v.detach().contiguous() for k, v in network.state_dict().items()}, partial)
    partial.replace(path)


def optimise(training: Training, pool: Path, output: Path) -> tuple[nn.Module, dict[str, float]]:
    """Run the training loop; return the averaged network and figures of the run."""
    torch.manual_seed(training.seed)
    network = HRNetV2(W18_SMALL_V1, num_classes=len(CLASSES))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )
    weights = class_weights(pool)
    start, step, progress, shown = time.monotonic(), 0, 0.0, 0.0
    batches = DataLoader(Crops(pool, training), batch_size=training.batch, num_workers=1)
    for step, (images_nchw, labels_nhw) in enumerate(batches, start=1):
        elapsed_s = time.monotonic() - start
        progress = max(step / training.steps, elapsed_s / (training.minutes * 60))
        if progress >= 1.0:
            break
        rate = 0.5 * (1 + math.cos(math.pi * progress)) * min(1.0, step / training.warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * max(rate, 1e-3)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores_nchw = network(images_nchw.to(memory_format=torch.channels_last))
        loss = loss_of(scores_nchw.float(), labels_nhw, weights, step % 4)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        update_average(average, network, min(training.ema_decay, (1 + step) / (10 + step)))
        shown += float(loss.detach())
        if step % 50 == 0:
            log.info(
                "step %d  %.0f s  progress %.3f  loss %.4f", step, elapsed_s, progress, shown / 50
            )
            shown = 0.0
        if step % 500 == 0:
            save_atomically(average, output / "checkpoint.pth")
    return average, {"steps": step, "training_s": round(time.monotonic() - start, 1)}


def predict(network: nn.Module, image_hwc: Uint8) -> Uint8:
    """Classes `(H, W)` of one image at its own size, in float32."""
    normalised_hwc = _normalised(image_hwc.astype(np.float32) / 255.0)
    batch_nchw = torch.from_numpy(normalised_hwc).permute(2, 0, 1)[None]
    with torch.inference_mode():
        scores_nchw = network(batch_nchw)
        size = image_hwc.shape[:2]
        upsampled_nchw = F.interpolate(scores_nchw, size=size, mode="bilinear")
    classes_hw: Uint8 = upsampled_nchw[0].argmax(0).numpy().astype(np.uint8)
    return classes_hw


def rounded_to_fp16(network: nn.Module) -> nn.Module:
    """Copy a network with every weight rounded to float16, as the shipped file stores it."""
    rounded = copy.deepcopy(network)
    for tensor in rounded.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half().float())
    return rounded


def evaluate(network: nn.Module, count: int) -> dict[str, object]:
    """Measure on `count` held-out scenes, the seeds from 0: as trained, and as shipped."""
    trained, shipped = network.eval(), rounded_to_fp16(network).eval()
    of_trained, of_shipped = (ConfusionMatrix(len(CLASSES), ignore_index=IGNORE) for _ in range(2))
    for seed in range(count):
        scene = draw_scene(seed, height=SCENE_HEIGHT, width=SCENE_WIDTH)
        of_trained.add(scene.labels_hw, predict(trained, scene.image_hwc))
        of_shipped.add(scene.labels_hw, predict(shipped, scene.image_hwc))
    iou = dict(zip(CLASSES, of_trained.iou.tolist(), strict=True))
    return {
        "held_out_seeds": [0, count - 1],
        "size_hw": [SCENE_HEIGHT, SCENE_WIDTH],
        "mean_iou": round(of_trained.mean_iou, 6),
        "mean_iou_fp16_weights": round(of_shipped.mean_iou, 6),
        "pixel_accuracy": round(of_trained.pixel_accuracy, 6),
        "iou": {name: None if math.isnan(v) else round(v, 6) for name, v in iou.items()},
    }


def measure(network: nn.Module, count: int, path: Path, run: dict[str, object]) -> None:
    """Evaluate, and write the figures of run and evaluation next to the weights."""
    figures = {**run, **evaluate(network, count)}
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
    log.info(
        "mean IoU %s, with fp16 weights %s", figures["mean_iou"], figures["mean_iou_fp16_weights"]
    )


def fill(pool: Path, seeds: range) -> None:
    """Draw the scenes that the pool lacks, before training: drawing would starve it."""
    pool.mkdir(parents=True, exist_ok=True)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=spawn) as workers:
        for job in [workers.submit(draw_into_pool, pool, seed) for seed in seeds]:
            job.result()
    log.info("pool %s holds seeds %d to %d", pool, seeds[0], seeds[-1])


def train(training: Training, pool: Path, output: Path, held_out: int) -> None:
    """Fill the pool, train, save, evaluate."""
    output.mkdir(parents=True, exist_ok=True)
    first = TRAINING_SEEDS_FROM + training.seed * 100_000
    seeds = range(first, first + training.scenes)
    fill(pool, seeds)
    network, run = optimise(training, pool, output)
    save_atomically(network, output / "demo.pth")
    facts = {"training": asdict(training), "training_seeds": [seeds[0], seeds[-1]], **run}
    measure(network, held_out, output / "demo.json", facts)


def load(path: Path) -> nn.Module:
    """Load a state dict into the network."""
    network = HRNetV2(W18_SMALL_V1, num_classes=len(CLASSES))
    network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return network


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="threads of torch; 1 where others compute too"
    )
    parser.add_argument("--held-out", type=int, default=100, help="scenes to evaluate on")
    commands = parser.add_subparsers(dest="command", required=True)
    trainer = commands.add_parser("train", help="train, then evaluate")
    trainer.add_argument("--output", type=Path, required=True, help="folder for what comes out")
    trainer.add_argument("--pool", type=Path, help="folder of drawn scenes (default: OUTPUT/pool)")
    trainer.add_argument("--seed", type=int, default=0)
    trainer.add_argument("--steps", type=int, default=9000)
    trainer.add_argument(
        "--minutes", type=float, default=55.0, help="ends here even if steps are left"
    )
    evaluator = commands.add_parser("evaluate", help="evaluate weights again")
    evaluator.add_argument("--weights", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    if arguments.command == "train":
        settings = Training(seed=arguments.seed, steps=arguments.steps, minutes=arguments.minutes)
        pool = arguments.pool or arguments.output / "pool"
        train(settings, pool, arguments.output, arguments.held_out)
    else:
        weights: Path = arguments.weights
        figures = weights.with_suffix(".json")
        known = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
        measure(load(weights), arguments.held_out, figures, known)


if __name__ == "__main__":
    main()
