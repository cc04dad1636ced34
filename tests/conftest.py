"""What every tier shares: markers by folder, and the reference folder that need not be there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
LONGEST = (
    "test_other_cpu.py", "test_zoo.py", "test_precision.py", "test_random_exports.py",
    "test_tiling_zoo.py", "test_precision_zoo.py", "test_reach_zoo.py", "test_first_start.py",
    "test_soak.py", "test_shared_memory.py", "test_served.py", "test_rebuild.py",
)  # fmt: skip
TIERS = dict.fromkeys(("docker", "e2e", "interop", "load_test", "serving", "soak"), "e2e")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark tests that start a real server, so that `-m "not e2e"` leaves them out."""
    folder = Path(item.path).relative_to(PROJECT / "tests").parts[0]
    if folder in TIERS:
        item.add_marker(TIERS[folder])


@pytest.hookimpl(trylast=True)  # after pytest-randomly's
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, so that nothing waits for it where several files run at once.

    pytest-xdist keeps this order with `--no-loadscope-reorder`.
    """
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    name = Path(item.path).name
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


@pytest.fixture(scope="session")
def compiler() -> None:
    """NVIDIA's compiler without a GPU; skips where it is not installed."""
    from tritonseg_engines.preflight import (
        is_installed,  # the lowest releases test the client alone
    )

    if not is_installed():
        pytest.skip("needs NVIDIA's TensorRT-RTX: pip install 'tritonseg[preflight]', Linux only")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of parity fixtures, photographs and trained weights, which does not ship."""
    folder = Path(os.environ.get("TRITONSEG_SHARED", PROJECT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"reference data not found at {folder}; set TRITONSEG_SHARED")
    return folder
