"""TensorRT's messages without what is of its own source: files, lines and conditions."""

from __future__ import annotations

import re
from typing import Final

_PLACED: Final = re.compile(
    r"^(?:\S+: |\[\S+\] )?Error Code \d+: [\w ]+ \((.*?)(?:\.? +In \w+ at \S+)?\)$"
)
_OWN_CHECK: Final = re.compile(r"^Assertion .* failed$")
_INTRODUCTION: Final = "Invalid Node - "
_NO_GPU: Final = "cudaError 35"
_NO_IMPORTER: Final = "false"
_OF_SOURCE: Final = (
    (re.compile(r"^.*Assertion failed: .*?[^:]: "), ""),
    (re.compile(r'^.*\S && "((?:[^"]|" ")*)"$'), r"\1"),
    (re.compile(r'" "'), ""),
    (re.compile(r"\[[\w.]+:\d+: \w+\] ?"), ""),
    (re.compile(r"\b\w+\.(?:cpp|cu|h|hpp):\d+: "), ""),
    (re.compile(r"\.? In \w+ at /\S+?(?=[.;)]?(?:\s|$))"), ""),
)
"""What TensorRT's macros put around words, and what to leave of it."""


def in_one_line(words: str) -> str:
    """Return what TensorRT says, without where in its source it was written.

    Where there is no GPU, TensorRT-RTX adds to every error that it found no driver; of operators
    that it does not import, its parser says that a condition was false.
    """
    lines = [_without_source(line.strip()) for line in words.splitlines() if line.strip()]
    telling = [
        line
        for line in lines
        if not (line.startswith(_INTRODUCTION) or _NO_GPU in line or _OWN_CHECK.match(line))
    ]
    return "; ".join(dict.fromkeys(telling or lines))


def _without_source(line: str) -> str:
    line = _PLACED.sub(r"\1", line)
    for pattern, left in _OF_SOURCE:
        line = pattern.sub(left, line)
    line = line.strip().removesuffix(".")
    return "no importer for this operator" if line == _NO_IMPORTER else line
