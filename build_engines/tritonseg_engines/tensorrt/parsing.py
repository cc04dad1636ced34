"""Read an ONNX file into a network, with the parser's complaints in terms of the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.tensorrt.bindings import BuildLog
from tritonseg_engines.tensorrt.onnx_types import OnnxTypes

_ENOUGH_ERRORS: Final = 3
_PLACED: Final = re.compile(r"^(?:\S+: )?Error Code \d+: [\w ]+ \((.*?)(?:\.? In \w+ at \S+)?\)$")
_INTRODUCTION: Final = "Invalid Node - "
_NO_GPU: Final = "cudaError 35"


def parse_onnx(parser: Any, onnx_path: Path, types: OnnxTypes, log: BuildLog) -> None:
    """Read the file into the parser's network.

    Raises:
        OnnxModelError: The parser refuses a node; the message has its name, operator and reason.
    """
    if parser.parse_from_file(str(onnx_path.resolve())):
        return
    complaints = [
        _complaint(parser.get_error(index), types)
        for index in range(min(parser.num_errors, _ENOUGH_ERRORS))
    ]
    text = "; ".join(complaints or log.errors()[:_ENOUGH_ERRORS] or ("no reason given",))
    raise OnnxModelError(f"{onnx_path}: TensorRT's parser refuses it: {text}")


def _complaint(parser_error: Any, types: OnnxTypes) -> str:
    name = operator = ""
    if hasattr(parser_error, "node_name"):
        name = parser_error.node_name()
    if hasattr(parser_error, "node_operator"):
        operator = parser_error.node_operator()
    index = parser_error.node()
    if not name and 0 <= index < len(types.nodes):
        name, operator = types.nodes[index]
    where = f"node {name!r} ({operator})" if name else f"node {index}"
    return f"{where}: {_in_one_line(parser_error.desc())}"


def _in_one_line(words: str) -> str:
    """Return what TensorRT says of a node, without where in its source it was written.

    Where there is no GPU, TensorRT-RTX adds to every error that it found no driver.
    """
    lines = [_PLACED.sub(r"\1", line.strip()) for line in words.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(_INTRODUCTION) and _NO_GPU not in line]
    return "; ".join(dict.fromkeys(telling or lines))
