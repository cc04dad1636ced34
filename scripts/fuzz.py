"""Build thousands of random exports and count how they end.

    PYTHONPATH=scripts:tests/support python scripts/fuzz.py --count 2000
    PYTHONPATH=scripts:tests/support python scripts/fuzz.py --count 300 --preflight sm_86 \
        --layouts ensemble fused --precision fp16 int8

Prints how many ended how, by layout and precision, and every kind of refusal with one example.
Ends with exit code 1 if one is served with another mask than its own, is built although it must
not be, or ends in a traceback or in several lines. With `--preflight` nothing is served: what
the build makes for TensorRT is shown to NVIDIA's compiler, which shall take it without a warning.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import logging
import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fuzzed import FAILED, KINDS, Outcome, outcome_of
from preflighted import preflight_outcome
from random_exports import random_export
from tritonseg_engines.preflight import GPUS, find_compiler

LAYOUTS = ("single", "ensemble", "fused")
PRECISIONS = ("fp32", "fp16", "int8")
SHOULD_BE_TAKEN = ("right", "refused", "wrong")
"""Of these the share that is refused says how much the build takes."""
REPORTED_EVERY = 50
log = logging.getLogger("fuzz")

Way = tuple[str, str]
"""Layout and precision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One export to be built in one way."""

    seed: int
    layout: str
    precision: str
    gpu: str | None = None


@dataclass(kw_only=True, slots=True)
class Tally:
    """What was counted so far.

    Attributes:
        kinds: Outcomes by way.
        refusals: Refusals that are neither as they must be nor the gate's, by their kind.
        examples: Of each, a description and its message.
    """

    kinds: dict[Way, collections.Counter[str]] = field(default_factory=dict)
    refusals: collections.Counter[str] = field(default_factory=collections.Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, task: Task, description: str, outcome: Outcome) -> None:
        """Count one."""
        counts = self.kinds.setdefault((task.layout, task.precision), collections.Counter())
        counts[outcome.kind] += 1
        line = f"{task.layout} {task.precision}: {description}: {outcome.words}"
        if outcome.kind in FAILED:
            log.info("%s: %s", outcome.kind, line)
        elif outcome.kind not in ("right", "cannot be run"):
            kind = f"{outcome.kind}: {outcome.refusal}"
            self.refusals[kind] += 1
            self.examples.setdefault(kind, line)

    @property
    def count(self) -> int:
        """How many were counted."""
        return sum(counts.total() for counts in self.kinds.values())

    @property
    def has_failed(self) -> bool:
        """Whether something ended as nothing may."""
        return any(counts[kind] for counts in self.kinds.values() for kind in FAILED)

    def lines(self) -> Iterator[str]:
        """Yield the refusals, and the table."""
        for kind, count in sorted(self.refusals.items(), key=lambda item: (item[0], -item[1])):
            yield f"{count:>5} {kind}"
            yield f"      {self.examples[kind]}"
        yield f"{'':<16}" + "".join(f"{kind:>21}" for kind in (*KINDS, "share refused"))
        for way, counts in self.kinds.items():
            taken = sum(counts[kind] for kind in SHOULD_BE_TAKEN)
            share = f"{counts['refused'] / taken:.2%}" if taken else "-"
            figures = [*(str(counts[kind]) for kind in KINDS), share]
            yield f"{' '.join(way):<16}" + "".join(f"{figure:>21}" for figure in figures)


def main() -> None:
    """Run the command line."""
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="exports")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=["single"])
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["fp32"])
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--minutes", type=float, help="begin no export after so long")
    parser.add_argument("--preflight", choices=list(GPUS), help="ask NVIDIA's compiler, for a GPU")
    arguments = parser.parse_args()
    if arguments.preflight:
        find_compiler()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.count)
    tasks = (
        Task(seed=seed, layout=layout, precision=precision, gpu=arguments.preflight)
        for seed, layout, precision in itertools.product(
            seeds, arguments.layouts, arguments.precision
        )
    )
    tally = Tally()
    for task, description, outcome in _ended(_in_time(tasks, arguments.minutes), arguments.jobs):
        tally.add(task, description, outcome)
        if tally.count % REPORTED_EVERY == 0:
            log.info("%d so far", tally.count)
    for line in tally.lines():
        log.info("%s", line)
    raise SystemExit(int(tally.has_failed))


def _in_time(tasks: Iterable[Task], minutes: float | None) -> Iterator[Task]:
    began = time.monotonic()
    for task in tasks:
        if minutes is not None and time.monotonic() - began > 60 * minutes:
            log.info("stopped after %g minutes, in front of seed %d", minutes, task.seed)
            return
        yield task


def _ended(tasks: Iterable[Task], jobs: int) -> Iterator[tuple[Task, str, Outcome]]:
    """Yield every task with what became of it."""
    if jobs == 1:
        yield from map(_run, tasks)
        return
    cores = multiprocessing.get_context("spawn").Queue()
    for core in itertools.islice(itertools.cycle(sorted(os.sched_getaffinity(0))), jobs):
        cores.put(core)
    # A pool would take all tasks at once, and know nothing of the time.
    with multiprocessing.get_context("spawn").Pool(jobs, _stay_on_core, (cores,)) as pool:
        while batch := list(itertools.islice(tasks, 4 * jobs)):
            yield from pool.imap_unordered(_run, batch)


def _stay_on_core(cores: multiprocessing.Queue[int]) -> None:
    """Run where no other does: runtimes start a thread a core, which would wait for each other."""
    os.sched_setaffinity(0, {cores.get()})


def _run(task: Task) -> tuple[Task, str, Outcome]:
    export = random_export(task.seed, fixed=task.layout == "fused")
    ways = {"layout": task.layout, "precision": task.precision}
    if task.gpu is None:
        outcome = outcome_of(export, **ways)
    else:
        outcome = preflight_outcome(export, task.gpu, **ways)
    return task, export.description, outcome


if __name__ == "__main__":
    main()
