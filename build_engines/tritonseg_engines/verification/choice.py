"""Which pictures become the canaries of a model: those that show most of its classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.verification.canary import Canary
from tritonseg_engines.verification.drawing import KINDS, draw, picture_sha256
from tritonseg_steps.geometry import Size

MOST: Final = 5
"""Canaries of one model; a server answers all of them before it is ready."""
LEAST: Final = 3
"""Where the model answers as many drawn pictures."""
SEEDS: Final = 2
"""Of every kind and size, where the network's input is small."""
LARGE_PIXELS: Final = 1 << 19
SMALLEST_SHARE: Final = 1e-4
SHARE_OF_GATE: Final = 0.1
"""Of the pixels that the gate lets differ from fp32, those that may differ from the engine itself
on another machine. OpenVINO with AVX2, AVX-512 and VNNI, and on one core and on two, gave the same
class at every pixel of 12 drawn pictures in fp32, fp16 and int8."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a model says to one picture.

    Attributes:
        class_map: `(H, W)` uint8, of the engine with the steps around it.
        equal_to_fp32: Share of pixels with the class of the fp32 network, 0-1.
    """

    class_map: NDArray[np.uint8] = field(repr=False)
    equal_to_fp32: float


Ask = Callable[[NDArray[np.uint8]], Answer | None]
"""Answers a picture `(H, W, 3)` uint8 RGB; None where the network gives no classes for it."""


def least_equal(gate_equal_pixels: float) -> float:
    """Return the least share of pixels that a served class map shares with the build's.

    Args:
        gate_equal_pixels: What the gate of the precision asks of the engine against fp32, 0-1.
    """
    return 1 - max(SMALLEST_SHARE, SHARE_OF_GATE * (1 - gate_equal_pixels))


def choose_canaries(
    ask: Ask, sizes_hw: Sequence[Size], *, network_pixels: int, gate_equal_pixels: float
) -> tuple[Canary, ...]:
    """Return the canaries: one of each size at least, and those that show further classes.

    Args:
        ask: The engine as it will be served.
        sizes_hw: Of pictures that the model takes; the first is its own.
        network_pixels: Of the input that the first leads to.
        gate_equal_pixels: As for `least_equal`.
    """
    bound = least_equal(gate_equal_pixels)
    seeds = 1 if network_pixels >= LARGE_PIXELS else SEEDS
    left = [one for size_hw in sizes_hw for one in _candidates(ask, size_hw, seeds, bound)]
    chosen: list[Canary] = []
    while left and len(chosen) < MOST:
        best = max(left, key=lambda one: _worth(one, chosen))
        if len(chosen) >= LEAST and not any(_worth(best, chosen)[:2]):
            break
        chosen.append(best)
        left = [one for one in left if one is not best]
    return tuple(chosen)


def _worth(canary: Canary, chosen: Sequence[Canary]) -> tuple[bool, int, bool, int, float]:
    """Return what it adds: a size, classes, a kind; and how much it shows."""
    shown = _classes(canary)
    new_classes = shown - {one for other in chosen for one in _classes(other)}
    class_map = canary.class_map
    borders = (
        float((class_map[:, 1:] != class_map[:, :-1]).mean()) if class_map[0, 1:].size else 0.0
    )
    return (
        canary.size_hw not in {other.size_hw for other in chosen},
        len(new_classes),
        canary.kind not in {other.kind for other in chosen},
        len(shown),
        borders,
    )


def _candidates(ask: Ask, size_hw: Size, seeds: int, bound: float) -> Iterator[Canary]:
    for kind in KINDS:
        for seed in range(seeds):
            image_hwc = draw(kind, seed, size_hw)
            answer = ask(image_hwc)
            if answer is not None:
                yield Canary(
                    kind=kind,
                    seed=seed,
                    size_hw=size_hw,
                    picture_sha256=picture_sha256(image_hwc),
                    class_map=np.ascontiguousarray(answer.class_map).copy(),
                    least_equal=bound,
                    equal_to_fp32=answer.equal_to_fp32,
                )


def _classes(canary: Canary) -> set[int]:
    return set(np.unique(canary.class_map).tolist())
