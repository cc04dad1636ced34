"""Break a specification in a thousand ways, and print what is said of each.

    PYTHONPATH=scripts:tests/support python scripts/fuzz_specs.py --count 1000 --show 50

Each is built, or refused in one line. Ends with exit code 1 if one ends in a traceback.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

from damaged_specs import damaged_spec, outcome_of_spec

log = logging.getLogger("fuzz")


def main() -> int:
    """Break as many as asked for."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("tritonseg").setLevel(logging.WARNING)
    built, failed, refused = 0, 0, []
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.count)
    with tempfile.TemporaryDirectory(prefix="tritonseg_specs_") as name:
        for seed in seeds:
            try:
                line = outcome_of_spec(
                    damaged_spec(seed), Path(name), build=not arguments.read_only
                )
            except Exception:
                failed += 1
                log.exception("seed %d", seed)
                continue
            if line is None:
                built += 1
            else:
                refused.append((seed, line.replace(f"{name}/", "")))
                failed += len(line.splitlines()) != 1
    for seed, line in refused[:: max(1, len(refused) // max(1, arguments.show))]:
        log.info("%d: %s", seed, line)
    log.info("%d built, %d refused, %d failed", built, len(refused), failed)
    return int(failed > 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first-seed", type=int, default=10_000)
    parser.add_argument("--show", type=int, default=50, help="messages to print")
    parser.add_argument("--read-only", action="store_true", help="do not build what can be read")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
