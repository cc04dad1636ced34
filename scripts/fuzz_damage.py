"""Damage random exports in a thousand ways, and look at how each ends.

    PYTHONPATH=scripts:tests/support python scripts/fuzz_damage.py --count 1000

Each is built with its own mask, or refused in one line. Ends with exit code 1 if one ends in
another mask, in a traceback, in several lines, in the death of the process, or not at all.
"""

from __future__ import annotations

import argparse
import collections
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from damages import DAMAGES, damaged
from fuzz_worker import DIED, HANGS, Worker, WorkerError
from fuzzed import FAILED, Outcome, outcome_of_file
from random_exports import random_export

TIMEOUT_S = 120
MEMORY_BYTES = 16 << 30
"""Of addresses, of which the runtimes reserve far more than they use."""
log = logging.getLogger("fuzz")


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One damaged file."""

    seed: int
    damage: str

    def outcome(self) -> Outcome:
        """Build it in this process."""
        export = random_export(self.seed)
        rng = np.random.default_rng((self.seed, sorted(DAMAGES).index(self.damage)))
        return outcome_of_file(export, damaged(export.model, self.damage, rng))


def main() -> None:
    """Run the command line."""
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="files")
    parser.add_argument("--first-seed", type=int, default=20_000)
    parser.add_argument("--damages", nargs="+", choices=sorted(DAMAGES), default=sorted(DAMAGES))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--show", action="store_true", help="every file with its message")
    arguments = parser.parse_args()
    cases = [
        Case(
            seed=arguments.first_seed + index,
            damage=arguments.damages[index % len(arguments.damages)],
        )
        for index in range(arguments.count)
    ]
    kinds: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for case, outcome in _ended(cases, arguments.jobs):
        kinds[case.damage][outcome.kind] += 1
        if arguments.show or _is_failure(outcome.kind):
            log.info("%s: %d %s: %s", outcome.kind, case.seed, case.damage, outcome.words)
    for damage, counts in sorted(kinds.items()):
        figures = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
        log.info("%-28s%s", damage, figures)
    total = sum(kinds.values(), collections.Counter())
    log.info("%-28s%s", "", ", ".join(f"{count} {kind}" for kind, count in total.most_common()))
    raise SystemExit(int(any(map(_is_failure, total))))


def _is_failure(kind: str) -> bool:
    return kind in (*FAILED, DIED, HANGS)


def _ended(cases: list[Case], jobs: int) -> Iterator[tuple[Case, Outcome]]:
    """Yield every file with what became of it, each process on a core of its own."""
    cores = sorted(os.sched_getaffinity(0))
    shares = [cases[job::jobs] for job in range(jobs)]
    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(_all, shares, (cores[job % len(cores)] for job in range(jobs)))
        for share in found:
            yield from share


def _all(cases: list[Case], core: int) -> list[tuple[Case, Outcome]]:
    worker = Worker(core, timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES)
    try:
        return [(case, _outcome(worker, case)) for case in cases]
    finally:
        worker.close()


def _outcome(worker: Worker, case: Case) -> Outcome:
    try:
        return worker.outcome(case)
    except WorkerError as error:
        kind, words = error.args
        return Outcome(kind=kind, words=words)


if __name__ == "__main__":
    main()
