"""Read an ONNX file into a network, with the parser's complaints in terms of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.tensorrt.bindings import BuildLog
from tritonseg_engines.tensorrt.onnx_types import OnnxTypes
from tritonseg_engines.tensorrt.words import in_one_line

_ENOUGH_ERRORS: Final = 3


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
    text = "; ".join(
        dict.fromkeys(complaints or log.errors()[:_ENOUGH_ERRORS] or ("no reason given",))
    )
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
    where = f"node {index}" if index >= 0 else "the file"
    if name:
        where = f"node {name!r} ({operator})"
    return f"{where}: {in_one_line(parser_error.desc())}"
