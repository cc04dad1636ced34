"""perf_analyzer as a load tester, against models whose time is known, and the demo's layouts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from interop import LAYOUTS, Served
from load_test_models import CAPACITY_PER_S, SERVICE_MS, SIZE_HW, write_models
from tritonseg import ImageDecodeError
from tritonseg_engines.errors import LoadTestError
from tritonseg_engines.load_test import (
    ClosedLoop,
    LoadResult,
    LoadTarget,
    LoadTester,
    OpenLoop,
    Window,
    find_load_tester,
)
from tritonseg_engines.serving import ServerConfig, TritonServer

WINDOW = Window(warm_up_s=0.5, window_s=1.0, most_s=10.0)


@pytest.fixture(scope="session")
def perf(tools: Path) -> LoadTester:
    tester, _ = find_load_tester("perf_analyzer", executable=tools / "bin" / "perf_analyzer")
    return tester


@pytest.fixture(scope="session")
def sleepers(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = write_models(tmp_path_factory.mktemp("sleepers") / "models")
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        yield server


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "street.png"
    Image.fromarray(np.full((*SIZE_HW, 3), 7, np.uint8)).save(path)
    return path


def measured(
    perf: LoadTester, target: LoadTarget, load: ClosedLoop | OpenLoop, budget_ms: float = 200
) -> LoadResult:
    return perf.measure(target, load, latency_budget_ms=budget_ms, window=WINDOW)


def test_a_closed_loop_keeps_littles_law(
    perf: LoadTester, sleepers: TritonServer, picture: Path
) -> None:
    target = LoadTarget(url=sleepers.grpc_url, model="slow", pictures=(picture,))
    result = measured(perf, target, ClosedLoop(callers=3))
    assert result.measured_by == "perf_analyzer"
    assert result.answered_per_s * result.mean_ms / 1000 == pytest.approx(3, rel=0.15)
    assert result.answered_per_s <= CAPACITY_PER_S
    (step,) = result.steps
    assert step.infer_ms == pytest.approx(SERVICE_MS, rel=0.2)
    assert step.pictures == pytest.approx(result.answered, abs=6)
    assert result.within_budget == int(0.99 * result.answered)
    none = measured(perf, target, ClosedLoop(callers=3), budget_ms=SERVICE_MS / 2)
    assert none.within_budget == 0


def test_an_open_loop(perf: LoadTester, sleepers: TritonServer, picture: Path) -> None:
    target = LoadTarget(url=sleepers.grpc_url, model="slow", pictures=(picture,))
    result = measured(perf, target, OpenLoop(arrivals_per_s=CAPACITY_PER_S / 2))
    assert result.measured_by == "perf_analyzer"
    assert result.answered_per_s == pytest.approx(CAPACITY_PER_S / 2, rel=0.4)
    assert SERVICE_MS <= result.percentiles_ms[50] < 4 * SERVICE_MS


def test_arrivals_that_pile_up_are_not_called_stable(
    perf: LoadTester, sleepers: TritonServer, picture: Path
) -> None:
    target = LoadTarget(url=sleepers.grpc_url, model="slow", pictures=(picture,))
    result = measured(perf, target, OpenLoop(arrivals_per_s=3 * CAPACITY_PER_S))
    assert not result.is_stable
    assert "requests pile up" in result.remarks[0]


def test_refusals_are_measured_by_the_built_in_loader_and_that_is_said(
    perf: LoadTester, sleepers: TritonServer, picture: Path
) -> None:
    target = LoadTarget(url=sleepers.grpc_url, model="refusing", pictures=(picture,))
    result = measured(perf, target, ClosedLoop(callers=2))
    assert result.measured_by == "built-in, because a failed request ends perf_analyzer"
    assert result.remarks[-1].endswith("a request that failed: try again later")
    assert result.refused > 0.3 * result.answered


def test_what_cannot_be_measured(
    perf: LoadTester, sleepers: TritonServer, picture: Path, tmp_path: Path
) -> None:
    nobody = LoadTarget(url=sleepers.grpc_url, model="nobody", pictures=(picture,))
    with pytest.raises(LoadTestError, match="unknown model"):
        measured(perf, nobody, ClosedLoop(callers=1))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(ImageDecodeError):
        measured(
            perf,
            LoadTarget(url=sleepers.grpc_url, model="slow", pictures=(broken,)),
            ClosedLoop(callers=1),
        )
    assert not [child for child in psutil.Process().children() if "perf" in child.name()]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_steps_of_a_layout(street: Served, perf: LoadTester, layout: str) -> None:
    pictures = (street.folder / "street.jpg",)
    model = f"street-{layout}"
    target = LoadTarget(url=street.server.grpc_url, model=model, pictures=pictures)
    result = perf.measure(
        target, ClosedLoop(callers=2), latency_budget_ms=500, window=Window(least_answers=1)
    )
    steps = ("_argmax", "_engine", "_normalize") if layout == "ensemble" else ()
    assert [step.model for step in result.steps] == [model, *(model + name for name in steps)]
    assert all(step.pictures > 0 for step in result.steps)
