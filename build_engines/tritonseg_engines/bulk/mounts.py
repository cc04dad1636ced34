"""Which folders are on a disk or in the memory of this machine, and which are over a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NEAR: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay", "tmpfs"})
"""File systems of disks and memory, by their names in Linux (proc(5), mounts)."""
MOUNTS: Final = Path("/proc/self/mounts")


def is_near(folder: str) -> bool:
    """Return whether a folder, there or not yet, is in this machine, as far as Linux says so."""
    return _file_system_of(os.path.realpath(folder)) in NEAR


def _file_system_of(path: str) -> str | None:
    """Return the name of the file system that a path without links is in; None if nobody says."""
    try:
        lines = os.fsdecode(MOUNTS.read_bytes()).split("\n")  # a name may have other ends of lines
    except OSError:  # not Linux
        return None
    mounts = [line.split(" ") for line in lines if line]
    escaped = path.replace("\\", r"\134").replace(" ", r"\040")  # as it is there
    holding = [
        (len(folder), number, kind)
        for number, (_, folder, kind, *_) in enumerate(mounts)
        if f"{escaped}/".startswith(f"{folder.rstrip('/')}/")
    ]
    return max(holding)[2] if holding else None  # of several at one folder the last is seen
