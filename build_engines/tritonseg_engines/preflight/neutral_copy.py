"""The graph under names that mean nothing, which is what the compiler gets to see.

Its words are then its own wherever they are read for a reason, and each of its layers is one of
ours, also where names repeat or have line ends and brackets in them. `NeutralNames.restored` puts
the file's names back.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from tritonseg_engines.graph.multiplications import bodies
from tritonseg_engines.tensorrt.onnx_types import layer_name

FILE: Final = "graph.onnx"
_NEUTRAL: Final = re.compile(r"onnx_(?:node|tensor)_\d+_")


class NeutralNames:
    """Names in the place of a model's own.

    Args:
        model: Renamed in place, with its loops, branches and functions.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._tensors: dict[str, str] = {}
        self._nodes: dict[str, str] = {}
        self._writers: dict[str, str] = {}
        self._rename_graph(model.graph, is_top=True)
        for function in model.functions:
            function.input[:] = map(self._tensor, function.input)
            function.output[:] = map(self._tensor, function.output)
            self._rename_values(function.value_info)
            self._rename_nodes(function.node)

    def node_writing(self, tensor: str) -> str:
        """Return the neutral name of the node that writes a tensor, not inside of others."""
        return self._writers[tensor]

    def restored(self, text: str) -> str:
        """Return the compiler's words with the file's names, as far as they can be printed."""
        own = self._nodes | {neutral: name for name, neutral in self._tensors.items()}
        return _NEUTRAL.sub(lambda found: _printable(own.get(found[0], found[0])), text)

    def _tensor(self, name: str) -> str:
        if not name:
            return ""
        return self._tensors.setdefault(name, f"onnx_tensor_{len(self._tensors)}_")

    def _rename_graph(self, graph: onnx.GraphProto, *, is_top: bool = False) -> None:
        del graph.quantization_annotation[:]
        self._rename_values((*graph.input, *graph.output, *graph.value_info, *graph.initializer))
        self._rename_values(sparse.values for sparse in graph.sparse_initializer)
        self._rename_nodes(graph.node, is_top=is_top)

    def _rename_values(self, values: Iterable[onnx.ValueInfoProto | onnx.TensorProto]) -> None:
        for value in values:
            value.name = self._tensor(value.name)

    def _rename_nodes(self, nodes: Iterable[onnx.NodeProto], *, is_top: bool = False) -> None:
        for node in nodes:
            neutral = f"onnx_node_{len(self._nodes)}_"
            self._nodes[neutral] = layer_name(node)
            if is_top and node.output:
                self._writers[node.output[0]] = neutral
            node.name = neutral
            node.input[:] = map(self._tensor, node.input)
            node.output[:] = map(self._tensor, node.output)
            for graph in bodies(node):
                self._rename_graph(graph)


@dataclass(frozen=True, slots=True)
class NeutralCopy:
    """A file under neutral names, and the names."""

    path: Path
    names: NeutralNames


def write_neutral_copy(onnx_path: Path, folder: Path) -> NeutralCopy:
    """Write a graph under neutral names, and what it has outside of its file beside that.

    Args:
        onnx_path: A valid model.
        folder: Empty.
    """
    model = onnx.load(onnx_path, load_external_data=False)
    beside = {
        ExternalDataInfo(tensor).location
        for tensor in _tensors(model.graph)
        if uses_external_data(tensor)
    }
    for location in beside:
        copy = folder / location
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(onnx_path.resolve().parent / location, copy)
    names = NeutralNames(model)
    path = folder / FILE
    path.write_bytes(model.SerializeToString())
    return NeutralCopy(path, names)


def _tensors(graph: onnx.GraphProto) -> Iterable[onnx.TensorProto]:
    """Yield the constants of a graph and of what is inside of its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
        for inner in bodies(node):
            yield from _tensors(inner)


def _printable(name: str) -> str:
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in name)
