"""Of what runtimes say about a network in many lines, the one that says why."""

from __future__ import annotations

import re

ONNX_RUNTIME_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
NOT_IMPLEMENTED = re.compile(r"Could not find an implementation for (\w+)\((\d+)\)")
OTHER_SIZE = re.compile(r"index: (\d+) Got: (\d+) Expected: (\d+)")
FAILED_NODE = re.compile(
    r"Non-zero status code returned while running (\w+) node\..*?Message: (.*)"
)
SOURCE_PLACE = re.compile(
    r"^(?:Exception during initialization: )?\S*\.(?:h|cc):\d+ (?:.*?\)(?: \[with [^\]]*\])? )?"
)
OPENVINO_NODE = re.compile(r"validating ONNX node '<Node\((\w+)\): [^>]*>':\n(.+)")
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


def openvino_reason(error: Exception) -> str:
    """Return why OpenVINO does not take a network, in one line."""
    text = str(error).strip()
    node = OPENVINO_NODE.search(text)
    if node is not None:
        return f"{node[1]}: {node[2].strip()}"
    failed = OPENVINO_FAILED.findall(text)
    if failed:
        return f"it has no {', '.join(dict.fromkeys(failed))}"
    lines = [line for line in text.splitlines() if not line.startswith(OPENVINO_NOISE)]
    told, _, _summary = " ".join(" ".join(lines).split()).partition(" -- Conversion is failed")
    return told.removeprefix("-- ") or " ".join(text.split()) or type(error).__name__
