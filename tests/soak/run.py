"""The long tests of the client: one command, a table, and 1 at the end where a limit is broken.

    python tests/soak/run.py [mixups] [leaks] [kills] ... [--quick]

Without names it runs all parts, which takes some 20 minutes. Unless the run is a quick one, each
part writes its table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import kills
import leaks
import many
import mixups
import outage
import servers
from figures import Figure, table
from machine import describe_machine
from results import publish

from red_model import build_red_model
from tritonseg_engines.serving import ServerConfig, TritonServer

Part = Callable[[Path, bool], list[Figure]]


def _with_server(repository: Path, measure: Callable[[str], list[Figure]]) -> list[Figure]:
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        return measure(server.grpc_url)


def _mixups(repository: Path, is_quick: bool) -> list[Figure]:
    options = {"calls": 1000} if is_quick else {}
    return _with_server(repository, lambda url: mixups.measure(url, **options))


def _leaks(repository: Path, is_quick: bool) -> list[Figure]:
    options = {"warm_up": 500, "requests": 2000} if is_quick else {}
    return _with_server(repository, lambda url: leaks.measure(url, **options))


def _kills(repository: Path, is_quick: bool) -> list[Figure]:
    return kills.measure(repository, **({"kills": 1, "callers": 50} if is_quick else {}))


def _outage(_repository: Path, _is_quick: bool) -> list[Figure]:
    return outage.measure()


def _servers(repository: Path, is_quick: bool) -> list[Figure]:
    return servers.measure(repository, phase_s=1.0 if is_quick else 5.0)


def _many(repository: Path, is_quick: bool) -> list[Figure]:
    options = {"photographs": 120, "rounds": 3} if is_quick else {}
    return many.measure(repository.parent, **options)


PARTS: dict[str, Part] = {
    "mixups": _mixups,
    "leaks": _leaks,
    "kills": _kills,
    "outage": _outage,
    "servers": _servers,
    "many": _many,
}


def main() -> None:
    """Run the parts that are named."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers end with it
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="*", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="little of each; the docs stay")
    arguments = parser.parse_args()
    are_kept = True
    with tempfile.TemporaryDirectory(prefix="tritonseg_soak_") as folder:
        repository = build_red_model(Path(folder))
        for name in arguments.part or PARTS:
            machine, begin_s = describe_machine(), time.monotonic()
            figures = PARTS[name](repository, arguments.quick)
            are_kept &= all(one.is_kept for one in figures)
            result = {
                "machine": machine,
                "took_s": time.monotonic() - begin_s,
                "figures": [vars_of(one) for one in figures],
            }
            publish(f"soak-{name}", result, table(figures), quick=arguments.quick)
    raise SystemExit(not are_kept)


def vars_of(figure: Figure) -> dict[str, object]:
    """Return a figure for a JSON file."""
    return {name: getattr(figure, name) for name in figure.__slots__}


if __name__ == "__main__":
    main()
