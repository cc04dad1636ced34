"""Read Triton's log: what went wrong, without the noise around it."""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import json
import re
import threading
from pathlib import Path
from typing import BinaryIO, Final, TextIO

_ERROR_ENTRY: Final = re.compile(
    r"(?:E\d{4} [\d:.]+|[\dT:-]+Z E) +\d+ [^\]]+\] +(?P<message>.*)"  # the second is ISO8601
)
# What Triton, its text-format parser and the dynamic loader write without their log's header.
_PLAIN_ERROR: Final = re.compile(
    r"(?:\[libprotobuf ERROR [^\]]+\] )?"
    r"(?P<message>error: .*|Error parsing .*|.*(?:unrecognized option|loading shared libraries).*)"
)
# On every machine without a GPU, and the same cause once more, in other words.
_NOISE: Final = (
    "CudaDriverHelper has not been initialized",
    "unable to create stream for ",
    "ERROR: Failed to create instance: ",
)
_HELD_BACK: Final = "'tritonseg_gate'"
"""Of the model that keeps a server from being ready, `held_back.GATE_MODEL`."""
_FROZEN_FRAME: Final = re.compile(r"\s*<frozen [^\n]*")
_LOADING: Final = re.compile(r'"loading: (?P<model>[^"]+):\d+"')
_LOADED: Final = re.compile(r"\"successfully loaded '(?P<model>[^']+)'")
_USAGE: Final = "Usage: tritonserver [options]"
"""Shown with what is wrong with the command line. Source: `TritonParser::Usage` in the server."""
_PROGRAM: Final = re.compile(r"^\S*tritonserver: ")
_MAX_ERRORS: Final = 20
KEPT_BYTES: Final = 4 << 20
"""Of a log that is echoed, on disk at least; in memory at most."""
_PUNCH_HOLE: Final = 0x01 | 0x02
"""FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE. Source: linux/falloc.h."""


def failure_report(log: str) -> str:
    """Return the lines of a failed start that say why; its ends if none is recognised.

    Args:
        log: The server's whole log.
    """
    usage = _around_usage(log.splitlines())
    if usage:
        return " ".join(usage)
    errors: list[str] = []
    for line in log.splitlines():
        message = _error_message(line)
        if message and message not in errors:
            errors.append(message)
    return "\n".join(errors[:_MAX_ERRORS] or _both_ends(log.splitlines()))


def _around_usage(lines: list[str]) -> list[str]:
    """Return what `tritonserver` says before and after its usage; nothing where there is none."""
    if _USAGE not in lines:
        return []
    begin = lines.index(_USAGE)
    last = max(
        (number for number, line in enumerate(lines) if line.startswith("\t")), default=begin
    )
    said = (line.strip() for line in (*lines[:begin], *lines[last + 1 :]))
    return [_PROGRAM.sub("", line) for line in said if line]


def _error_message(line: str) -> str | None:
    entry = _ERROR_ENTRY.match(line) or _PLAIN_ERROR.match(line)
    if entry is None:
        return None
    message = _unquoted(entry["message"]).replace("\n\n", "\n").strip()
    is_noise = message.startswith(_NOISE) or _HELD_BACK in message
    return None if is_noise else _FROZEN_FRAME.sub("", message)


def _unquoted(message: str) -> str:
    """Undo the quotes and escapes, those of JSON, that Triton wraps its own messages in."""
    with contextlib.suppress(json.JSONDecodeError):
        if message.startswith('"'):
            return str(json.loads(message))
    return message


def _both_ends(lines: list[str], head: int = 5, tail: int = 10) -> list[str]:
    if len(lines) <= head + tail:
        return lines or ["(the log is empty)"]
    return [*lines[:head], "...", *lines[-tail:]]


def models_still_loading(log: str) -> list[str]:
    """Return the models that Triton began to load and has not loaded, sorted."""
    begun = {match["model"] for match in _LOADING.finditer(log)}
    loaded = {match["model"] for match in _LOADED.finditer(log)}
    return sorted(begun - loaded)


def last_of(path: Path) -> str:
    """Return the last `KEPT_BYTES` of a log, less what was freed of it; empty if it is gone."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - KEPT_BYTES))
        return log.read().lstrip(b"\0").decode(errors="replace")


class LogEcho:
    """Copy a growing log file to a stream, in a thread, until closed.

    What was copied is freed from time to time, as a hole at the file's beginning: whoever reads the
    stream keeps it, and a container's temporary folder lies in memory.
    """

    _INTERVAL_S: Final = 0.1

    def __init__(self, path: Path, stream: TextIO) -> None:
        self._path = path
        self._stream = stream
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._copy, name="tritonserver-log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Copy what is left, and end."""
        self._closed.set()
        self._thread.join()

    def _copy(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        # Whoever reads the stream may have gone, as in `tritonseg serve --verbose | head`.
        with contextlib.suppress(BrokenPipeError), self._path.open("r+b") as log:
            closing, freed = False, 0
            while not closing:
                # Asked before reading, so that the last reading comes after the log's last line.
                closing = self._closed.wait(self._INTERVAL_S)
                self._stream.write(decoder.decode(log.read(), final=closing))
                self._stream.flush()
                if log.tell() - freed > 2 * KEPT_BYTES:
                    freed = log.tell() - KEPT_BYTES
                    _free(log, freed)


def _free(file: BinaryIO, length: int) -> None:
    """Give back the blocks of a file's beginning, where its file system can; its size stays."""
    with contextlib.suppress(AttributeError):  # a system other than Linux
        fallocate = ctypes.CDLL(None).fallocate64
        fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
        fallocate(file.fileno(), _PUNCH_HOLE, 0, length)
