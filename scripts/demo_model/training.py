"""The training loop of the demo model: what decides the outcome, and one run of it."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from demo_model.crops import Crops, class_weights, normalised, photographed
from demo_model.scenes import CLASSES, IGNORE
from tritonseg_engines.zoo.hrnet import W18_SMALL_V1, HRNetV2

log = logging.getLogger(__name__)


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Machinery:
    """What decides how long it takes.

    Attributes:
        device: Computes the network.
        workers: Processes that cut crops out of the pool.
        pool: Folder of drawn scenes.
    """

    device: torch.device
    workers: int
    pool: Path


Figures = dict[str, object]


def loss_of(scores_nchw: Tensor, labels_nhw: Tensor, weights: Tensor, phase: int) -> Tensor:
    """Cross-entropy at half resolution; `phase` 0–3 says which pixel of 2x2 stands for four."""
    labels_nhw = labels_nhw[:, phase // 2 :: 2, phase % 2 :: 2]
    scores_nchw = F.interpolate(scores_nchw, size=labels_nhw.shape[1:], mode="bilinear")
    return F.cross_entropy(scores_nchw, labels_nhw, weights, ignore_index=IGNORE)


class Average:
    """The exponential average of a network's weights and running statistics.

    It begins short, so that it forgets the first steps, and grows to `decay`.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval()
        self._decay, self._steps = decay, 0
        theirs, mine = network.state_dict(), self.network.state_dict()
        floating = [name for name, value in theirs.items() if value.is_floating_point()]
        self._theirs, self._mine = ([state[n] for n in floating] for state in (theirs, mine))

    @torch.no_grad()
    def update(self) -> None:
        """Move towards what the network has become; all tensors at once, for a GPU's sake."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        torch._foreach_lerp_(self._mine, self._theirs, 1 - decay)


def save_atomically(network: nn.Module, path: Path) -> None:
    """Write the state dict, float32, under upstream's names."""
    partial = path.with_suffix(".partial")
    torch.save({k: v.detach().contiguous() for k, v in network.state_dict().items()}, partial)
    partial.replace(path)


def batches(training: Training, machinery: Machinery) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield normalised `(N, 3, h, w)` pictures and `(N, h, w)` labels on the device."""
    crops = Crops(machinery.pool, (training.crop_height, training.crop_width), training.seed)
    device, workers = machinery.device, machinery.workers
    on_gpu = device.type == "cuda"
    loader = DataLoader(crops, training.batch, num_workers=workers, pin_memory=on_gpu)
    for images_nchw, labels_nhw in loader:
        rgb_nchw = images_nchw.to(device, non_blocking=True).float() / 255.0
        rgb_nchw = normalised(photographed(rgb_nchw)).to(memory_format=torch.channels_last)
        yield rgb_nchw, labels_nhw.to(device, non_blocking=True).long()


def set_rate(optimizer: torch.optim.Optimizer, training: Training, step: int, done: float) -> None:
    """Warm up by steps, then fall along half a cosine as the run progresses from 0 to 1."""
    rate = 0.5 * (1 + math.cos(math.pi * done)) * min(1.0, step / training.warmup_steps)
    for group in optimizer.param_groups:
        group["lr"] = training.learning_rate * max(rate, 1e-3)


def take_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    weights: Tensor,
    phase: int,
) -> Tensor:
    """Learn from one batch and return the loss, left on the device so that nothing waits."""
    images_nchw, labels_nhw = batch
    with torch.autocast(images_nchw.device.type, dtype=torch.bfloat16):
        scores_nchw = network(images_nchw)
    loss = loss_of(scores_nchw.float(), labels_nhw, weights, phase)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimizer.step()
    return loss.detach()


def optimise(training: Training, machinery: Machinery, output: Path) -> tuple[nn.Module, Figures]:
    """Run the training loop; return the averaged network and figures of the run."""
    torch.manual_seed(training.seed)
    torch.backends.cudnn.benchmark = True  # all batches have one shape
    network = HRNetV2(W18_SMALL_V1, num_classes=len(CLASSES))
    network.to(machinery.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = Average(network, training.ema_decay)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )
    weights = class_weights(machinery.pool).to(machinery.device)
    start, step, shown = time.monotonic(), 0, torch.zeros((), device=machinery.device)
    for step, batch in enumerate(batches(training, machinery), start=1):
        elapsed_s = time.monotonic() - start
        progress = max(step / training.steps, elapsed_s / (training.minutes * 60))
        if progress >= 1.0:
            break
        set_rate(optimizer, training, step, progress)
        shown += take_step(network, optimizer, batch, weights, step % 4)
        average.update()
        if step % 50 == 0:
            loss = shown.item() / 50
            log.info("step %d  %.0f s  progress %.3f  loss %.4f", step, elapsed_s, progress, loss)
            shown.zero_()
        if step % 500 == 0:
            save_atomically(average.network, output / "checkpoint.pth")
    seconds = round(time.monotonic() - start, 1)
    return average.network, {
        "device": device_name(machinery.device),
        "steps": step,
        "training_s": seconds,
    }


def device_name(device: torch.device) -> str:
    """Return "cpu", or what the GPU calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
