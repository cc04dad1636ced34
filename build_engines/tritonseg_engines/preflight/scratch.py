"""Folders for what a preflight writes for a while, none of which outlives the next one.

Whoever has one holds a lock in it. A process that is killed leaves its folder and lets go of the
lock; the next one that wants a folder removes what nobody holds.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "tritonseg-preflight-"
LOCK: Final = "lock"
FILES: Final = "files"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder that is removed at the end, and remove what killed processes left."""
    _sweep(Path(tempfile.gettempdir()))
    folder, lock = _locked_folder()
    try:
        yield folder / FILES
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked_folder() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another process may have found it before it was locked, and removed it.
        with suppress(FileNotFoundError):
            (folder / FILES).mkdir()
            return folder, lock
        os.close(lock)


def _sweep(parent: Path) -> None:
    """Remove this user's folders of which nobody holds the lock."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.lstat().st_uid != os.getuid():
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
