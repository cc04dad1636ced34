"""Three real servers behind one client, one added and one killed under load."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from callers import MASK, Call, Load, outcomes, until
from figures import KINDS, Figure

from red_model import RED_MODEL
from tritonseg_engines.serving import ServerConfig, TritonServer

CALLERS = 12
ASKED_WITHIN_S = 2.0
UNEVEN = 0.1
"""By how much of an equal share a server may get less."""


def measure(repository: Path, *, phase_s: float = 5.0) -> list[Figure]:
    """Return figures for each client."""
    return [figure for kind in KINDS for figure in _figures(kind, repository, phase_s)]


def _figures(kind: str, repository: Path, phase_s: float) -> list[Figure]:
    calls: list[Call] = []
    stopped = threading.Event()
    with ExitStack() as stack:
        first, second, third = (_server(repository, port) for port in _free_ports(3))
        for server in (first, second):
            server.start()
            stack.callback(server.stop)
        addresses = [f"127.0.0.1:{one.config.grpc_port}" for one in (first, second, third)]
        load = Load(kind=kind, url="ipv4:" + ",".join(addresses), callers=CALLERS)
        thread = load.begin(until(stopped), calls)
        stack.callback(thread.join)
        stack.callback(stopped.set)
        two = _share(phase_s, first, second)
        third.start()
        stack.callback(third.stop)
        asked_s = _asked_after_s(third)
        three = _share(phase_s, first, second, third)
        os.kill(first.pid, signal.SIGKILL)
        left = _share(phase_s, second, third)
        stopped.set()
        thread.join()
        first.stop()
        first.log_path.unlink(missing_ok=True)
    bad = {name: count for name, count in outcomes(calls).items() if name is not MASK}
    return [
        _even(kind, "two of three servers: smallest share", two),
        Figure(
            what="a third is added: its first picture after it is ready",
            kind=kind,
            found=f"{asked_s:.2f} s",
            limit=f"{ASKED_WITHIN_S:g} s",
            is_kept=asked_s <= ASKED_WITHIN_S,
        ),
        _even(kind, "three servers: smallest share", three),
        _even(kind, "one is killed: smallest share of the other two", left),
        Figure(
            what="all of this time: errors",
            kind=kind,
            found=f"{bad or 0} of {len(calls)} calls",
            limit="0",
            is_kept=not bad,
        ),
    ]


def _server(repository: Path, port: int) -> TritonServer:
    return TritonServer(replace(ServerConfig(repositories=(repository,)), grpc_port=port))


def _even(kind: str, what: str, shares: list[float]) -> Figure:
    least = (1 - UNEVEN) / len(shares)
    return Figure(
        what=what,
        kind=kind,
        found=f"{min(shares):.1%}",
        limit=f"{least:.1%}",
        is_kept=min(shares) >= least,
    )


def _share(phase_s: float, *servers: TritonServer) -> list[float]:
    """Return each one's share of the pictures of a time, by the servers' own count."""
    time.sleep(1.0)  # connections come and go
    before = [_pictures(server) for server in servers]
    time.sleep(phase_s)
    counts = [_pictures(server) - count for server, count in zip(servers, before, strict=True)]
    return [count / max(1, sum(counts)) for count in counts]


def _asked_after_s(server: TritonServer) -> float:
    begin_s = time.monotonic()
    while not _pictures(server) and time.monotonic() - begin_s < 10 * ASKED_WITHIN_S:
        time.sleep(0.02)
    return time.monotonic() - begin_s


def _pictures(server: TritonServer) -> int:
    with urllib.request.urlopen(str(server.metrics_url), timeout=10) as page:
        text = page.read().decode()
    found = re.search(rf'^nv_inference_count{{model="{RED_MODEL}",.*}} (\d+)', text, re.M)
    return int(found[1]) if found else 0


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        bound = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in bound:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in bound]
