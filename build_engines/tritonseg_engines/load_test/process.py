"""A process that measures: waited for, and ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import Final

from tritonseg_engines.errors import LoadTestError

ENDING_S: Final = 3.0


def ended(process: subprocess.Popen[bytes], name: str, *, within_s: float) -> bytes:
    """Return what a process wrote once it ended; its group is gone whatever happens.

    Args:
        process: The first of a session of its own (`start_new_session=True`).
        name: What it is, for messages.
        within_s: Seconds that it may take.

    Raises:
        LoadTestError: It took longer.
    """
    try:
        output, _ = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired as error:
        raise LoadTestError(
            f"{name} had no result after {within_s:.0f} s, and was ended"
        ) from error
    finally:
        _end_group(process)
    return output or b""


def _end_group(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ENDING_S)
            return
