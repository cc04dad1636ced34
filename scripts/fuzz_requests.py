"""Send thousands of hostile requests to a real Triton and see whether it still stands.

    PYTHONPATH=scripts:tests/support python scripts/fuzz_requests.py --count 2000

To every model of every layout, over gRPC. Ends with exit code 1 if one is answered with anything
but an answer or a typed refusal, a process restarts, a mask changes or memory grows.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path

from hostile_server import watched_server

LAYOUTS = ("ensemble", "single", "fused")
log = logging.getLogger("fuzz")


def main() -> None:
    """Run the command line."""
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="requests a layout")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=LAYOUTS)
    arguments = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder, watched_server(Path(folder)) as watched:
        answers, stubs = watched.answers(), watched.stub_pids()
        for layout in arguments.layouts:
            began, before_mb = time.monotonic(), watched.resident_mb()
            problems = watched.problems(layout, arguments.count, arguments.first_seed)
            for line in problems:
                log.info("%s", line)
            after_mb = watched.resident_mb()
            log.info(
                "%s: %d requests in %.0f s, %d problems; %.0f MB before, %.0f MB after",
                *(layout, arguments.count, time.monotonic() - began, len(problems)),
                *(before_mb, after_mb),
            )
            failed = failed or bool(problems)
        same = watched.answers() == answers
        kept = watched.stub_pids() == stubs
    log.info("answers after it: %s", "the same" if same else "OTHERS")
    log.info("Python processes: %s", "the same" if kept else "RESTARTED")
    raise SystemExit(int(failed or not (same and kept)))


if __name__ == "__main__":
    main()
