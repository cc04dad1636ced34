"""What every change of a graph needs beside onnx_ir: one place for each.

onnx_ir has the graph: producers, consumers, attributes by name, constants whatever form they come
in. Here stands what several changes would otherwise each say for themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import ShapeInferencePass

from tritonseg_engines.errors import OnnxModelError, reason_of

INITIALIZERS_ALONE_SINCE = 4
"""IR version from which initializers need not be inputs as well. Source: ONNX, `IR.md`."""


def editable(model: onnx.ModelProto) -> ir.Model:
    """Return a model's form that can be edited, its nodes in order of execution.

    ONNX Runtime's converters leave nodes behind those that read them, which ONNX forbids and
    onnx_ir does not clone. Files of IR version 3 list every initializer among the inputs, where
    runtimes take them for something that callers feed; from version 4 on they need not.

    Raises:
        OnnxModelError: It has a cycle, or what onnx_ir cannot hold, as sparse constants.
    """
    if model.graph.sparse_initializer:
        raise OnnxModelError("expected dense constants, got sparse ones; export without them")
    try:
        edited = ir.from_proto(model)
        edited.graph.sort()
        edited.graph.inputs[:] = fed_inputs(edited.graph)
        edited.ir_version = max(edited.ir_version or 0, INITIALIZERS_ALONE_SINCE)
    except (ir.serde.SerdeError, TypeError, ValueError) as error:
        raise _damaged(error) from error
    for node in all_nodes(edited):
        _check_attributes(node)
    return edited


def _check_attributes(node: ir.Node) -> None:
    """Refuse attributes that onnx_ir reads when they are asked for, and cannot.

    Text that is other bytes it leaves as bytes; a tensor's type it does not look at.
    """
    for attribute in node.attributes.values():
        place = f"node {node.name!r} ({node.op_type}): expected"
        if attribute.type == ir.AttributeType.STRING and isinstance(attribute.value, bytes):
            raise OnnxModelError(f"{place} text as its {attribute.name}, got {attribute.value!r}")
        if attribute.type == ir.AttributeType.TENSOR:
            try:
                attribute.as_tensor()
            except ValueError as error:
                raise OnnxModelError(
                    f"{place} a tensor of a type that ONNX has as its {attribute.name}, got {error}"
                ) from error


def as_proto(model: ir.Model) -> onnx.ModelProto:
    """Return a model's form that is written and run; the reverse of `editable`.

    onnx_ir notes the types of constants among those of computed tensors, where ONNX Runtime's
    converter to fp16 takes them for something to cast.
    """
    try:
        proto = ir.to_proto(model)
    except ir.serde.SerdeError as error:
        raise _damaged(error) from error
    computed = [
        info for info in proto.graph.value_info if info.name not in model.graph.initializers
    ]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(computed)
    return proto


def fed_inputs(graph: ir.Graph) -> list[ir.Value]:
    """Return the inputs that a caller must feed; old files list initializers among them."""
    return [value for value in graph.inputs if not value.is_initializer()]


def all_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Yield the nodes of a model, those in branches, loops and the file's own functions too."""
    graphs: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for graph in graphs:
        yield from ir.traversal.RecursiveGraphIterator(graph)


def values_of_pictures(graph: ir.Graph, *, but_of: Collection[str] = ()) -> set[ir.Value]:
    """Return the values that the graph's input decides, those in branches and loops too.

    Args:
        graph: Of the network.
        but_of: Operators that pass nothing on; `Shape`, where what pictures show is asked for.
    """
    found = set(fed_inputs(graph))
    for node in ir.traversal.RecursiveGraphIterator(graph):  # in order of execution
        read = (value for value in node.inputs if value is not None)
        if node.op_type not in but_of and not found.isdisjoint(read):
            found.update(node.outputs)
    return found


def _damaged(error: BaseException) -> OnnxModelError:
    while error.__cause__ is not None:  # onnx_ir names every level on the way
        error = error.__cause__
    reason = " ".join(str(error).split())
    return OnnxModelError(f"the graph is damaged or cannot be edited: {reason}")


def maker(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """Return the node that a value comes from, if it is one of these operators."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type in op_types else None


def given_input(node: ir.Node, place: int) -> ir.Value | None:
    """Return an input of a node, or None where it ends before."""
    return node.inputs[place] if len(node.inputs) > place else None


def constant_value(value: ir.Value | None) -> NDArray[Any] | None:
    """Return what a value always is, as initializer or by a Constant of any form; else None.

    Raises:
        OnnxModelError: Its type, shape and bytes do not go together.
    """
    if value is None:
        return None
    try:
        tensor = ir.convenience.get_const_tensor(value)
        return None if tensor is None else tensor.numpy()
    except (TypeError, ValueError) as error:
        raise OnnxModelError(f"constant {value.name!r} is damaged: {reason_of(error)}") from error


def add_constant(graph: ir.Graph, name: str, value: NDArray[Any]) -> ir.Value:
    """Add an initializer and return it."""
    constant = ir.val(name, const_value=ir.tensor(value))
    graph.register_initializer(constant)
    return constant


def make_node(
    op_type: str,
    inputs: Sequence[ir.Value | None],
    output: str,
    *,
    name: str | None = None,
    **attributes: Any,
) -> ir.Node:
    """Return a node with one output of that name, not yet in a graph."""
    return ir.node(op_type, inputs, attributes, outputs=[ir.val(output)], name=name)


def rename(graph: ir.Graph, value: ir.Value, name: str) -> None:
    """Give a value a name; one of the export's own that has it already makes way."""
    named = ir.convenience.create_value_mapping(graph)
    other = named.get(name, value)
    if other is not value:
        free = (f"{name}_of_export_{number}" for number in itertools.count(1))
        other.name = next(candidate for candidate in free if candidate not in named)
    value.name = name


def inferred_values(model: ir.Model) -> dict[str, ir.Value]:
    """Return, by name, what ONNX can infer of types and shapes; the model stays as it was."""
    copy = model.clone()
    ShapeInferencePass(check_type=False, strict_mode=False)(copy)
    return ir.convenience.create_value_mapping(copy.graph)


def dimensions(value: ir.Value) -> list[int | None] | None:
    """Return the sizes, None for those left open; None if the rank is unknown."""
    if value.shape is None:
        return None
    return [dim if isinstance(dim, int) else None for dim in value.shape]
