"""Put every constant where engines look for it: among the initializers, read directly."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass, RemoveUnusedNodesPass


def gather_constants(model: ir.Model) -> None:
    """Turn Constant nodes of every form into initializers and pass by Identity nodes, in place.

    torch's exporter stores equal weights once and lets the others read them through an Identity;
    TensorRT 8.6 takes only initializers as a convolution's weights.
    """
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    pass_by_identities(model.graph)
    RemoveUnusedNodesPass()(model)


def pass_by_identities(graph: ir.Graph) -> None:
    """Let all read what the Identity nodes of a graph read, in place.

    onnx_ir's IdentityEliminationPass does so in the branches of an If too, which then give a
    tensor from outside, and that ONNX Runtime refuses.
    """
    for node in graph:
        if node.op_type == "Identity" and not node.domain and node.inputs[0] is not None:
            _pass_by(graph, node, node.inputs[0])


def _pass_by(graph: ir.Graph, identity: ir.Node, source: ir.Value) -> None:
    """Take an Identity out, unless two tensors need a name for the caller."""
    (target,) = identity.outputs
    given = target.is_graph_output()
    named = source.is_graph_output() or source.is_graph_input() or source.is_initializer()
    if given and named:
        return
    target.replace_all_uses_with(source, replace_graph_outputs=True)
    if given:
        target.name, source.name = f"{target.name}_identity", target.name
    source.type = source.type or target.type
    source.shape = source.shape or target.shape
    graph.remove(identity, safe=True)
