"""How many cores this process may use, which is not how many the machine has.

A container's CPU limit is a quota of time and not a set of cores: `os.cpu_count` and the runtimes'
own defaults see the whole host, start a thread for each of its cores, and are then throttled.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from numba import get_num_threads, set_num_threads

CPU_MAX: Final = Path("/sys/fs/cgroup/cpu.max")
"""'QUOTA PERIOD' in microseconds, or 'max PERIOD'. Source: Linux, admin-guide/cgroup-v2, cpu.max.
Inside a container this is the container's own."""


def available_cores(cpu_max: Path = CPU_MAX) -> int:
    """Return the cores that the affinity mask and the cgroup's quota leave, at least 1."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = cpu_max.read_text(encoding="ascii").split()
        if quota != "max":
            cores = min(cores, int(quota) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no cgroup v2, so no quota that could be read
    return max(1, cores)


def limit_numba(threads: int | None) -> None:
    """Let Numba run so many threads for the calling one, or all it has, as NUMBA_NUM_THREADS says.

    It refuses more than that, and a model that asks for more would not load.
    """
    if threads is not None:
        set_num_threads(min(threads, get_num_threads()))


def thread_limit(instances: int, cpu_max: Path = CPU_MAX) -> int | None:
    """Return how many threads one of several equal processes should run at most.

    Args:
        instances: How many share the cores.
        cpu_max: The cgroup's quota.

    Returns:
        Its share of the cores, at least 1; None where that is all that a runtime sees anyway.
    """
    share = max(1, available_cores(cpu_max) // instances)
    return share if share < len(os.sched_getaffinity(0)) else None
