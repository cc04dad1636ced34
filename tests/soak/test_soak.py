"""The soak's own parts, a little of each at one real server: what must fail in them does."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from red_model import RED_CLASSES, RED_MODEL, red_server
from tritonseg.testing import FakeTriton

HERE = Path(__file__).parent


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.syspath_prepend(HERE.parent / "benchmarks")
    return importlib.import_module


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with red_server(tmp_path_factory.mktemp("red")) as server:
        yield server.grpc_url


def test_nobody_gets_anothers_mask(part: Any, url: str) -> None:
    mixups: ModuleType = part("mixups")
    figures = mixups.measure(url, calls=640)
    assert [(one.kind, one.found, one.is_kept) for one in figures] == [
        ("threads", "0", True),
        ("asyncio", "0", True),
    ]


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_a_mask_of_another_picture_is_found(part: Any, kind: str) -> None:
    callers: ModuleType = part("callers")
    classes = [f"red {value}" for value in range(RED_CLASSES)]
    with FakeTriton(model=RED_MODEL, classes=classes) as triton:
        triton.mask = lambda image_hwc: image_hwc[::-1, :, 0]
        found = callers.Load(kind=kind, url=triton.url, callers=4).outcomes(range(10))
    assert found == {callers.WRONG_MASK: 10}


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_hundreds_of_requests_leave_nothing(part: Any, url: str, kind: str) -> None:
    leaks: ModuleType = part("leaks")
    assert leaks.growth_in_process(kind, url, 300, 900).leaks == []


def test_a_leak_of_each_kind_is_found(part: Any, url: str) -> None:
    leaks: ModuleType = part("leaks")
    growth = leaks.growth_in_process("threads", url, 200, 2000, leaking=True)
    assert growth.leaks == ["rss_kib", "descriptors", "threads", "regions"]
    assert not list(leaks.SHARED_MEMORY.glob("tritonseg_leak_*"))


def test_a_limit_that_is_broken_shows_in_the_table(part: Any) -> None:
    figures: ModuleType = part("figures")
    kept = figures.Figure(what="a", kind="threads", found="1", limit="2", is_kept=True)
    broken = figures.Figure(what="b", kind="asyncio", found="3", limit="2", is_kept=False)
    assert "**no**" not in figures.table([kept])
    assert "**no**" in figures.table([kept, broken])
