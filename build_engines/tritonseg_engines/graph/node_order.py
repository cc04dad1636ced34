"""Nodes in the order in which they can run, which ONNX demands and converters break.

Converters to float16 put the Casts that they add at the end of the file, and ONNX Runtime, which
orders nodes itself, runs such files. The nodes themselves stay as they came.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

import onnx


def put_in_order(graph: onnx.GraphProto) -> None:
    """Move nodes behind those whose results they read, in place; the rest stay where they are.

    Where that cannot be done, because nodes read each other in a circle or two give the same
    tensor, the graph stays as it is: what checks it says why.
    """
    try:
        order = _order(graph.node)
    except CycleError:
        return
    if order == sorted(order):
        return
    nodes = [graph.node[index] for index in order]
    ordered = onnx.GraphProto()
    ordered.node.extend(nodes)
    del graph.node[:]
    graph.node.extend(ordered.node)


def _order(nodes: Sequence[onnx.NodeProto]) -> list[int]:
    """Return the indices in order; of those that can come next, always the first of the file.

    Raises:
        CycleError: Nodes read each other in a circle.
    """
    makers = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    sorter = TopologicalSorter(
        {
            index: {makers[name] for name in _read(node) if name in makers}
            for index, node in enumerate(nodes)
        }
    )
    sorter.prepare()
    ready = list(sorter.get_ready())
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        order.append(heapq.heappop(ready))
        sorter.done(order[-1])
        for index in sorter.get_ready():
            heapq.heappush(ready, index)
    return order


def _read(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the tensors that a node reads, also those that only a branch or loop of it reads."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _read(inner)
