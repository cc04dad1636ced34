r"""Train the small model that the demo ships, on drawn street scenes only.

    python -m demo_model.train train --output out/demo --minutes 55
    python -m demo_model.train --device cuda train --output out/demo --minutes 3.7 \
        --workers 14 --batch 48 --crop 384 768 --scenes 2000 --learning-rate 3e-3
    python -m demo_model.train evaluate --weights out/demo/demo.pth

Needs the `export` extra (torch). See scripts/README.md for what comes out.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from demo_model.crops import SCENE_HEIGHT, SCENE_WIDTH, Uint8, all_cores, drawn, fill, normalised
from demo_model.scenes import CLASSES, IGNORE
from demo_model.training import Figures, Machinery, Training, optimise, save_atomically
from tritonseg_engines.gate.metrics import ConfusionMatrix
from tritonseg_engines.zoo.hrnet import W18_SMALL_V1, HRNetV2

log = logging.getLogger("demo_model.train")

TRAINING_SEEDS_FROM = 1_000_000
"""Training draws seeds from here up; held-out scenes are the seeds from 0. They never meet."""


def predict(network: nn.Module, image_hwc: Uint8) -> Uint8:
    """Classes `(H, W)` of one image at its own size, in float32."""
    device = next(network.parameters()).device
    batch_nchw = torch.from_numpy(image_hwc).to(device).permute(2, 0, 1)[None].float() / 255.0
    with torch.inference_mode():
        scores_nchw = network(normalised(batch_nchw))
        size = image_hwc.shape[:2]
        upsampled_nchw = F.interpolate(scores_nchw, size=size, mode="bilinear")
    classes_hw: Uint8 = upsampled_nchw[0].argmax(0).cpu().numpy().astype(np.uint8)
    return classes_hw


def rounded_to_fp16(network: nn.Module) -> nn.Module:
    """Copy a network with every weight rounded to float16, as the shipped file stores it."""
    rounded = copy.deepcopy(network)
    for tensor in rounded.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half().float())
    return rounded


def evaluate(network: nn.Module, count: int) -> Figures:
    """Measure on `count` held-out scenes, the seeds from 0: as trained, and as shipped."""
    trained, shipped = network.eval(), rounded_to_fp16(network).eval()
    of_trained, of_shipped = (ConfusionMatrix(len(CLASSES), ignore_index=IGNORE) for _ in range(2))
    torch.backends.cudnn.allow_tf32 = False  # the figures are float32's
    with all_cores() as workers:
        for scene in workers.map(drawn, range(count)):
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


def measure(network: nn.Module, count: int, path: Path, run: Figures) -> None:
    """Evaluate, and write the figures of run and evaluation next to the weights."""
    figures = {**run, **evaluate(network, count)}
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
    log.info(
        "mean IoU %s, with fp16 weights %s", figures["mean_iou"], figures["mean_iou_fp16_weights"]
    )


def train(training: Training, machinery: Machinery, output: Path, held_out: int) -> None:
    """Fill the pool, train, save, evaluate."""
    output.mkdir(parents=True, exist_ok=True)
    first = TRAINING_SEEDS_FROM + training.seed * 100_000
    seeds = range(first, first + training.scenes)
    fill(machinery.pool, seeds)
    network, run = optimise(training, machinery, output)
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
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--held-out", type=int, default=100, help="scenes to evaluate on")
    commands = parser.add_subparsers(dest="command", required=True)
    add_training(commands.add_parser("train", help="train, then evaluate"))
    evaluator = commands.add_parser("evaluate", help="evaluate weights again")
    evaluator.add_argument("--weights", type=Path, required=True)
    return parser.parse_args()


def add_training(parser: argparse.ArgumentParser) -> None:
    """Add the options of a training; what is not given is as `Training` has it."""
    usual = Training()
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder for what comes out")
    add("--pool", type=Path, help="folder of drawn scenes (default: OUTPUT/pool)")
    add("--workers", type=int, default=1, help="processes that cut crops")
    add("--seed", type=int, default=usual.seed)
    add("--steps", type=int, default=usual.steps)
    add("--minutes", type=float, default=usual.minutes, help="ends here even if steps are left")
    add("--batch", type=int, default=usual.batch)
    crop = (usual.crop_height, usual.crop_width)
    add("--crop", type=int, nargs=2, default=crop, metavar=("HEIGHT", "WIDTH"))
    add("--scenes", type=int, default=usual.scenes, help="scenes in the pool")
    add("--learning-rate", type=float, default=usual.learning_rate)


def train_as_asked(arguments: argparse.Namespace) -> None:
    """Train with the options of the command line."""
    training = Training(
        seed=arguments.seed,
        steps=arguments.steps,
        minutes=arguments.minutes,
        batch=arguments.batch,
        crop_height=arguments.crop[0],
        crop_width=arguments.crop[1],
        scenes=arguments.scenes,
        learning_rate=arguments.learning_rate,
    )
    output: Path = arguments.output
    pool = arguments.pool or output / "pool"
    machinery = Machinery(device=arguments.device, workers=arguments.workers, pool=pool)
    train(training, machinery, output, arguments.held_out)


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    if arguments.command == "train":
        train_as_asked(arguments)
        return
    weights: Path = arguments.weights
    figures = weights.with_suffix(".json")
    known = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
    measure(load(weights).to(arguments.device), arguments.held_out, figures, known)


if __name__ == "__main__":
    main()
