"""Replace the computed sizes of Resize nodes by constant scales where the shapes are known.

Exporters compute a Resize's target size at run time (Shape, Slice, Concat), because the batch
axis is open. Height and width are not: their ratio is a constant, and without the computation
the graph is one that every TensorRT reads and that costs nothing at run time.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import numpy_helper

from tritonseg_engines.graph.onnx_file import dimensions, inferred_values, remove_dead_nodes

SCALES_INPUT = 2
SIZES_INPUT = 3


def resize_by_constant_scales(model: onnx.ModelProto) -> int:
    """Rewrite every Resize whose input and output height and width are static, in place.

    Returns:
        The number of Resize nodes rewritten.
    """
    values = inferred_values(model)
    rewritten = 0
    for index, node in enumerate(model.graph.node):
        if node.op_type != "Resize" or len(node.input) <= SIZES_INPUT:
            continue
        scales = _static_scales(values.get(node.input[0]), values.get(node.output[0]))
        if scales is None:
            continue
        name = f"{node.name or f'resize_{index}'}_scales"
        model.graph.initializer.append(numpy_helper.from_array(scales, name))
        del node.input[SCALES_INPUT:]
        node.input.append(name)
        rewritten += 1
    remove_dead_nodes(model.graph)
    return rewritten


def exact_scale(source: int, target: int) -> np.float32:
    """Return the float32 scale for which `floor(source * scale)` is the target size.

    Source: ONNX operator Resize, version 13: `output_size = floor(input_size * scale)`. The
    quotient rounded to float32 may lie below the true one and lose a pixel; the next float above
    it cannot gain one for any size below 2^23.
    """
    scale = np.float32(target / source)
    if math.floor(float(scale) * source) < target:
        scale = np.nextafter(scale, np.float32(np.inf), dtype=np.float32)
    return scale


def _static_scales(
    before: onnx.ValueInfoProto | None, after: onnx.ValueInfoProto | None
) -> np.ndarray[tuple[int], np.dtype[np.float32]] | None:
    source = dimensions(before) if before is not None else None
    target = dimensions(after) if after is not None else None
    if source is None or target is None or not len(source) == len(target) == 4:
        return None
    pairs = list(zip(source[2:], target[2:], strict=True))
    if any(old is None or new is None for old, new in pairs):
        return None
    spatial = [exact_scale(old, new) for old, new in pairs if old is not None and new is not None]
    return np.array([1, 1, *spatial], np.float32)
