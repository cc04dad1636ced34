"""Refuse weights that are not numbers: training that diverged, or a damaged file."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.surgery import constant_value


def check_weights(graph: ir.Graph) -> None:
    """Check that no constant of the main graph holds NaN; infinities may be meant (Clip, masks).

    Raises:
        OnnxModelError: One does; the message names it.
    """
    constants = [*graph.initializers.values()]
    constants += [node.outputs[0] for node in graph if node.op_type == "Constant"]
    for constant in constants:
        values = constant_value(constant)
        if values is None or not np.issubdtype(values.dtype, np.floating):
            continue
        if np.isnan(values).any():
            raise OnnxModelError(
                f"constant {constant.name!r}: expected numbers, got NaN at "
                f"{np.isnan(values).sum()} of {values.size} places; the model was saved from a "
                "training that diverged"
            )
