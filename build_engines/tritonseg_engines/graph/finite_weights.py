"""Refuse weights that are not numbers: training that diverged, or a damaged file."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from tritonseg_engines.errors import OnnxModelError


def check_weights(model: onnx.ModelProto) -> None:
    """Check that no constant of the main graph holds NaN; infinities may be meant (Clip, masks).

    Raises:
        OnnxModelError: One does; the message names it.
    """
    constants = list(model.graph.initializer)
    constants += [
        entry.t
        for node in model.graph.node
        for entry in node.attribute
        if node.op_type == "Constant" and entry.name == "value"
    ]
    for tensor in constants:
        values = numpy_helper.to_array(tensor)
        if np.issubdtype(values.dtype, np.floating) and np.isnan(values).any():
            raise OnnxModelError(
                f"constant {tensor.name!r}: expected numbers, got NaN at {np.isnan(values).sum()} "
                f"of {values.size} places; the model was saved from a training that diverged"
            )
