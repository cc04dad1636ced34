"""The verdict of `make kill-check`: each thing that must not be is a fault."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from kill_check import KILLS, Kill, Round

STUB, _, WITH_STUBS, EVERYTHING = KILLS
KEPT = Round(
    what="a stub",
    unready_s={"gRPC": 1.0, "HTTP": 10.0},
    exit_code=70,
    ended_s=1.3,
    held=4,
    left=0,
    back_s=4.1,
    still_left=0,
    asked=Counter({"mask": 2, "ConnectError": 80}),
    all_ended=True,
)


@pytest.mark.parametrize(
    ("kill", "changes"),
    [
        (STUB, {}),
        (STUB, {"unready_s": {"gRPC": 0.0}}),
        (WITH_STUBS, {"exit_code": 70}),
        (WITH_STUBS, {"exit_code": 137}),
        (EVERYTHING, {"exit_code": -9, "left": 4}),
    ],
)
def test_what_may_be(kill: Kill, changes: dict[str, Any]) -> None:
    assert replace(KEPT, **changes).faults(kill) == []


@pytest.mark.parametrize(
    ("kill", "changes", "fault"),
    [
        (STUB, {"unready_s": {"gRPC": 1.0, "HTTP": None}}, "ready for more than 10 s"),
        (STUB, {"unready_s": {"gRPC": 10.1, "HTTP": 1.0}}, "ready for more than 10 s"),
        (STUB, {"exit_code": 137}, "exit code 137"),
        (STUB, {"all_ended": False}, "processes that outlived it"),
        (STUB, {"held": 0}, "no files to begin with"),
        (STUB, {"left": 1}, "1 files left"),
        (STUB, {"back_s": None}, "no right mask within 60 s of the start"),
        (EVERYTHING, {"exit_code": -9, "still_left": 4}, "4 files left by the next start"),
        (STUB, {"asked": Counter({"wrong mask": 1})}, "callers got {'wrong mask': 1}"),
        (STUB, {"asked": Counter({"ProtocolError": 1})}, "callers got {'ProtocolError': 1}"),
    ],
)
def test_what_must_not_be(kill: Kill, changes: dict[str, Any], fault: str) -> None:
    assert replace(KEPT, **changes).faults(kill) == [f"a stub: {fault}"]
