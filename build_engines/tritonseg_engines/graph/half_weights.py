"""Weights stored in half the bytes, for shipping a model; the arithmetic stays float32."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from tritonseg_engines.graph.surgery import add_constant, constant_value, make_node

MINIMUM_ELEMENTS = 64
"""Below this a Cast node takes more bytes than it saves."""


def store_weights_as_half(model: ir.Model) -> None:
    """Round large float32 initializers to float16, each behind a Cast to float32, in place."""
    graph, casts = model.graph, []
    for name, initializer in list(graph.initializers.items()):
        weights = constant_value(initializer)
        if weights is None or weights.dtype != np.float32 or weights.size < MINIMUM_ELEMENTS:
            continue
        half = add_constant(graph, f"{name}_half", weights.astype(np.float16))
        cast = make_node("Cast", [half], name, to=ir.DataType.FLOAT)
        initializer.replace_all_uses_with(cast.outputs[0], replace_graph_outputs=True)
        del graph.initializers[name]
        casts.append(cast)
    graph.insert_before(graph[0], casts)


def expand_half_weights(model: ir.Model) -> None:
    """Undo `store_weights_as_half`, in place: every cast constant becomes a plain one.

    TensorRT wants the weights of a convolution as constants, not as the output of a node.
    """
    graph = model.graph
    for cast in [node for node in graph if node.op_type == "Cast"]:
        weights = constant_value(cast.inputs[0])
        if weights is None:
            continue
        cast_weights = cast.outputs[0]
        dtype = ir.DataType(cast.attributes["to"].as_int()).numpy()
        wide = ir.val(cast_weights.name, const_value=ir.tensor(weights.astype(dtype)))
        cast_weights.replace_all_uses_with(wide, replace_graph_outputs=True)
        graph.remove(cast, safe=True)
        graph.register_initializer(wide)
