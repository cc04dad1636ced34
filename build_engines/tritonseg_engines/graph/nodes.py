"""Names and order of the nodes of a graph."""

from __future__ import annotations

import onnx


def name_nodes(graph: onnx.GraphProto) -> None:
    """Give nodes without a name, or with another's, one of their own, in place."""
    taken: set[str] = set()
    for index, node in enumerate(graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{index}"
        taken.add(node.name)


def sort_by_execution(graph: onnx.GraphProto) -> None:
    """Put every node behind those whose outputs it reads, in place, otherwise as they were."""
    nodes = list(graph.node)
    pending = {name for node in nodes for name in node.output if name}
    ordered: list[onnx.NodeProto] = []
    while nodes:
        waiting = []
        for node in nodes:
            if pending.isdisjoint(node.input):
                ordered.append(node)
                pending.difference_update(node.output)
            else:
                waiting.append(node)
        nodes = waiting
    del graph.node[:]
    graph.node.extend(ordered)
