"""The soak's arithmetic: what is held, whether it grows, when full speed is back, the verdict."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from array import array
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

HERE = Path(__file__).parent
HOLDING = """
import ctypes, os, threading
held = ctypes.create_string_buffer(b"x" * 64 * 2**20, 64 * 2**20)
files = [open(os.devnull) for _ in range(20)]
for _ in range(3):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print("ready", flush=True)
input()
"""


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module


def test_the_slope_is_that_of_numpy(part: Any) -> None:
    rng = np.random.default_rng(0)
    times_s = np.arange(0, 1800, 1.01)
    values = 500 + 0.004 * times_s + rng.normal(0, 3, len(times_s))
    course = part("held").Course.of(times_s.tolist(), values.tolist(), 300.0)
    kept = times_s >= 300
    slope, _ = np.polyfit(times_s[kept], values[kept], 1)
    assert course.per_hour == pytest.approx(3600 * slope)
    assert course.most == values[kept].max()
    assert course.at_first == np.median(values[kept][:5])
    lasted_s = times_s[kept][-1] - times_s[kept][0]
    assert course.grew == pytest.approx(slope * lasted_s / course.at_first)


def test_what_grows_before_does_not_count(part: Any) -> None:
    times_s = list(range(600))
    values = [float(min(time_s, 100)) for time_s in times_s]
    course = part("held").Course.of(times_s, values, 100.0)
    assert (course.at_first, course.most, course.per_hour) == (100.0, 100.0, 0.0)


def test_what_a_process_and_its_child_hold(part: Any) -> None:
    held = part("held")
    command = [sys.executable, "-c", HOLDING]
    parent = f"import subprocess; subprocess.run({command!r})"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"ready\n"
        process_ids = held.with_children(process.pid)
        processes = [psutil.Process(one) for one in process_ids]
        assert processes[1:] == processes[0].children()
        found = held.Held.by(process_ids, held.NO_REGION)
        memories = [one.memory_full_info() for one in processes]
        assert found.rss_mib == pytest.approx(sum(one.rss for one in memories) / 2**20, rel=0.02)
        proportional_mib = held.proportional_mib(process_ids)
        assert proportional_mib == pytest.approx(sum(one.pss for one in memories) / 2**20, rel=0.02)
        assert 64 < proportional_mib <= found.rss_mib
        assert found.descriptors == sum(one.num_fds() for one in processes) > 20
        assert found.threads == sum(one.num_threads() for one in processes) >= 5
        assert found.shm_mib == 0
        process.stdin.close()
        process.wait(20)
        with pytest.raises(held.ServerLostError):
            held.Held.by(process_ids, held.NO_REGION)
        with pytest.raises(held.ServerLostError):
            held.proportional_mib(process_ids)


def test_a_record_of_a_process_that_does_nothing(
    part: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = part("held")
    monkeypatch.setattr(held, "EVERY_S", 0.1)
    with subprocess.Popen(["sleep", "60"]) as process:
        with held.recorded(process.pid, held.NO_REGION) as record:
            time.sleep(0.1 * (3 * held.PROPORTIONAL_EVERY + 2))
        process.kill()
    for name in held.QUANTITIES.values():
        course = record.course(name, 0.0)
        # Of the proportional set, others' processes decide, too.
        assert course.most == pytest.approx(course.at_first, abs=0.5 if name == "pss_mib" else 1e-9)
        assert name == "pss_mib" or course.per_hour == pytest.approx(0.0)
        assert course.lasted_s >= 0.1 * held.PROPORTIONAL_EVERY
    assert record.course("threads", 0.0).at_first == 1


def test_regions_are_counted_by_what_they_take(part: Any) -> None:
    region = Path(f"/dev/shm/tritonseg_soak_{os.getpid()}")
    region.write_bytes(b"x" * 3 * 2**20)
    try:
        found = part("held").Held.by([os.getpid()], f"tritonseg_soak_{os.getpid()}*")
    finally:
        region.unlink()
    assert found.shm_mib == pytest.approx(3)


def test_a_process_that_ends_while_it_is_recorded_is_told(part: Any) -> None:
    held = part("held")
    with subprocess.Popen(["sleep", "60"]) as process:
        with held.recorded(process.pid, held.NO_REGION) as record:
            process.kill()
            process.wait()
            time.sleep(1.5 * held.EVERY_S)
        with pytest.raises(held.ServerLostError):
            record.course("rss_mib", 0.0)


@pytest.mark.parametrize(
    ("stalled_s", "rate_per_s", "expected"),
    [
        (0.0, 16.0, 0.0),
        (4.0, 16.0, 3.7),  # a tenth of the first window may be missing
        (4.0, 14.0, None),
        (7.0, 16.0, 6.7),
    ],
)
def test_full_speed_after_a_stall(
    part: Any, stalled_s: float, rate_per_s: float, expected: float | None
) -> None:
    ends_s = [stalled_s + one / rate_per_s for one in range(1, int(12 * rate_per_s))]
    found = part("recovery").full_speed_after_s(ends_s, 16.0)
    assert found == (None if expected is None else pytest.approx(expected, abs=0.1))


def test_a_burst_is_no_full_speed(part: Any) -> None:
    """A line that is emptied at once, and nothing behind it for as long as the window is."""
    ends_s = [0.1] * 20 + [4.0 + one / 16 for one in range(160)]
    assert part("recovery").full_speed_after_s(ends_s, 16.0) == pytest.approx(3.7, abs=0.1)


def test_slowest_window(part: Any) -> None:
    even = [one / 20 for one in range(400)]
    assert part("recovery").slowest_window(even) == pytest.approx(1.0, rel=0.02)
    stalled = [one / 20 + (1.0 if one > 200 else 0.0) for one in range(400)]
    assert part("recovery").slowest_window(stalled) == pytest.approx(0.70, abs=0.03)


@pytest.fixture
def soaked(part: Any) -> Any:
    """One that keeps all limits."""
    held, soak = part("held"), part("soak_overload")
    outcome = part("open_loop").Outcome(
        answered_ms=array("d", [150.0] * 1000),
        refused_ms=array("d", [5.0] * 900),
        refusals=Counter({"StatusCode.UNAVAILABLE: wait": 900}),
        took_s=60.0,
    )
    course = held.Course(at_first=500.0, most=510.0, per_hour=2.0, lasted_s=1500.0)
    return soak.Soaked(
        seconds=1800.0,
        idle_ms=array("d", [60.0] * 100),
        before_per_s=16.0,
        slowest_window=0.95,
        outcome=outcome,
        called=Counter({"mask": 5, "OverloadedError": 4}),
        courses=dict.fromkeys(held.QUANTITIES.values(), course),
        asking_mib=(200.0, 220.0),
        after=part("recovery").Answers(
            ends_s=[one / 16 for one in range(1, 320)], refused=3, others=Counter(), wrong=0
        ),
    )


def test_a_soak_that_keeps_its_limits(part: Any, soaked: Any) -> None:
    verdict = part("soak_verdict")
    found = verdict.figures(soaked)
    assert verdict.is_kept(found)
    assert verdict.table(found).endswith("\n\nAll limits kept.")
    assert verdict.row(soaked, found)["answered"] == 1000


def test_what_others_move_is_held_to_nothing(part: Any, soaked: Any) -> None:
    grown = replace(soaked.courses["pss_mib"], most=900.0, per_hour=900.0)
    verdict = part("soak_verdict")
    found = verdict.figures(replace(soaked, courses=soaked.courses | {"pss_mib": grown}))
    assert verdict.is_kept(found)
    assert "900.0 (+80.0%)" in verdict.table(found)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda one: {"idle_ms": array("d", [49.0] * 100)}, "p99 of what was answered"),
        (lambda one: {"called": Counter({"mask": 9})}, "what the client got"),
        (
            lambda one: {"called": Counter({"OverloadedError": 9, "ConnectError": 1})},
            "what the client got",
        ),
        (lambda one: {"outcome": replace(one.outcome, wrong=1)}, "wrong masks"),
        (
            lambda one: {"outcome": replace(one.outcome, others=Counter({"INTERNAL: no": 1}))},
            "neither answered nor refused",
        ),
        (
            lambda one: {"outcome": replace(one.outcome, refusals=Counter({"a": 5, "b": 1}))},
            "refused",
        ),
        (lambda one: {"after": replace(one.after, wrong=1)}, "wrong masks"),
        (lambda one: {"after": replace(one.after, ends_s=[])}, "four callers"),
        (
            lambda one: {"after": replace(one.after, others=Counter({"INTERNAL: no": 1}))},
            "neither answered nor refused",
        ),
        (
            lambda one: {"after": replace(one.after, ends_s=[e + 6 for e in one.after.ends_s])},
            "four callers",
        ),
        *(
            (
                lambda one, changes=changes: {
                    "courses": one.courses | {"shm_mib": replace(one.courses["shm_mib"], **changes)}
                },
                "/dev/shm, MiB",
            )
            for changes in ({"most": 526.0}, {"per_hour": 25.0})
        ),
    ],
)
def test_a_limit_that_is_missed_is_named(part: Any, soaked: Any, change: Any, what: str) -> None:
    verdict = part("soak_verdict")
    found = verdict.figures(replace(soaked, **change(soaked)))
    assert not verdict.is_kept(found)
    missed = [one.what for one in found if one.is_kept is False]
    assert len(missed) == 1
    assert missed[0].startswith(what)
    assert missed[0] in verdict.table(found).splitlines()[-1]
