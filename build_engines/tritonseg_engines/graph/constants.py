"""Put every constant where engines look for it: among the initializers, read directly."""

from __future__ import annotations

import onnx

from tritonseg_engines.graph.onnx_file import remove_dead_nodes


def gather_constants(graph: onnx.GraphProto) -> None:
    """Turn Constant nodes into initializers and pass by Identity nodes, in place.

    torch's exporter stores equal weights once and lets the others read them through an Identity;
    TensorRT 8.6 takes only initializers as a convolution's weights.
    """
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            graph.initializer.append(node.attribute[0].t)
            graph.initializer[-1].name = node.output[0]
            node.output[0] = ""
    outputs = {value.name for value in graph.output}
    sources: dict[str, str] = {}
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = sources.get(name, name)
        if node.op_type == "Identity" and node.output[0] not in outputs:
            sources[node.output[0]] = node.input[0]
    remove_dead_nodes(graph)
