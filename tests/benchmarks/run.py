"""The benchmark suite: one command, a JSON file and a table in the docs for each part.

    python tests/benchmarks/run.py PART [--quick]

PART is latency, throughput, peers, scaling, resampling, waiting, start, client, pools,
loaders, loadgen, overload or soak-overload.

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
import loadgen
import overload
import peers
import pools
import resampling
import scaling
import soak_overload
import soak_verdict
import start
import throughput
import waiting
from cases import STRIDES, make_case
from machine import PROJECT, describe_machine
from pace import FULL, QUICK
from results import publish

from tritonseg_engines.target import ServingLayout

BY_MODEL = {"latency": latency, "throughput": throughput, "peers": peers}
BY_PACE: dict[str, Any] = {
    "scaling": scaling,
    "resampling": resampling,
    "waiting": waiting,
    "start": start,
    "client": client_overhead,
    "pools": pools,
    "loaders": loaders,
    "loadgen": loadgen,
}
PEERS_VENV = PROJECT / "out" / "benchmarks" / "peers-venv"


def main() -> None:
    """Run one part of the suite."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers end with it
    arguments = _arguments()
    pace = QUICK if arguments.quick else FULL
    is_kept, is_quick = True, arguments.quick or _is_short_soak(arguments)
    result: dict[str, Any] = {"machine": describe_machine(), "quick": is_quick}
    with tempfile.TemporaryDirectory(prefix="tritonseg_bench_") as name:
        folder = Path(name)
        if arguments.part in BY_PACE:
            part = BY_PACE[arguments.part]
            result["found"] = part.measure(folder, pace)
            table = part.table(result["found"])
        elif arguments.part == "overload":
            seconds = arguments.seconds or overload.SECONDS
            if arguments.quick:
                seconds = overload.QUICK_SECONDS
            models = arguments.overloaded or overload.MODELS
            result["rows"] = overload.measure(folder, seconds, models, plain=arguments.plain)
            table = overload.table(result["rows"])
        elif arguments.part == "soak-overload":
            seconds = arguments.seconds or soak_overload.SECONDS
            soaked = soak_overload.measure(folder, seconds, ServingLayout(arguments.layout))
            figures = soak_verdict.figures(soaked)
            result["row"] = {"layout": arguments.layout, **soak_verdict.row(soaked, figures)}
            is_kept = soak_verdict.is_kept(figures)
            table = f"Layout: {arguments.layout}.\n\n{soak_verdict.table(figures)}"
        else:
            result["models"] = _by_model(arguments, folder, pace)
            table = BY_MODEL[arguments.part].table(result["models"])
    publish(arguments.part, result, table, quick=is_quick)
    raise SystemExit(not is_kept)


def _is_short_soak(arguments: argparse.Namespace) -> bool:
    seconds = arguments.seconds or soak_overload.SECONDS
    return bool(arguments.part == "soak-overload" and seconds < soak_overload.SECONDS)


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
    parts = [*BY_MODEL, *BY_PACE, "overload", "soak-overload"]
    parser.add_argument("part", choices=parts)
    parser.add_argument(
        "--quick", action="store_true", help="try it out; the docs stay as they are"
    )
    parser.add_argument("--model", action="append", choices=STRIDES, help="may be given repeatedly")
    parser.add_argument("--seconds", type=float, help="of each overload, or of the soak")
    parser.add_argument(
        "--layout", choices=[str(one) for one in ServingLayout], default="ensemble",
        help="of the soak's model",
    )  # fmt: skip
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
    arguments = parser.parse_args()
    if arguments.part == "soak-overload" and arguments.quick:
        arguments.seconds = soak_overload.QUICK_SECONDS
    least_s = soak_overload.LEAST_SECONDS
    if arguments.part == "soak-overload" and (arguments.seconds or least_s) < least_s:
        parser.error(f"a soak of less than {least_s:g} s has nothing to draw a line through")
    return arguments


if __name__ == "__main__":
    main()
