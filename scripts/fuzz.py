"""Build thousands of random exports and count how they end.

    PYTHONPATH=scripts:tests/support python scripts/fuzz.py --count 2000

Ends with exit code 1 if one is served with another mask than its own, or ends in a traceback.
"""

from __future__ import annotations

import argparse
import collections
import logging

from fuzzed import outcome_of
from random_exports import random_export

LAYOUTS = ("single", "ensemble", "fused")
log = logging.getLogger("fuzz")


def main() -> None:
    """Run the command line."""
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="exports")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=["single"])
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32")
    arguments = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.count):
        export = random_export(seed)
        for layout in arguments.layouts:
            outcome = outcome_of(export, layout=layout, precision=arguments.precision)
            counts[outcome.kind] += 1
            if outcome.kind != "right":
                log.info("%s, %s: %s: %s", outcome.kind, layout, export.description, outcome.words)
    log.info("%s", ", ".join(f"{counts[kind]} {kind}" for kind in sorted(counts)))
    raise SystemExit(int(bool(counts["wrong"] or counts["traceback"])))


if __name__ == "__main__":
    main()
