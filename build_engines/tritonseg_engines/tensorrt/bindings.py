"""NVIDIA's `tensorrt` module, and the two objects that it calls back: a logger and a monitor.

The module is passed around as a value named `trt`: it is imported when a plan is built and not
before, and a test finds every attribute of it that this package touches by that name.
"""

from __future__ import annotations

import importlib
import re
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from tritonseg_engines.progress import Progress
from tritonseg_engines.tensorrt.errors import TensorRTUnavailableError

"""Called with a phase's name, its steps done so far, and all its steps."""

_LOG_LINES: Final = 2000
_ERROR_LEVELS: Final = ("INTERNAL_ERROR", "ERROR")
_KEPT_LEVELS: Final = (*_ERROR_LEVELS, "WARNING", "INFO")
_ENOUGH_LAYERS: Final = 3
_ENGINE_LAYERS: Final = "Layers:"
"""Begins the one verbose message that says what an engine is made of."""


def load_tensorrt() -> Any:
    """Import NVIDIA's bindings of the TensorRT that builds plans.

    Raises:
        TensorRTUnavailableError: They are not installed, lack their libraries, or are too old.
    """
    try:
        trt = importlib.import_module("tensorrt")
    except ImportError as error:
        raise TensorRTUnavailableError(
            f"TensorRT's Python package cannot be imported ({error}). Build inside NVIDIA's "
            "container nvcr.io/nvidia/tensorrt of the same release as the Triton that will serve, "
            "or pip install tensorrt in that very version"
        ) from error
    # Came with 8.6, whose plans are the oldest that this project knows how to build.
    if not hasattr(trt, "HardwareCompatibilityLevel"):
        version = getattr(trt, "__version__", "an unknown version")
        raise TensorRTUnavailableError(f"expected TensorRT 8.6 or newer, got {version}")
    return trt


class BuildLog:
    """What TensorRT writes during one build; it writes from several threads.

    Attributes:
        engine_layers: What it says of the finished engine's layers, where it is asked to.
    """

    def __init__(self) -> None:
        self._lines: deque[tuple[str, str]] = deque(maxlen=_LOG_LINES)
        self._lock = threading.Lock()
        self.engine_layers = ""

    def add(self, level: str, text: str) -> None:
        """Keep a message, unless it is of TensorRT's most verbose level."""
        if level in _KEPT_LEVELS:
            with self._lock:
                self._lines.append((level, text.strip()))
        elif text.startswith(_ENGINE_LAYERS):
            self.engine_layers = text

    def lines(self) -> tuple[str, ...]:
        """Return everything that was kept, each with its level."""
        with self._lock:
            return tuple(f"[{level}] {text}" for level, text in self._lines)

    def errors(self) -> tuple[str, ...]:
        """Return the texts of the errors."""
        return self._of(_ERROR_LEVELS)

    def warnings(self) -> tuple[str, ...]:
        """Return the texts of the warnings, each once."""
        return tuple(dict.fromkeys(self._of(("WARNING",))))

    def layers(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those layer names that an error mentions, the first few.

        TensorRT words its errors differently in every version, but always quotes the names that
        the parser took from the ONNX nodes.
        """
        text = "\n".join(self.errors())
        mentioned = (name for name in names if name and name in text and _stands_alone(name, text))
        return tuple(dict.fromkeys(mentioned))[:_ENOUGH_LAYERS]

    def _of(self, levels: tuple[str, ...]) -> tuple[str, ...]:
        with self._lock:
            return tuple(text for level, text in self._lines if level in levels)


def _stands_alone(name: str, text: str) -> bool:
    """Tell `Conv_1` from a mention of `Conv_12`."""
    return re.search(rf"(?<![\w/]){re.escape(name)}(?![\w/])", text) is not None


def new_logger(trt: Any, log: BuildLog) -> Any:
    """Return a TensorRT logger that writes into the log."""

    class Logger(trt.ILogger):  # type: ignore[misc]  # the base is known at run time only
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            log.add(severity.name, msg)

    return Logger()


def new_progress_monitor(trt: Any, progress: Progress) -> Any:
    """Return a TensorRT monitor that reports to the callback, or None where there is none (8.6).

    What the callback raises stops the build and waits in the monitor's `reporter.exception`.
    """
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the base is known at run time only
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.reporter = _PhaseReporter(progress)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.reporter.start(phase_name, num_steps)

        def phase_finish(self, phase_name: str) -> None:
            self.reporter.finish(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return self.reporter.step(phase_name, step + 1)

    return Monitor()


class _PhaseReporter:
    """Calls back from TensorRT's threads, one at a time; an exception must not enter its frames."""

    def __init__(self, progress: Progress) -> None:
        self.exception: BaseException | None = None
        self._progress = progress
        self._steps: dict[str, int] = {}
        self._lock = threading.Lock()

    def start(self, phase: str, steps: int) -> None:
        self._steps[phase] = steps
        self.step(phase, 0)

    def finish(self, phase: str) -> None:
        self.step(phase, self._steps.get(phase, 0))

    def step(self, phase: str, done: int) -> bool:
        """Report, and return whether the build shall go on."""
        with self._lock:
            if self.exception is None:
                try:
                    self._progress(phase, done, self._steps.get(phase, done))
                except BaseException as error:  # noqa: BLE001 - raised again after the build
                    self.exception = error
            return self.exception is None
