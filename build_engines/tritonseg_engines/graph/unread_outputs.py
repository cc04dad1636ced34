"""Outputs of an operator that nobody reads, which TensorRT refuses all the same."""

from __future__ import annotations

import onnx_ir as ir

FIRST_IS_ENOUGH = ("BatchNormalization", "Dropout", "LayerNormalization", "MaxPool")
"""Operators whose outputs behind the first are optional."""


def without_unread_outputs(model: ir.Model) -> None:
    """Leave out, in place, the last outputs of nodes as far as nothing reads them.

    Exporters write the indices of a pool and the statistics of a normalization also where the
    network has no use for them.
    """
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.op_type in FIRST_IS_ENOUGH:
            read = [bool(value.uses()) or value.is_graph_output() for value in node.outputs]
            while len(read) > 1 and not read[-1]:
                read.pop()
            node.resize_outputs(len(read))
