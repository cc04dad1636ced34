"""Refuse graphs whose result depends on chance, or on the other pictures of a batch."""

from __future__ import annotations

import onnx_ir as ir

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.surgery import constant_value

RANDOM = (
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike",
)  # fmt: skip
RATIO_INPUT, TRAINING_INPUT = 1, 2
"""Of Dropout from opset 12 on."""


def refuse_chance(graph: ir.Graph) -> None:
    """Refuse nodes that are left in training mode, and random ones, in branches and loops too.

    Raises:
        OnnxModelError: There is one; the message names it and says how to export without.
    """
    for node in ir.traversal.RecursiveGraphIterator(graph):
        reason = _reason(node)
        if reason is not None:
            raise OnnxModelError(
                f"node {node.name or node.outputs[0].name!r} ({node.op_type}) {reason}; put the "
                "network in evaluation mode (`model.eval()` in torch) and export it again"
            )


def _reason(node: ir.Node) -> str | None:
    if node.op_type in RANDOM:
        return "gives random numbers, so that no two masks of a picture need be the same"
    if node.op_type == "BatchNormalization" and node.attributes.get_int("training_mode", 0) != 0:
        return "is in training mode: it scales by the other pictures of the batch"
    if node.op_type == "Dropout" and len(node.inputs) > TRAINING_INPUT:
        training = constant_value(node.inputs[TRAINING_INPUT])
        ratio = constant_value(node.inputs[RATIO_INPUT])
        if training is not None and bool(training) and (ratio is None or ratio > 0):
            return "is in training mode: it drops values by chance"
    return None
