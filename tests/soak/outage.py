"""What an outage costs the server: requests for a thousand calls, with the client as it is made."""

from __future__ import annotations

import grpc
from callers import MASK, Load
from figures import KINDS, Figure

from red_model import RED_CLASSES, RED_MODEL
from tritonseg.testing import FakeTriton

CALLERS = 50
MAX_FACTOR = 1.25


def measure(*, calls: int = 1000) -> list[Figure]:
    """Return a figure for each client."""
    return [_figure(kind, calls) for kind in KINDS]


def _figure(kind: str, calls: int) -> Figure:
    classes = [f"red {value}" for value in range(RED_CLASSES)]
    with FakeTriton(model=RED_MODEL, classes=classes) as triton:
        load = Load(kind=kind, url=triton.url, callers=CALLERS)
        assert load.outcomes(range(1))[MASK] == 1
        before = triton.calls["ModelInfer"]
        triton.fail(grpc.StatusCode.UNAVAILABLE, "queue full")
        found = load.outcomes(range(calls))
        requests = triton.calls["ModelInfer"] - before
    return Figure(
        what=f"an outage of {calls} calls: requests to the server",
        kind=kind,
        found=f"{requests}",
        limit=f"{MAX_FACTOR * calls:.0f}",
        is_kept=requests <= MAX_FACTOR * calls and found == {"OverloadedError": calls},
    )
