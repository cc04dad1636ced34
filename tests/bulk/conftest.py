"""Pictures, servers, and whether Ray is here."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bulk_pictures import write_pictures
from red_model import RED_CLASSES, RED_MODEL
from tritonseg.testing import FakeTriton
from tritonseg_engines.bulk.job import Cluster, Making, Servers
from tritonseg_engines.bulk.order import BulkOrder
from tritonseg_engines.bulk.sources import SourceOptions


@pytest.fixture(scope="session")
def with_ray() -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs Ray, 300 MB that no other test needs: make bulk-check")


@pytest.fixture(scope="session")
def with_arrow() -> None:
    if importlib.util.find_spec("pyarrow") is None:
        pytest.skip("needs pyarrow, which comes with Ray: make bulk-check")


@pytest.fixture
def fake() -> Iterator[FakeTriton]:
    """A server of the red model's name whose mask is the picture's red channel."""
    with FakeTriton(
        model=RED_MODEL, classes=[f"red {value}" for value in range(RED_CLASSES)]
    ) as fake:
        yield fake


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures", 10)


@pytest.fixture
def order(fake: FakeTriton, pictures: Path, tmp_path: Path) -> Callable[..., BulkOrder]:
    """Make an order of the fake's pictures, in parts of three; arguments replace its own."""

    def make(**changes: object) -> BulkOrder:
        wanted: dict[str, object] = {
            "source": SourceOptions(url=str(pictures)),
            "results": str(tmp_path / "results"),
            "model": RED_MODEL,
            "version": None,
            "making": Making(part_size=3),
            "servers": Servers(urls=[fake.url], timeout_s=2.0),
            "cluster": Cluster(),
            **changes,
        }
        return BulkOrder(**wanted)  # type: ignore[arg-type]

    return make
