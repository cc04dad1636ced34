"""Nodes in the order in which they can run, which ONNX demands and converters break.

Converters to float16 put the Casts that they add at the end of the file, and ONNX Runtime, which
orders nodes itself, runs such files. The nodes themselves stay as they came.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Sequence

import onnx


def put_in_order(graph: onnx.GraphProto) -> None:
    """Move nodes behind those whose results they read, in place; the rest stay where they are.

    Where that cannot be done, because nodes read each other in a circle or two give the same
    tensor, the graph stays as it is: what checks it says why.
    """
    order = _order(graph.node)
    if len(order) < len(graph.node) or order == list(range(len(order))):
        return
    nodes = [graph.node[index] for index in order]
    ordered = onnx.GraphProto()
    ordered.node.extend(nodes)
    del graph.node[:]
    graph.node.extend(ordered.node)


def _order(nodes: Sequence[onnx.NodeProto]) -> list[int]:
    """Return the indices in order; of those that can come next, always the first of the file."""
    makers = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    waits_for = [{makers[name] for name in _read(node) if name in makers} for node in nodes]
    readers: dict[int, list[int]] = defaultdict(list)
    for index, sources in enumerate(waits_for):
        for source in sources:
            readers[source].append(index)
    missing = [len(sources) for sources in waits_for]
    ready = [index for index, count in enumerate(missing) if not count]
    order: list[int] = []
    while ready:
        order.append(heapq.heappop(ready))
        for reader in readers[order[-1]]:
            missing[reader] -= 1
            if not missing[reader]:
                heapq.heappush(ready, reader)
    return order


def _read(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the tensors that a node reads, also those that only a branch or loop of it reads."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _read(inner)
