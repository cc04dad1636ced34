"""Replace an If whose condition is a constant by the branch that is taken.

torch writes `if self.training` and its like this way. In the open, the operators of the branch are
seen by everything that looks at the graph: the tail's recognition, the change of precision.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import onnx_ir as ir

from tritonseg_engines.graph.surgery import constant_value, maker


def inline_branches(model: ir.Model) -> None:
    """Put the nodes of every branch that is always taken in the place of its If, in place."""
    pending = list(model.graph)
    while pending:
        node = pending.pop(0)
        branch = _taken(node)
        if branch is not None:
            pending = _inline(model.graph, node, branch) + pending


def _taken(node: ir.Node) -> ir.Graph | None:
    """Return the branch of an If that is always taken, or None."""
    condition = node.inputs[0] if node.op_type == "If" and not node.domain else None
    while (identity := maker(condition, "Identity")) is not None:
        condition = identity.inputs[0]
    always = constant_value(condition)
    if always is None or always.size != 1:
        return None
    return node.attributes["then_branch" if always.item() else "else_branch"].as_graph()


def _inline(graph: ir.Graph, node: ir.Node, branch: ir.Graph) -> list[ir.Node]:
    """Move a branch's nodes and constants into the graph and return the nodes."""
    nodes, results, constants = list(branch), list(branch.outputs), [*branch.initializers.values()]
    branch.outputs.clear()
    branch.initializers.clear()
    branch.remove(nodes)
    _rename_apart(graph, [*constants, *(value for one in nodes for value in one.outputs)])
    for constant in constants:
        graph.register_initializer(constant)
    graph.insert_before(node, nodes)
    for old, new in zip(node.outputs, results, strict=True):
        name, given = old.name, old.is_graph_output()
        shadowed = given and (new.is_graph_output() or new.is_graph_input() or new.is_initializer())
        if shadowed:  # one tensor cannot have the names of two
            copy = ir.node("Identity", [new])
            graph.insert_before(node, copy)
            new = copy.outputs[0]
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        if given:
            old.name, new.name = f"{name}_of_if", name
            new.type, new.shape = new.type or old.type, new.shape or old.shape
    graph.remove(node, safe=True)
    return nodes


def _rename_apart(graph: ir.Graph, values: Iterable[ir.Value]) -> None:
    """Give values that come into a graph names that it does not have; branches may repeat them."""
    taken = set(ir.convenience.create_value_mapping(graph))
    for value in values:
        stem = value.name or "branch"
        numbered = (f"{stem}_{number}" for number in itertools.count(2))
        value.name = next(name for name in itertools.chain([stem], numbered) if name not in taken)
        taken.add(value.name)
