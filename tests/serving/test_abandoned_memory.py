"""Which regions in /dev/shm a starting server removes: those of whose server no process is left."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tritonseg_engines.serving import _keeper

HOLD = "import sys, time, {module} as keeper; keeper._hold_lock(*sys.argv[1:]); print(flush=True)"
"""As a keeper does, and then any process that shares its descriptor."""


@pytest.fixture
def prefix() -> Iterator[str]:
    """Of one server's regions; nothing is left of it."""
    own = f"{_keeper.SHM_PREFIX}{os.getpid()}_{secrets.token_hex(4)}_"
    yield own
    _keeper.remove_shared_memory(own)


def holder(prefix: str, work_directory: Path, then: str) -> subprocess.Popen[str]:
    code = HOLD.format(module=_keeper.__name__) + f"; {then}"
    process = subprocess.Popen(
        [sys.executable, "-c", code, prefix, str(work_directory)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def found(prefix: str) -> list[str]:
    return sorted(path.name.removeprefix(prefix) for path in Path("/dev/shm").glob(f"{prefix}*"))


def test_they_stay_while_any_process_holds_the_lock_and_go_with_the_last(
    prefix: str, tmp_path: Path
) -> None:
    place = tmp_path / f"{_keeper.WORK_DIRECTORY_PREFIX}x"
    place.mkdir()
    # The child of a dead keeper: a stub that has not noticed yet.
    orphan = "import os; os.fork() and os._exit(0); sys.stdin.read()"
    process = holder(prefix, place, orphan)
    assert process.stdin is not None
    assert process.stdout is not None
    process.wait()
    Path("/dev/shm", prefix + "region").touch()
    _keeper.remove_abandoned()
    assert found(prefix) == ["lock", "region"]
    assert place.is_dir()
    process.stdin.close()
    process.stdout.read()  # the orphan's end
    process.stdout.close()
    _keeper.remove_abandoned()
    assert found(prefix) == []
    assert not place.exists()


def test_a_directory_that_is_no_servers_is_left_alone(prefix: str, tmp_path: Path) -> None:
    with holder(prefix, tmp_path, "pass") as process:
        process.wait()
    _keeper.remove_abandoned()
    assert found(prefix) == []
    assert tmp_path.is_dir()


def test_regions_without_a_lock_are_not_ours_to_judge(prefix: str) -> None:
    Path("/dev/shm", prefix + "region").touch()
    _keeper.remove_abandoned()
    assert found(prefix) == ["region"]
