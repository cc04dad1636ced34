"""The size that an export declares, for a specification that leaves it to the file."""

from __future__ import annotations

from pathlib import Path

from tritonseg_engines.graph.onnx_file import dimensions, graph_inputs, load_onnx
from tritonseg_steps.geometry import Size


def declared_hw(path: Path, layout: str) -> Size | None:
    """Return height and width that a file declares for its one input, None where open.

    Args:
        path: The file.
        layout: Of the input, "NCHW" or "NHWC".

    Raises:
        OnnxModelError: It cannot be read.
    """
    inputs = graph_inputs(load_onnx(path).graph)
    dims = dimensions(inputs[0]) if len(inputs) == 1 else None
    if dims is None or len(dims) != len(layout):
        return None
    height, width = (dims[layout.index(axis)] for axis in "HW")
    return None if height is None or width is None else (height, width)
