"""Change a repository in a thousand ways, and look whether verification lets one of them pass.

    PYTHONPATH=scripts:tests/support python scripts/verify_mutations.py --count 1000

Changed files are held against the receipts without a server, and so are good repositories, with
their canaries run in this process. Then servers: `tritonseg verify` on good repositories, and on
forged ones, whose checksums agree and whose masks do not. Ends with exit code 1 if a changed one
passes, is told without its file and a cure, or a good one does not pass.
"""

from __future__ import annotations

import argparse
import collections
import logging
import tempfile
import time
from pathlib import Path

import numpy as np

from forged_repositories import FORGERIES, copied, forge
from repository_mutations import LAYOUTS, MUTATIONS, build_repository, mutate
from served_in_process import ServedInProcess
from told_verdicts import fault_in_words, verdict_lines
from tritonseg_engines.verification.asking import canaries_of
from tritonseg_engines.verification.files import check_files
from tritonseg_engines.verification.verify import verify_repository

log = logging.getLogger("verify_mutations")
Counts = collections.Counter


def main() -> None:
    """Run the command line."""
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="changed, and good, in process")
    parser.add_argument("--servers", type=int, default=30, help="good, and forged, through Triton")
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        good = build_repository(folder / "fp32")
        spare = build_repository(folder / "fp16", "fp16")
        seeds = range(arguments.first_seed, arguments.first_seed + arguments.count)
        faults = _changed(good, spare, folder / "work", seeds)
        faults += _good(good, len(seeds))
        faults += _served(good, folder / "work", arguments.servers)
    for fault in faults:
        log.info("FAULT %s", fault)
    raise SystemExit(int(bool(faults)))


def _changed(good: Path, spare: Path, work: Path, seeds: range) -> list[str]:
    """Change files; return a line for every change that passed or was told badly."""
    found, faults, tuned, start_s = Counts(), [], 0, time.monotonic()
    for seed in seeds:
        kind = list(MUTATIONS)[seed % len(MUTATIONS)]
        mutation = mutate(copied(good, work), kind, np.random.default_rng(seed), spare)
        fault = fault_in_words(verdict_lines(work, exact=True), mutation.files)
        if fault is None:
            found[kind] += 1
            tuned += not verdict_lines(work)
        else:
            faults.append(f"seed {seed}, {kind} ({', '.join(mutation.files)}): {fault}")
    for kind, count in sorted(found.items()):
        log.info("%-28s%d refused", kind, count)
    seconds = time.monotonic() - start_s
    log.info("%d of %d changes refused in %.0f s", sum(found.values()), len(seeds), seconds)
    log.info("%d of them, in what an operator tunes, are a remark without --exact", tuned)
    return faults


def _good(good: Path, count: int) -> list[str]:
    """Verify what was built, with canaries in this process; return a line for every alarm."""
    faults, start_s = [], time.monotonic()
    for index in range(count):
        model = list(LAYOUTS)[index % len(LAYOUTS)]
        (checked,) = check_files(good, [model], exact=True)
        served = ServedInProcess(good, model, threads=1 + index % 2)
        problems = [checked.problem, *(
            canary.difference(served.class_map(canary.picture()))
            for canary in canaries_of(checked.receipt)
        )]  # fmt: skip
        faults += [f"{model}, as built: {problem}" for problem in problems if problem]
    seconds = time.monotonic() - start_s
    log.info(
        "%d verifications of good ones in process, %d alarms, %.0f s", count, len(faults), seconds
    )
    return faults


def _served(good: Path, work: Path, count: int) -> list[str]:
    """Verify good and forged repositories through a server each."""
    faults, found = [], Counts()
    for index in range(count):
        good_ones = verify_repository(good, [list(LAYOUTS)[index % len(LAYOUTS)]])
        faults += [line for one in good_ones if one.problem for line in one.lines]
        found["good, passed"] += not any(one.problem for one in good_ones)
        model = list(LAYOUTS)[index % len(LAYOUTS)]
        kind = list(FORGERIES)[index % len(FORGERIES)]
        forge(copied(good, work), model, kind, np.random.default_rng(index))
        (forged,) = verify_repository(work, [model])
        if forged.problem is None or "canary" not in forged.problem:
            faults.append(f"forgery {index}, {kind} of {model}: {forged.lines}")
        else:
            found["forged, refused"] += 1
    log.info("through a server each: %s", dict(found))
    return faults


if __name__ == "__main__":
    main()
