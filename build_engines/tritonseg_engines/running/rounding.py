"""A typed network as an fp32 one that rounds to fp16 wherever the typed one stores fp16.

It computes on a CPU what a runtime with fp16 kernels computes. ONNX Runtime does not, given the
typed file: neighbouring operators without an fp16 kernel are computed in fp32 without rounding
between them, even with all optimisations off, so that an overflow there is not seen (1.31); and
its optimisations change 1 % of an HRNet's pixels where Q/DQ is in fp16. Casts that are written
out it leaves alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tritonseg_engines.graph.onnx_file import inferred_values


def with_written_rounding(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an fp32 model with a Cast to fp16 and back behind everything that gives fp16."""
    types = {
        name: value.type.tensor_type.elem_type for name, value in inferred_values(model).items()
    }
    rounded = onnx.ModelProto()
    rounded.CopyFrom(model)
    graph = rounded.graph
    for initializer in graph.initializer:
        _widen(initializer)
    nodes = [step for node in graph.node for step in _rounded(node, types)]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    return rounded


def _rounded(node: onnx.NodeProto, types: dict[str, int]) -> Iterator[onnx.NodeProto]:
    for entry in node.attribute:
        if entry.HasField("t"):
            _widen(entry.t)
    yield node
    for index, name in enumerate(node.output):
        if types.get(name) != TensorProto.FLOAT16:
            continue
        if node.op_type == "Cast":
            node.attribute[0].i = TensorProto.FLOAT
        exact, half = f"{name}/exact", f"{name}/half"
        node.output[index] = exact
        yield helper.make_node("Cast", [exact], [half], f"{name}/to_half", to=TensorProto.FLOAT16)
        yield helper.make_node("Cast", [half], [name], f"{name}/from_half", to=TensorProto.FLOAT)


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
