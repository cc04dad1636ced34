"""Names of the nodes of a graph."""

from __future__ import annotations

import itertools

import onnx_ir as ir


def name_nodes(graph: ir.Graph) -> None:
    """Give nodes without a name, or with another's, one of their own, in place.

    onnx_ir's NameFixPass does so too, but gives an unnamed node a name that a later one has, and
    then renames that one, which the user's `--keep-fp32` may mean.
    """
    given = {node.name for node in graph}
    seen: set[str] = set()
    for index, node in enumerate(graph):
        if not node.name or node.name in seen:
            stem = f"{node.op_type}_{index}"
            numbered = (f"{stem}_{number}" for number in itertools.count(2))
            node.name = next(
                name for name in itertools.chain([stem], numbered) if name not in given
            )
            given.add(node.name)
        seen.add(node.name)
