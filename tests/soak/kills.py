"""A real Triton that is killed under load and started again, again and again; one client each."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from callers import FOREIGN, GRACE_S, MASK, WRONG_MASK, Call, Load, outcomes, until
from figures import KINDS, Figure

from tritonseg_engines.serving import ServerConfig, TritonServer

TIMEOUT_S = 5.0
RECOVERED_WITHIN_S = 2.0
_GIVEN_UP_S = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Outage:
    """When a server was killed, and when something listened at its port again."""

    killed_s: float
    back_s: float


def measure(
    repository: Path, *, kills: int = 20, callers: int = 200, seed: int = 16
) -> list[Figure]:
    """Return figures for each client."""
    return [
        figure
        for kind in KINDS
        for figure in _figures(kind, repository, kills, callers, random.Random(seed))
    ]


def _figures(
    kind: str, repository: Path, kills: int, callers: int, rng: random.Random
) -> list[Figure]:
    config = ServerConfig(repositories=(repository,), ready_timeout_s=120)
    server = TritonServer(config)
    server.start()
    port = int(server.grpc_url.rpartition(":")[2])
    config = replace(config, grpc_port=port)
    calls: list[Call] = []
    stopped = threading.Event()
    load = Load(kind=kind, url=server.grpc_url, callers=callers, timeout_s=TIMEOUT_S, pause_s=0.2)
    thread = load.begin(until(stopped), calls)
    outages = []
    try:
        for _ in range(kills):
            _await_mask(calls, time.monotonic())
            time.sleep(rng.uniform(0.0, 0.5))
            server, outage = _killed_and_started(server, config)
            outages.append(outage)
        _await_mask(calls, outages[-1].back_s)
    finally:
        stopped.set()
        thread.join()
        server.stop()
    return _judged(kind, load, calls, outages)


def _killed_and_started(server: TritonServer, config: ServerConfig) -> tuple[TritonServer, Outage]:
    killed_s = time.monotonic()
    os.kill(server.pid, signal.SIGKILL)
    with suppress(FileNotFoundError):
        server.stop()  # removes what it left; its log stays, because it did not end well
        server.log_path.unlink()
    back = _Watch(config.grpc_port)
    started = TritonServer(config)
    started.start()
    return started, Outage(killed_s=killed_s, back_s=back.since_s())


def _judged(kind: str, load: Load, calls: list[Call], outages: list[Outage]) -> list[Figure]:
    found = outcomes(calls)
    wrong = sum(
        count for name, count in found.items() if name == WRONG_MASK or name.startswith(FOREIGN)
    )
    recoveries = [_first_mask_s(calls, outage) - outage.back_s for outage in outages]
    late_s = load.late_s(calls)
    errors = len(calls) - found[MASK] - wrong
    what = f"{len(outages)} x kill -9 under {load.callers} calls"
    return [
        Figure(
            what=f"{what}: wrong masks, foreign exceptions",
            kind=kind,
            found=f"{wrong} of {len(calls)} calls ({found[MASK]} masks, {errors} errors of ours)",
            limit="0",
            is_kept=wrong == 0 and errors > 0,
        ),
        Figure(
            what=f"{what}: latest end of a call, against timeout_s = {TIMEOUT_S:g} s",
            kind=kind,
            found=f"{late_s:+.2f} s",
            limit=f"+{GRACE_S:g} s",
            is_kept=late_s <= GRACE_S,
        ),
        Figure(
            what=f"{what}: first mask after the port is back, slowest",
            kind=kind,
            found=f"{max(recoveries):.2f} s",
            limit=f"{RECOVERED_WITHIN_S:g} s",
            is_kept=max(recoveries) <= RECOVERED_WITHIN_S,
        ),
    ]


def _first_mask_s(calls: list[Call], outage: Outage) -> float:
    return min(
        call.end_s for call in list(calls) if call.outcome is MASK and call.end_s > outage.back_s
    )


def _await_mask(calls: list[Call], since_s: float) -> None:
    end_s = time.monotonic() + _GIVEN_UP_S
    seen = 0
    while time.monotonic() < end_s:
        new, seen = calls[seen:], len(calls)
        if any(call.outcome is MASK and call.end_s > since_s for call in new):
            return
        time.sleep(0.02)
    raise RuntimeError(f"no mask within {_GIVEN_UP_S:g} s")


class _Watch:
    """Notes when somebody listens at a port at which nobody does yet."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._back_s = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def since_s(self) -> float:
        """Return when, on the monotonic clock."""
        self._thread.join()
        return self._back_s

    def _watch(self) -> None:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    self._back_s = time.monotonic()
                    return
            time.sleep(0.005)
