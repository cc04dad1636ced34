"""Normalization inside the export: it stays in fp32, in front of whatever the network becomes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from own_mask import own_mask
from residual_network import SIZE_HW, residual_network, residual_spec, write_pictures
from served_map import build_and_segment
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.gate.thresholds import GateError
from tritonseg_engines.graph.onnx_file import load_onnx
from tritonseg_engines.graph.surgery import editable
from tritonseg_engines.precision import sensitive
from tritonseg_engines.precision.front import front_nodes
from tritonseg_engines.spec import InputSpec, ModelSpec
from tritonseg_steps.preprocessing import Preprocessing

MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
FORMS = ("bytes", "bytes NHWC", "0 to 255, multiplied", "0 to 255, by 255 first")
PICTURES = 8
SEED = 11
"""Of a network that misses the bound by a hair when its normalization is in fp16."""


def baked_in(form: str) -> tuple[onnx.ModelProto, ModelSpec]:
    """The residual network behind its own normalization, and what the steps leave to it."""
    model = residual_network(seed=SEED)
    graph = model.graph
    nodes: list[onnx.NodeProto] = []
    mean, deviation = (np.array(v).reshape(1, 3, 1, 1) for v in (MEAN, DEVIATION))
    tensor = "image"

    def node(op_type: str, name: str, constant: np.ndarray | None = None, **attributes: int) -> str:
        inputs = [tensor]
        if constant is not None:
            inputs.append(f"{name}.by")
            graph.initializer.append(
                numpy_helper.from_array(constant.astype(np.float32), inputs[1])
            )
        nodes.append(helper.make_node(op_type, inputs, [name], name, **attributes))
        return name

    layout = "NHWC" if "NHWC" in form else "NCHW"
    if "bytes" in form:
        tensor = node("Cast", "float", to=TensorProto.FLOAT)
    if layout == "NHWC":
        tensor = node("Transpose", "planes", perm=[0, 3, 1, 2])
    if "by 255" in form:
        tensor = node("Div", "unit", np.array(255))
        mean, deviation = mean / 255, deviation / 255
    tensor = node("Sub", "centred", mean)
    by = ("Mul", 1 / deviation) if "multiplied" in form else ("Div", deviation)
    tensor = node(by[0], "normalized", by[1])
    for reader in graph.node:
        reader.input[:] = [tensor if name == "NORMALIZED" else name for name in reader.input]
    nodes += [onnx.NodeProto.FromString(reader.SerializeToString()) for reader in graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    shape = ["N", *SIZE_HW, 3] if layout == "NHWC" else ["N", 3, *SIZE_HW]
    element = TensorProto.UINT8 if "bytes" in form else TensorProto.FLOAT
    graph.input[0].CopyFrom(helper.make_tensor_value_info("image", element, shape))
    height, width = SIZE_HW
    dtype = "uint8" if "bytes" in form else "float32"
    spec = residual_spec(
        input=InputSpec(name="image", height=height, width=width, dtype=dtype, layout=layout),
        preprocessing=Preprocessing(mean=(0.0,) * 3, scale=(1.0,) * 3),
    )
    return model, spec


def types_of_nodes(model: onnx.ModelProto) -> dict[str, int]:
    """The type of what a node gives, by its name."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    return {node.name: types.get(node.output[0], 0) for node in model.graph.node}


@pytest.mark.parametrize("form", FORMS)
def test_fp16_gives_the_exports_mask_and_normalizes_in_fp32(form: str, tmp_path: Path) -> None:
    model, spec = baked_in(form)
    onnx.save(model, tmp_path / "export.onnx")
    pictures = write_pictures(tmp_path / "pictures", PICTURES)
    image_hwc = np.asarray(Image.open(pictures / "002.png"))
    report, actual = build_and_segment(
        spec, tmp_path / "export.onnx", image_hwc, tmp_path, precision="fp16",
        options=BuildOptions(pictures=pictures),
    )  # fmt: skip
    assert report.gate.comparison.equal_pixels >= 0.999
    expected, _ = own_mask(tmp_path / "export.onnx", spec, image_hwc)
    assert (actual == expected).mean() >= 0.999
    types = types_of_nodes(load_onnx(report.model / "1" / "model.onnx"))
    assert types["centred"] == types["normalized"] == TensorProto.FLOAT
    assert types["stem_relu"] == TensorProto.FLOAT16


def test_in_fp16_it_misses_its_bound_by_a_hair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, spec = baked_in("0 to 255, by 255 first")
    onnx.save(model, tmp_path / "export.onnx")
    monkeypatch.setattr(sensitive, "front_nodes", lambda _: [])
    options = BuildOptions(pictures=write_pictures(tmp_path / "pictures", PICTURES))
    with pytest.raises(GateError, match=r"got 99\.8\d\d%"):
        build_model(
            spec, tmp_path / "export.onnx", tmp_path / "repository", precision="fp16",
            options=options,
        )  # fmt: skip


@pytest.mark.parametrize("runtime", ["openvino", "tensorrt"])
@pytest.mark.parametrize("form", FORMS)
def test_int8_begins_at_the_normalized_values(form: str, runtime: str, tmp_path: Path) -> None:
    model, spec = baked_in(form)
    onnx.save(model, tmp_path / "export.onnx")
    pictures = write_pictures(tmp_path / "pictures", 4)
    options = BuildOptions(calibration=pictures, minimum_pictures=4, accept=True, onnx_only=True)
    report = build_model(
        spec, tmp_path / "export.onnx", tmp_path / "repository", precision="int8",
        runtime=runtime, options=options,
    )  # fmt: skip
    built = load_onnx(report.model)
    types = types_of_nodes(built)
    assert types["centred"] == types["normalized"] == TensorProto.FLOAT
    first = next(node for node in built.graph.node if node.op_type == "QuantizeLinear")
    assert first.input[0].startswith("normalized")


def test_a_network_that_takes_normalized_pictures_has_no_front() -> None:
    assert front_nodes(editable(residual_network()).graph) == []


def test_what_only_moves_values_is_no_front_and_what_meets_features_neither() -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["planes"], "moved", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "w"], ["features"], "conv"),
        helper.make_node("Mul", ["features", "planes"], ["y"], "gate"),
    ]
    weights = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "w")
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 8, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert front_nodes(editable(model).graph) == []
