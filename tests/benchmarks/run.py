"""The benchmark suite: one command, a JSON file and a table in the docs for each part.

    python tests/benchmarks/run.py PART [--quick]

PART is latency, throughput, peers, scaling, resampling, waiting, start, client, pools,
loaders or overload.

Results are written to out/benchmarks and, unless the run is a quick one, into
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
from pathlib import Path
from typing import Any

import client_overhead
import latency
import loaders
import overload
import peers
import pools
import resampling
import scaling
import start
import throughput
import waiting
from cases import STRIDES, make_case
from machine import PROJECT, describe_machine
from pace import FULL, QUICK
from results import publish

BY_MODEL = {"latency": latency, "throughput": throughput, "peers": peers}
BY_PACE: dict[str, Any] = {
    "scaling": scaling,
    "resampling": resampling,
    "waiting": waiting,
    "start": start,
    "client": client_overhead,
    "pools": pools,
    "loaders": loaders,
}
PEERS_VENV = PROJECT / "out" / "benchmarks" / "peers-venv"


def main() -> None:
    """Run one part of the suite."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers end with it
    arguments = _arguments()
    pace = QUICK if arguments.quick else FULL
    result: dict[str, Any] = {"machine": describe_machine(), "quick": arguments.quick}
    with tempfile.TemporaryDirectory(prefix="tritonseg_bench_") as name:
        folder = Path(name)
        if arguments.part in BY_PACE:
            part = BY_PACE[arguments.part]
            result["found"] = part.measure(folder, pace)
            table = part.table(result["found"])
        elif arguments.part == "overload":
            seconds = overload.QUICK_SECONDS if arguments.quick else arguments.seconds
            models = arguments.overloaded or overload.MODELS
            result["rows"] = overload.measure(folder, seconds, models, plain=arguments.plain)
            table = overload.table(result["rows"])
        else:
            result["models"] = _by_model(arguments, folder, pace)
            table = BY_MODEL[arguments.part].table(result["models"])
    publish(arguments.part, result, table, quick=arguments.quick)


def _by_model(arguments: argparse.Namespace, folder: Path, pace: Any) -> dict[str, Any]:
    part = BY_MODEL[arguments.part]
    options = {"venv": arguments.peers_venv} if part is peers else {}
    results = {}
    for name in arguments.model or part.MODELS:
        print(f"{arguments.part}: {name}", flush=True)
        case = make_case(name, folder, arguments.weights)
        results[name] = part.measure(case, folder, pace, **options)
    return results


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = [*BY_MODEL, *BY_PACE, "overload"]
    parser.add_argument("part", choices=parts)
    parser.add_argument(
        "--quick", action="store_true", help="try it out; the docs stay as they are"
    )
    parser.add_argument("--model", action="append", choices=STRIDES, help="may be given repeatedly")
    parser.add_argument("--seconds", type=float, default=overload.SECONDS, help="of each overload")
    parser.add_argument(
        "--overloaded", action="append", choices=["tiny", "small", "demo", "hrnet"],
        help="may be given repeatedly; demo without",
    )  # fmt: skip
    parser.add_argument(
        "--plain", action="store_true", help="overload with pixels of one size only"
    )
    parser.add_argument("--weights", type=Path, help="folder with checkpoints MODEL.pth")
    parser.add_argument(
        "--peers-venv", type=Path, default=PEERS_VENV, help="made if it is not there"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
