"""What can go wrong with the compiler itself; a graph that it refuses is an answer first.

EngineBuildError
├─ OnnxModelError
│  └─ GraphRefusedError          a build ends with a graph that is refused
└─ PreflightError
   ├─ PreflightUnavailableError  NVIDIA's compiler is not installed, or does not start here
   ├─ CompilerCrashedError       its process died
   ├─ CompilerTimeoutError       it took longer than allowed
   └─ CompilerMemoryError        it needed more memory than allowed
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from tritonseg_engines.errors import EngineBuildError, OnnxModelError

if TYPE_CHECKING:
    from tritonseg_engines.preflight.check import Preflight


class GraphRefusedError(OnnxModelError):
    """NVIDIA's compiler refuses a graph.

    Attributes:
        found: All that it says.
    """

    def __init__(self, message: str, found: Preflight) -> None:
        super().__init__(message)
        self.found = found


class PreflightError(EngineBuildError):
    """NVIDIA's compiler gave no answer.

    Attributes:
        log: The last lines that it wrote.
    """

    def __init__(self, message: str, *, log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.log = log


class PreflightUnavailableError(PreflightError):
    """The compiler is not installed, or its parts do not fit each other or this machine."""


class CompilerCrashedError(PreflightError):
    """The compiler's process ended by a signal, or without an answer."""


class CompilerTimeoutError(PreflightError):
    """The compiler was stopped because it took longer than allowed."""


class CompilerMemoryError(PreflightError):
    """The compiler needed more memory than it was allowed, or than there is."""


def cannot_write(reason: str) -> PreflightUnavailableError:
    """Return the error for temporary files that cannot be written."""
    return PreflightUnavailableError(
        f"{tempfile.gettempdir()}: {reason}; a copy of the graph and the compiler's answer have to "
        "be written there. Make room, or name another folder in TMPDIR"
    )
