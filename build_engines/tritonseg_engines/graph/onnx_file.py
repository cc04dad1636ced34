"""ONNX files in and out: read with errors one can act on, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableSequence
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.errors import OnnxModelError

MINIMUM_OPSET = 11
"""Before opset 11, Resize and Upsample knew only asymmetric coordinates, so exports of bilinear
upsampling are silently wrong (13 % of the pixels of an HRNet)."""


def load_onnx(path: Path) -> onnx.ModelProto:
    """Read and check an ONNX model.

    Raises:
        OnnxModelError: The file is unreadable, no ONNX, invalid, or of an opset below 11.
    """
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except FileNotFoundError as error:
        missing = error.filename or path
        raise OnnxModelError(f"{missing}: no such file") from error
    except OSError as error:
        raise OnnxModelError(f"{path}: cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise OnnxModelError(f"{path}: expected an ONNX model, got something else") from error
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().splitlines()[0]
        raise OnnxModelError(f"{path}: not a valid ONNX model: {reason}") from error
    opset = default_opset(model)
    if opset < MINIMUM_OPSET:
        raise OnnxModelError(
            f"{path}: expected opset {MINIMUM_OPSET} or newer, got {opset}, in which bilinear "
            "upsampling has other coordinates than in the frameworks; export it again"
        )
    return model


def save_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Check the model and write it whole.

    Raises:
        OnnxModelError: The model is not valid.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise OnnxModelError(f"{path.name}: the graph is not valid: {error}") from error
    write_atomically(path, model.SerializeToString())


def default_opset(model: onnx.ModelProto) -> int:
    """Return the version of the standard operator set that the model uses."""
    return next((entry.version for entry in model.opset_import if not entry.domain), 0)


def graph_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that a caller must feed; old files list initializers among them."""
    initialized = {initializer.name for initializer in graph.initializer}
    return [value for value in graph.input if value.name not in initialized]


def producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Return the node that produces every tensor."""
    return {name: node for node in graph.node for name in node.output if name}


def dimensions(value: onnx.ValueInfoProto) -> list[int | None] | None:
    """Return the tensor's dimensions, None for those left open; None if the rank is unknown."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    return [
        dim.dim_value if dim.HasField("dim_value") else None
        for dim in value.type.tensor_type.shape.dim
    ]


def inferred_values(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Return type and shape of every tensor as far as ONNX can infer them."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return {value.name: value for value in _values(inferred)}


def _values(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    yield from graph.input
    yield from graph.value_info
    yield from graph.output


def remove_dead_nodes(graph: onnx.GraphProto) -> None:
    """Remove nodes, initializers and shape notes that no output depends on."""
    producer = producers(graph)
    needed = {value.name for value in graph.output}
    pending = list(needed)
    while pending:
        node = producer.get(pending.pop())
        fresh = set(_reads(node)) - needed if node is not None else set()
        needed |= fresh
        pending.extend(fresh)
    _discard(graph.node, lambda node: needed.isdisjoint(node.output))
    _discard(graph.initializer, lambda value: value.name not in needed)
    _discard(graph.value_info, lambda value: value.name not in needed)


def rename_tensor(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Give a tensor another name wherever the main graph mentions it.

    Raises:
        OnnxModelError: Another tensor has the new name already.
    """
    if old == new:
        return
    names = {name for node in graph.node for name in (*node.input, *node.output)}
    names.update(value.name for value in (*graph.input, *graph.output))
    names.update(initializer.name for initializer in graph.initializer)
    if new in names:
        raise OnnxModelError(f"tensor {old!r} cannot be renamed: {new!r} exists already")
    for node in graph.node:
        replace_name(node.input, old, new)
        replace_name(node.output, old, new)
    values: list[onnx.ValueInfoProto] = [*graph.input, *graph.output, *graph.value_info]
    for value in values:
        value.name = new if value.name == old else value.name


def replace_name(names: MutableSequence[str], old: str, new: str) -> None:
    """Replace a tensor's name in a node's inputs or outputs, in place."""
    for index, name in enumerate(names):
        if name == old:
            names[index] = new


def _discard(entries: MutableSequence[Any], unwanted: Callable[[Any], bool]) -> None:
    for index in reversed(range(len(entries))):
        if unwanted(entries[index]):
            del entries[index]


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the tensors a node reads, those that its subgraphs capture included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for subgraph in (attribute.g, *attribute.graphs):
            for inner in subgraph.node:
                yield from _reads(inner)
