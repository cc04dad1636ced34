"""What to try next: configurations near one, those that relieve its bottleneck first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from tritonseg_engines.tuning.bottleneck import step_loads
from tritonseg_engines.tuning.candidate import Candidate, Measured
from tritonseg_engines.tuning.settings import Settings

MOST_GPU_ENGINES: Final = 4
"""Contexts of one plan on a GPU; each has activations of its own."""
MOST_DELAY_US: Final = 2000
FIRST_DELAY_US: Final = 200
MOST_PROCESSES: Final = 4
"""Of a step; each has some 60 MB of its own."""
ENGINES, ARGMAX, NORMALIZE = "engine_instances", "argmax_instances", "normalize_instances"

Changes = Mapping[str, int]


def neighbours(measured: Measured, *, cores: int) -> list[Candidate]:
    """Return the configurations near one, most promising first.

    First one more of the busiest step, then of the two busiest, then of all: where two are equally
    busy, more of one alone brings nothing. Then every other single change.

    Args:
        measured: From which to go.
        cores: That steps and CPU engines share.
    """
    candidate = measured.candidate
    most = {
        ENGINES: cores if candidate.variant.on_cpu else MOST_GPU_ENGINES,
        ARGMAX: min(MOST_PROCESSES, cores),
        NORMALIZE: min(MOST_PROCESSES, cores),
    }
    changes = [
        *_relieving(_busiest_first(measured), candidate.settings, most),
        *_single(candidate, most, cores),
    ]
    found = dict.fromkeys(replace(candidate.settings, **change) for change in changes)
    return [Candidate(variant=candidate.variant, settings=settings) for settings in found]


def _busiest_first(measured: Measured) -> list[str]:
    """Return the settings that multiply steps, by how long requests wait for them."""
    result = measured.best or next(iter(measured.by_callers.values()), None)
    loads = [] if result is None else step_loads(measured.candidate, result)
    loads.sort(key=lambda load: (-load.waited_ms, -load.busy))
    return [load.setting for load in loads]


def _relieving(
    names: Sequence[str], settings: Settings, most: Mapping[str, int]
) -> Iterator[Changes]:
    for count in range(1, len(names) + 1):
        more = {name: getattr(settings, name) + 1 for name in names[:count]}
        if all(value <= most[name] for name, value in more.items()):
            yield more


def _single(candidate: Candidate, most: Mapping[str, int], cores: int) -> Iterator[Changes]:
    settings = candidate.settings
    for name, limit in most.items():
        count = getattr(settings, name)
        if count is not None:
            others = (count + 1, 2 * count, count - 1)
            yield from ({name: other} for other in others if 1 <= other <= limit)
    if settings.engine_threads is not None:
        share = max(1, cores // (settings.engine_instances or 1))
        present = settings.engine_threads or share
        numbers = sorted({share, 1, max(1, cores // 2), cores} - {present})
        # 0 follows the cores of whatever machine serves.
        yield from ({"engine_threads": 0 if count == share else count} for count in numbers)
    if (
        settings.max_batch_size is not None
    ):  # a plan takes every batch up to the one it is built for
        built = candidate.variant.settings.max_batch_size or 1
        half, twice = settings.max_batch_size // 2, 2 * settings.max_batch_size
        yield from ({"max_batch_size": size} for size in (half, twice) if 1 <= size <= built)
    if settings.queue_delay_us is not None:
        delay_us = settings.queue_delay_us
        for other_us in (0, delay_us // 2, 2 * delay_us or FIRST_DELAY_US):
            if other_us <= MOST_DELAY_US:
                yield {"queue_delay_us": other_us}
