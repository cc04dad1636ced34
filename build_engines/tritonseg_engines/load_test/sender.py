"""The built-in loader's own process: sends, counts, and prints one line.

    python -m tritonseg_engines.load_test.sender < PLAN

Its caller may be busy with other things, and would share Python's lock with what must keep time.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import grpc

from tritonseg_engines.load_test.outcomes import (
    MeasuredWindow,
    Recorder,
    disagreement,
    percentiles_ms,
)
from tritonseg_engines.load_test.plan import Plan, read_plan, result_line
from tritonseg_engines.load_test.result import LoadResult
from tritonseg_engines.load_test.traffic import CHANNEL_OPTIONS, Traffic
from tritonseg_engines.load_test.triton_counters import Counted, CounterReader, step_times

NAME: Final = "built-in"
SWITCH_INTERVAL_S: Final = 0.0005
"""How long Python lets one thread keep the others waiting; by default 5 ms."""
LATENESS_SHARE: Final = 0.05
"""Of the mean latency; a sender that is further behind spoils what it measures."""
LOOK_S: Final = 0.02
MS_PER_S: Final = 1000.0


class UnusablePictureError(Exception):
    """The server does not answer a picture as it should, before there is any load."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """When a measurement must be over, and how Triton's counters are read."""

    ends_at: float
    counters: Callable[[], Counted | None]


def measure(plan: Plan, traffic: Traffic, recorder: Recorder) -> LoadResult:
    """Send a plan's requests and return what came of them.

    Raises:
        UnusablePictureError: A picture is not answered, or wrongly, before there is any load.
    """
    for request, wrong in traffic.try_each():
        if wrong is not None:
            raise UnusablePictureError(f"{request.name}: {wrong}")
    with grpc.insecure_channel(plan.url, options=CHANNEL_OPTIONS) as channel:
        counters, remarks = _counter_reader(channel, plan.model)
        clock = Clock(ends_at=time.perf_counter() + plan.window.most_s, counters=counters)
        traffic.start()
        try:
            time.sleep(plan.window.warm_up_s)
            measured = _measured(plan, recorder, clock)
            waiting_s = traffic.waiting_s()
        finally:
            traffic.stop()
    result = _with_late(_result(plan, measured), waiting_s)
    return replace(result, remarks=(*result.remarks, *remarks))


def _with_late(result: LoadResult, waiting_s: Sequence[float]) -> LoadResult:
    """Count callers who were not answered in time when it ended; some may never be.

    One who has waited as long as n answers may take would have asked n times.
    """
    budget_s = result.latency_budget_ms / MS_PER_S
    late_s = [one for one in waiting_s if one > budget_s]
    if not late_s or result.p99_ms > result.latency_budget_ms:  # then they are as late as the rest
        return result
    remark = (
        f"when it ended {len(late_s)} of {len(waiting_s)} callers had waited longer than "
        f"{result.latency_budget_ms:g} ms, {max(late_s):.1f} s at most"
    )
    return replace(
        result,
        failed=result.failed + sum(int(one / budget_s) for one in late_s),
        is_stable=False,
        remarks=(*result.remarks, remark),
    )


def _counter_reader(
    channel: grpc.Channel, model: str
) -> tuple[Callable[[], Counted | None], tuple[str, ...]]:
    """Return how counters are read, and a remark where the server does not tell them."""
    try:
        reader = CounterReader(channel, model)
        reader.read()
    except grpc.RpcError as error:
        line = f"no times of steps, because the server does not tell them: {error.details()}"
        return lambda: None, (line,)

    def read() -> Counted | None:
        try:
            return reader.read()
        except grpc.RpcError:  # under load; the requests themselves say what is the matter
            return None

    return read, ()


def _measured(plan: Plan, recorder: Recorder, clock: Clock) -> list[MeasuredWindow]:
    measured: list[MeasuredWindow] = []
    recorder.cut()
    begun, before = time.perf_counter(), clock.counters()
    while disagreement(measured, plan.window) is not None:
        if measured and begun + plan.window.window_s > clock.ends_at:
            break
        time.sleep(max(0.0, begun + plan.window.window_s - time.perf_counter()))
        while recorder.settled < plan.window.least_answers and time.perf_counter() < clock.ends_at:
            time.sleep(LOOK_S)
        now, outcomes, after = time.perf_counter(), recorder.cut(), clock.counters()
        window = MeasuredWindow(
            duration_s=now - begun, outcomes=outcomes, before=before, after=after
        )
        measured = [*measured, window][-plan.window.windows :]
        begun, before = now, after
    return measured


def _result(plan: Plan, measured: Sequence[MeasuredWindow]) -> LoadResult:
    outcomes = [window.outcomes for window in measured]
    latencies_ms = [value for one in outcomes for value in one.latencies_ms]
    failures = [reason for one in outcomes for reason in one.failures]
    sent = sum(one.sent for one in outcomes)
    mean_ms = statistics.fmean(latencies_ms) if latencies_ms else float("inf")
    lateness_ms = [value for one in outcomes for value in one.lateness_ms]
    remarks = [disagreement(measured, plan.window), _late(lateness_ms, mean_ms)]
    if failures:
        remarks.append(f"{len(failures)} of {sent} requests failed, the first so: {failures[0]}")
    before, after = measured[0].before, measured[-1].after
    return LoadResult(
        load=plan.load,
        latency_budget_ms=plan.latency_budget_ms,
        duration_s=sum(window.duration_s for window in measured),
        sent=sent,
        answered=len(latencies_ms),
        within_budget=sum(value <= plan.latency_budget_ms for value in latencies_ms),
        refused=sum(one.refused for one in outcomes),
        failed=len(failures),
        mean_ms=mean_ms,
        percentiles_ms=percentiles_ms(latencies_ms),
        steps=step_times(before, after) if before and after else (),
        is_stable=not any(remarks),
        measured_by=NAME,
        remarks=tuple(remark for remark in remarks if remark),
    )


def _late(lateness_ms: Sequence[float], mean_ms: float) -> str | None:
    late_ms = statistics.fmean(lateness_ms) if lateness_ms else 0.0
    if late_ms <= LATENESS_SHARE * mean_ms:
        return None
    return (
        f"whoever sent was {late_ms:.1f} ms behind in the mean, where an answer takes "
        f"{mean_ms:.1f} ms: this machine is too busy to measure itself; send from another"
    )


def main() -> None:
    """Measure what standard input says."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    plan, requests = read_plan(sys.stdin.buffer)
    recorder = Recorder()
    try:
        line = result_line(measure(plan, Traffic(plan, requests, recorder), recorder))
    except UnusablePictureError as error:
        line = json.dumps({"error": str(error)}).encode() + b"\n"
    sys.stdout.buffer.write(line)


if __name__ == "__main__":
    main()
