"""Break thousands of picture files of every format, and look at how the client's reading ends.

    PYTHONPATH=scripts:tests/support python scripts/fuzz_pictures.py --count 10000

Each is refused by an `InvalidImageError`, or read: where OpenCV reads such files alike, as it does.
Ends with exit code 1 if one ends in another exception, in another picture, in the death of the
process, or not within seconds.
"""

from __future__ import annotations

import argparse
import collections
import logging
import os

from fuzz_worker import Worker, WorkerError
from mutated_pictures import FAILED, NAMES, MutatedPicture, Outcome

TIMEOUT_S = 20
MEMORY_BYTES = 8 << 30
log = logging.getLogger("fuzz")


def main() -> None:
    """Run the command line."""
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="files")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--names", nargs="+", choices=NAMES, default=NAMES)
    arguments = parser.parse_args()
    kinds: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    slowest_s, failures = 0.0, 0
    core = max(os.sched_getaffinity(0))
    worker = Worker(core, timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES)
    for index in range(arguments.count):
        name = arguments.names[index % len(arguments.names)]
        case = MutatedPicture(name=name, seed=arguments.first_seed + index)
        outcome = outcome_of(worker, case)
        kinds[name][outcome.kind] += 1
        slowest_s = max(slowest_s, outcome.took_s)
        if outcome.took_s == TIMEOUT_S or outcome.kind in FAILED:
            failures += 1
            log.info("%s: seed %d of %s: %s", outcome.kind, case.seed, name, outcome.words)
    worker.close()
    for name, counts in sorted(kinds.items()):
        figures = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
        log.info("%-36s%s", name, figures)
    total = sum(kinds.values(), collections.Counter())
    log.info("%-36s%s", "", ", ".join(f"{count} {kind}" for kind, count in total.most_common()))
    log.info("the slowest took %.2f s", slowest_s)
    raise SystemExit(bool(failures))


def outcome_of(worker: Worker, case: MutatedPicture) -> Outcome:
    """Return how a case ended, in whatever way."""
    try:
        return worker.outcome(case)
    except WorkerError as error:
        kind, words = error.args
        return Outcome(kind=kind, words=words, took_s=TIMEOUT_S)


if __name__ == "__main__":
    main()
