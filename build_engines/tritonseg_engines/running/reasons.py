"""Of what runtimes say about a network in many lines, the one that says why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

ONNX_RUNTIME_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
NOT_IMPLEMENTED = re.compile(r"Could not find an implementation for (\w+)\((\d+)\)")
OTHER_SIZE = re.compile(r"index: (\d+) Got: (\d+) Expected: (\d+)")
FAILED_NODE = re.compile(
    r"Non-zero status code returned while running (\w+) node\..*?Message: (.*)"
)
SOURCE_PLACE = re.compile(
    r"^(?:Exception during initialization: )?\S*\.(?:h|cc):\d+ (?:.*?\)(?: \[with [^\]]*\])? )?"
)
OPENVINO_MISSING = re.compile(r"No conversion rule found for operations: (.+)")
OPENVINO_OPSET = re.compile(r"-\d+$")
"""What it puts behind an operator's name."""
OPENVINO_OWN = "util::"
"""Before what it puts in an operator's place itself."""
OPENVINO_NODE = re.compile(
    r"validating ONNX node '<Node\((\w+)\): ([^>]*)>':(.+?)(?:\n\s*\n|\Z)", re.DOTALL
)
OPENVINO_FAILED = re.compile(r"Conversion is failed for: (.+)")
OPENVINO_NOISE = (
    "Exception from ", "Check '", "FrontEnd API failed", "Model wasn't fully", "While validating ",
    "Summary:",
)  # fmt: skip
"""Beginnings of lines of its exceptions that say where in OpenVINO, and nothing else."""


def missing_operator(error: BaseException | None) -> str | None:
    """Return the operator that ONNX Runtime has not for these types, if it says that."""
    missing = NOT_IMPLEMENTED.search(str(error))
    return None if missing is None else missing[1]


def onnx_runtime_reason(error: Exception) -> str:
    """Return why ONNX Runtime loads or runs a network not, in one line."""
    text = ONNX_RUNTIME_PREFIX.sub("", str(error).strip())
    missing = NOT_IMPLEMENTED.search(text)
    if missing is not None:
        return (
            f"it has no {missing[1]} of opset {missing[2]} for the types that it has here; export "
            "what is float64 in float32"
        )
    sizes = OTHER_SIZE.findall(text)
    if sizes:
        return ", ".join(f"axis {axis} is {got}, expected {want}" for axis, got, want in sizes)
    failed = FAILED_NODE.search(text)
    if failed is not None:
        return f"{failed[1]}: {SOURCE_PLACE.sub('', failed[2].strip())}"
    return " ".join(SOURCE_PLACE.sub("", text).split()) or type(error).__name__


def openvino_reason(error: Exception, names: Sequence[str] = ()) -> str:
    """Return why OpenVINO does not take a network, in one line.

    Behind an operator that it does not take, others fail too, whose shapes it does not know then.
    So what it lacks is told first, and of what fails otherwise the first node.

    Args:
        error: What it raised.
        names: Of the network's nodes and their outputs, by one of which it calls them; in order.
    """
    text = str(error).strip()
    missing = OPENVINO_MISSING.search(text)
    if missing is not None:
        lacking = _operators(missing[1].split(", "))
        them = "them" if lacking[1:] else "it"
        return f"it has no {', '.join(lacking)}; export the network without {them}"
    order = {name: position for position, name in enumerate(names)}
    failures = OPENVINO_NODE.findall(text)
    if failures:
        operator, _, reason = min(failures, key=lambda one: order.get(one[1], len(order)))
        return f"{operator}: {_told(reason)}"
    failed = OPENVINO_FAILED.findall(text)
    if failed:
        return f"it cannot convert {', '.join(_operators(failed))}, and does not say why"
    told, _, _summary = _told(text).partition(" -- Conversion is failed")
    return told.removeprefix("-- ") or " ".join(text.split()) or type(error).__name__


def _operators(names: Iterable[str]) -> list[str]:
    """Return operators as ONNX has them, each once."""
    found = [OPENVINO_OPSET.sub("", name.strip()) for name in names]
    return list(dict.fromkeys(one for one in found if not one.startswith(OPENVINO_OWN)) or found)


def _told(text: str) -> str:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(OPENVINO_NOISE)]
    return " ".join(" ".join(lines).split())
