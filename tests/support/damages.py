"""Files that are damaged, edited by hand, or of a model that segments nothing.

Nothing of the product is imported. A damage takes a model and changes it in place, or returns the
bytes of what it became.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from foreign_graphs import FOREIGN, fed_like

Rng = np.random.Generator
Damage = Callable[[onnx.ModelProto, Rng], bytes | None]
HUGE = 1 << 40
OPERATORS = ("Relu", "Softmax", "ReduceMean", "NonZero", "Transpose", "Abs", "Not", "NoSuchOp")


def damaged(model: onnx.ModelProto, kind: str, rng: Rng) -> bytes:
    """Return the bytes of a model with one damage of `DAMAGES`; the model stays as it is."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    content = DAMAGES[kind](changed, rng)
    return changed.SerializeToString() if content is None else content


def flipped_bytes(model: onnx.ModelProto, rng: Rng) -> bytes:
    content = bytearray(model.SerializeToString())
    for position in rng.integers(len(content), size=rng.integers(1, 6)):
        content[position] = rng.integers(256)
    return bytes(content)


def cut_short(model: onnx.ModelProto, rng: Rng) -> bytes:
    content = model.SerializeToString()
    return content[: rng.integers(len(content))]


def something_else(_model: onnx.ModelProto, rng: Rng) -> bytes:
    return (b"", b"<html>404</html>\n", b"PK\x03\x04" + bytes(100), bytes(1000))[rng.integers(4)]


def dropped_node(model: onnx.ModelProto, rng: Rng) -> None:
    del model.graph.node[rng.integers(len(model.graph.node))]


def dropped_constant(model: onnx.ModelProto, rng: Rng) -> None:
    constants = model.graph.initializer
    if constants:
        del constants[rng.integers(len(constants))]


def dropped_attribute(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng, lambda node: len(node.attribute) > 0)
    del node.attribute[rng.integers(len(node.attribute))]


def changed_attribute(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng, lambda node: len(node.attribute) > 0)
    one = node.attribute[rng.integers(len(node.attribute))]
    number = int(rng.choice([-1, 0, 2, 7, HUGE]))
    if one.type == onnx.AttributeProto.INTS and one.ints:
        one.ints[rng.integers(len(one.ints))] = number
    elif one.type == onnx.AttributeProto.STRING:
        one.s = (b"", b"no_such_mode", b"\xff\xfe", b"two\nlines")[rng.integers(4)]
    else:
        one.i = number


def attribute_of_another_type(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng, lambda node: len(node.attribute) > 0)
    name = node.attribute[0].name
    del node.attribute[0]
    node.attribute.append(helper.make_attribute(name, (1.5, "text", [1, 2])[rng.integers(3)]))


def dropped_input(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng, lambda node: len(node.input) > 0)
    del node.input[rng.integers(len(node.input))]


def swapped_inputs(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng, lambda node: len(node.input) > 1)
    node.input[0], node.input[1] = node.input[1], node.input[0]


def renamed_tensor(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng, lambda node: len(node.input) > 0)
    node.input[rng.integers(len(node.input))] = ("nobody", "two\nlines", "image")[rng.integers(3)]


def renamed_everywhere(model: onnx.ModelProto, rng: Rng) -> None:
    old = model.graph.node[0].output[0]
    new = ("NORMALIZED", "SCORES", "two\nlines", "täää", "image")[rng.integers(5)]
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = new if name == old else name


def same_name_twice(model: onnx.ModelProto, rng: Rng) -> None:
    nodes = model.graph.node
    nodes[rng.integers(len(nodes))].output[0] = nodes[rng.integers(len(nodes))].output[0]


def cycle(model: onnx.ModelProto, rng: Rng) -> None:
    nodes = model.graph.node
    _node(model, rng, lambda node: len(node.input) > 0).input[0] = nodes[-1].output[0]


def shuffled_nodes(model: onnx.ModelProto, rng: Rng) -> None:
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes[index] for index in rng.permutation(len(nodes)))


def other_operator(model: onnx.ModelProto, rng: Rng) -> None:
    node = model.graph.node[rng.integers(len(model.graph.node))]
    node.op_type = str(rng.choice(OPERATORS))


def other_domain(model: onnx.ModelProto, rng: Rng) -> None:
    node = model.graph.node[rng.integers(len(model.graph.node))]
    node.domain = ("my.company", "com.microsoft", "ai.onnx.ml")[rng.integers(3)]
    if rng.random() < 0.5:
        model.opset_import.append(helper.make_opsetid(node.domain, 1))


def other_opset(model: onnx.ModelProto, rng: Rng) -> None:
    model.opset_import[0].version = int(rng.choice([-1, 0, 7, 10, 11, 13, 18, 25, 99, HUGE]))


def no_opset(model: onnx.ModelProto, _rng: Rng) -> None:
    del model.opset_import[:]


def two_opsets(model: onnx.ModelProto, _rng: Rng) -> None:
    model.opset_import.append(helper.make_opsetid("", 9))


def other_ir(model: onnx.ModelProto, rng: Rng) -> None:
    model.ir_version = int(rng.choice([0, 1, 2, 3, 99]))


def other_constant_shape(model: onnx.ModelProto, rng: Rng) -> None:
    constant = _constant(model, rng)
    dims = [(*reversed(constant.dims),), (1, *constant.dims), (HUGE,), (-1,), (0,)]
    del constant.dims[1:]
    chosen = dims[rng.integers(len(dims))]
    del constant.dims[:]
    constant.dims.extend(chosen)


def other_constant_type(model: onnx.ModelProto, rng: Rng) -> None:
    types = (TensorProto.INT8, TensorProto.STRING, TensorProto.DOUBLE, TensorProto.INT64, 0, 77)
    _constant(model, rng).data_type = types[rng.integers(len(types))]


def constant_not_a_number(model: onnx.ModelProto, rng: Rng) -> None:
    constant = _constant(model, rng)
    array = numpy_helper.to_array(constant).copy()
    if array.dtype.kind == "f" and array.size:
        array.reshape(-1)[0] = (np.nan, np.inf, -np.inf)[rng.integers(3)]
    constant.CopyFrom(numpy_helper.from_array(array, constant.name))


def constant_elsewhere(model: onnx.ModelProto, rng: Rng) -> None:
    constant = _constant(model, rng)
    constant.ClearField("raw_data")
    constant.data_location = TensorProto.EXTERNAL
    entry = constant.external_data.add()
    entry.key = "location"
    entry.value = ("gone.bin", "../../etc/passwd", "/etc/passwd", "", "two\nlines")[rng.integers(5)]


def other_input(model: onnx.ModelProto, rng: Rng) -> None:
    tensor = model.graph.input[0].type.tensor_type
    choice = rng.integers(6)
    if choice == 0:
        tensor.elem_type = int(rng.choice([TensorProto.INT64, TensorProto.STRING, 0, 77]))
    elif choice == 1:
        del tensor.shape.dim[rng.integers(len(tensor.shape.dim))]
    elif choice == 2:
        tensor.shape.dim.add().dim_value = 3
    elif choice == 3:
        tensor.shape.dim[rng.integers(4)].dim_value = int(rng.choice([-1, 0, 1, 7, HUGE]))
    elif choice == 4:
        tensor.ClearField("shape")
    else:
        model.graph.input[0].name = "picture"


def other_output(model: onnx.ModelProto, rng: Rng) -> None:
    output = next(value for value in model.graph.output if value.name == "result")
    choice = rng.integers(4)
    if choice == 0:
        output.type.tensor_type.elem_type = int(rng.choice([TensorProto.INT64, TensorProto.STRING]))
    elif choice == 1:
        output.type.tensor_type.shape.dim.add().dim_value = 3
    elif choice == 2:
        output.name = ("nobody", "image", "")[rng.integers(3)]
    else:
        model.graph.output.remove(output)


def no_graph(model: onnx.ModelProto, rng: Rng) -> None:
    if rng.random() < 0.5:
        model.ClearField("graph")
    else:
        del model.graph.node[:]


def more_inputs(model: onnx.ModelProto, _rng: Rng) -> None:
    model.graph.input.append(helper.make_tensor_value_info("prior", TensorProto.FLOAT, [1]))


def another_model(model: onnx.ModelProto, rng: Rng) -> bytes:
    make = FOREIGN[sorted(FOREIGN)[rng.integers(len(FOREIGN))]]
    return fed_like(make(), model.graph.input[0]).SerializeToString()


def _node(
    model: onnx.ModelProto, rng: Rng, fits: Callable[[onnx.NodeProto], bool]
) -> onnx.NodeProto:
    found = [node for node in model.graph.node if fits(node)]
    return found[rng.integers(len(found))]


def _constant(model: onnx.ModelProto, rng: Rng) -> onnx.TensorProto:
    held = [node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"]
    found = [*model.graph.initializer, *held]
    return found[rng.integers(len(found))]


DAMAGES: dict[str, Damage] = {
    damage.__name__.replace("_", " "): damage
    for damage in (
        flipped_bytes, cut_short, something_else, dropped_node, dropped_constant, dropped_attribute,
        changed_attribute, attribute_of_another_type, dropped_input, swapped_inputs, renamed_tensor,
        renamed_everywhere, same_name_twice, cycle, shuffled_nodes, other_operator, other_domain,
        other_opset, no_opset, two_opsets, other_ir, other_constant_shape, other_constant_type,
        constant_not_a_number, constant_elsewhere, other_input, other_output, no_graph, more_inputs,
        another_model,
    )
}  # fmt: skip
