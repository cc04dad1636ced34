"""What a container's quota and an affinity mask leave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tritonseg_steps.cores import available_cores, thread_limit

ALL = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("max 100000\n", ALL),
        ("50000 100000\n", 1),
        ("100000 100000\n", 1),
        (f"{ALL * 100000} 100000\n", ALL),
        (f"{64 * ALL * 100000} 100000\n", ALL),
        ("", ALL),
        ("nonsense here\n", ALL),
    ],
)
def test_a_quota_lowers_what_the_affinity_allows(
    content: str, expected: int, tmp_path: Path
) -> None:
    path = tmp_path / "cpu.max"
    path.write_text(content)
    assert available_cores(path) == expected


def test_affinity_counts_where_there_is_no_quota(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cores(tmp_path / "missing") == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("instances", "content", "expected"),
    [
        (1, "max 100000", None),
        (ALL, "max 100000", 1 if ALL > 1 else None),
        (100 * ALL, "max 100000", 1 if ALL > 1 else None),
        (1, "100000 100000", 1 if ALL > 1 else None),
    ],
)
def test_equal_processes_share_the_cores(
    instances: int, content: str, expected: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "cpu.max"
    path.write_text(content)
    assert thread_limit(instances, path) == expected


@pytest.mark.parametrize(("threads", "expected"), [(1, 1), (2, 2), (3, 2)])
def test_numba_gets_no_more_threads_than_it_has(threads: int, expected: int) -> None:
    """In a process of its own, because Numba reads the variable once."""
    program = (
        "import numba; from tritonseg_steps.cores import limit_numba;"
        f"limit_numba({threads}); print(numba.get_num_threads())"
    )
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == expected
