"""What the built-in loader's process is told on its input, and what it tells on its output.

A line of JSON, then the requests' bytes one after the other; a line of JSON comes back.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from tritonseg_engines.load_test.load import ClosedLoop, Load, OpenLoop, Window
from tritonseg_engines.load_test.requests import PreparedRequest
from tritonseg_engines.load_test.result import LoadResult, StepTimes


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One measurement.

    Attributes:
        url: The server's gRPC address.
        model: The model's name.
        load: What is sent.
        latency_budget_ms: What an answer may take and count as goodput.
        window: How long is measured.
        deadline_s: Seconds after which a request has failed.
        seed: Of the arrivals.
    """

    url: str
    model: str
    load: Load
    latency_budget_ms: float
    window: Window
    deadline_s: float
    seed: int


def write_plan(plan: Plan, requests: Sequence[PreparedRequest], stream: BinaryIO) -> None:
    """Write a plan and the requests that it sends."""
    heads = [[one.name, *one.size_hw, len(one.message)] for one in requests]
    stream.write(json.dumps({**dataclasses.asdict(plan), "requests": heads}).encode() + b"\n")
    for request in requests:
        stream.write(request.message)


def read_plan(stream: BinaryIO) -> tuple[Plan, list[PreparedRequest]]:
    """Return what `write_plan` wrote."""
    values: dict[str, Any] = json.loads(stream.readline())
    requests = [
        PreparedRequest(name=name, size_hw=(height, width), message=stream.read(size))
        for name, height, width, size in values.pop("requests")
    ]
    load = values.pop("load")
    return Plan(
        **{**values, "window": Window(**values["window"])},
        load=ClosedLoop(**load) if "callers" in load else OpenLoop(**load),
    ), requests


def result_line(result: LoadResult) -> bytes:
    """Return a result as a line of JSON, without its load, which the reader knows."""
    values = {
        field.name: getattr(result, field.name)
        for field in dataclasses.fields(result)
        if field.name not in ("load", "steps", "percentiles_ms")
    }
    steps = [dataclasses.asdict(step) for step in result.steps]
    percentiles = list(result.percentiles_ms.items())
    return json.dumps({**values, "steps": steps, "percentiles_ms": percentiles}).encode() + b"\n"


def result_from_line(line: bytes, load: Load) -> LoadResult:
    """Return what `result_line` wrote."""
    values: dict[str, Any] = json.loads(line)
    values |= {
        "steps": tuple(StepTimes(**step) for step in values["steps"]),
        "percentiles_ms": dict(values["percentiles_ms"]),
        "remarks": tuple(values["remarks"]),
    }
    return LoadResult(load=load, **values)
