"""The nodes of a graph that run for every picture, and the constants that they cannot do without.

What is computed from constants alone an engine has computed beforehand, and what no output reads
it has not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np
import onnx
from onnx import numpy_helper

from tritonseg_engines.graph.multiplications import bodies
from tritonseg_engines.graph.onnx_file import graph_inputs

KEEP_VALUES: Final = (
    "Cast", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze",
    "Transpose", "Unsqueeze",
)  # fmt: skip
"""Operators that give as many numbers as they read, in another order or type."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LastingConstant:
    """A constant that nodes multiply with.

    Attributes:
        digest: The same for equal bytes, which an engine may hold once.
        elements: How many numbers it has.
        path: Names of the tensors from it to the node.
    """

    digest: bytes
    elements: int
    path: tuple[str, ...]


def running_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes that inputs change and outputs read, in order."""
    nodes = model.graph.node
    fed = {value.name for value in graph_inputs(model.graph)}
    for node in nodes:
        if any(name in fed for name in _reads(node)):
            fed.update(node.output)
    wanted = {value.name for value in model.graph.output}
    for node in reversed(nodes):
        if any(name in wanted for name in node.output):
            wanted.update(_reads(node))
    both = fed & wanted - {""}
    return [node for node in nodes if any(name in both for name in node.output)]


def constants_of(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]
) -> list[tuple[onnx.NodeProto, LastingConstant]]:
    """Return the constants that nodes multiply with, each reader with each of its own.

    A constant of one value for all its numbers is left out: an engine need not hold it.

    Args:
        model: Their graph.
        nodes: That multiply their first two inputs.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    tensors |= {
        node.output[0]: attribute.t
        for node in model.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    known: dict[str, tuple[bytes, int] | None] = {}
    found = []
    for node in nodes:
        for name in node.input[:2]:
            *_, source = path = tuple(_back(name, makers))
            if source in tensors and source not in known:
                known[source] = _digest(tensors[source])
            digest = known.get(source)
            if digest is not None:
                constant = LastingConstant(digest=digest[0], elements=digest[1], path=path)
                found.append((node, constant))
    return found


def _back(name: str, makers: Mapping[str, onnx.NodeProto]) -> Iterator[str]:
    """Yield a tensor and those that it has its numbers from."""
    yield name
    maker = makers.get(name)
    if maker is not None and maker.op_type in KEEP_VALUES:
        yield from _back(maker.input[0], makers)


def _digest(tensor: onnx.TensorProto) -> tuple[bytes, int] | None:
    values = numpy_helper.to_array(tensor)
    raw = values.tobytes()
    each = np.frombuffer(raw, np.uint8).reshape(values.size or 1, -1)
    if (each == each[0]).all():
        return None
    return blake2b(raw, digest_size=16).digest(), values.size


def _reads(node: onnx.NodeProto) -> Iterable[str]:
    """Yield the names that a node reads, also inside of its loops and branches."""
    yield from node.input
    for body in bodies(node):
        for inner in body.node:
            yield from _reads(inner)
        yield from (value.name for value in body.output)
