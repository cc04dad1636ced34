"""Exports that take a picture's bytes: float32 carries them, or TensorRT refuses them by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tiny_models import SIZE_HW, TinyModel, run_onnx, tiny_spec
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.preflight import USUAL_GPUS
from tritonseg_engines.spec import ModelSpec


def spec(layout: str = "NCHW", **preprocessing: object) -> ModelSpec:
    found = tiny_spec(dtype="uint8", layout=layout)
    return replace(found, preprocessing=replace(found.preprocessing, **preprocessing))


def moved_first() -> onnx.ModelProto:
    """Turns the picture over before it makes floats of the bytes, in two places."""
    model = TinyModel(dtype="uint8", layout="NHWC").model()
    nodes = model.graph.node
    del nodes[0], nodes[0]
    nodes.insert(0, helper.make_node("Transpose", ["image"], ["bytes"], "turn", perm=[0, 3, 1, 2]))
    nodes.insert(1, helper.make_node("Cast", ["bytes"], ["float"], "one", to=TensorProto.FLOAT))
    nodes.insert(2, helper.make_node("Cast", ["bytes"], ["again"], "two", to=TensorProto.FLOAT))
    nodes.insert(3, helper.make_node("Mul", ["float", "again"], ["squared"], "square"))
    nodes[4].input[0] = "squared"
    del model.graph.value_info[:]
    return model


def computing_in_bytes() -> onnx.ModelProto:
    """Takes no byte below 100, in bytes."""
    model = TinyModel(dtype="uint8").model()
    model.graph.initializer.append(numpy_helper.from_array(np.array(100, np.uint8), "least"))
    model.graph.node.insert(0, helper.make_node("Max", ["image", "least"], ["bright"], "brighter"))
    model.graph.node[1].input[0] = "bright"
    return model


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "export.onnx")
    return folder / "export.onnx"


def element_types(model: onnx.ModelProto) -> set[int]:
    inferred = onnx.shape_inference.infer_shapes(model)
    values = (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output)
    return {value.type.tensor_type.elem_type for value in values}


@pytest.mark.parametrize(
    ("model", "layout"),
    [
        (TinyModel(dtype="uint8").model(), "NCHW"),
        (TinyModel(dtype="uint8", layout="NHWC").model(), "NHWC"),
        (moved_first(), "NHWC"),
    ],
    ids=["cast first", "cast and transpose", "transpose and two casts"],
)
def test_float32_carries_bytes_exactly(model: onnx.ModelProto, layout: str, tmp_path: Path) -> None:
    network = prepare_network(spec(layout), saved(model, tmp_path)).network
    assert element_types(network) == {TensorProto.FLOAT}
    assert "Cast" not in [node.op_type for node in network.graph.node]
    pixels_nchw = np.random.default_rng(0).integers(0, 256, (2, 3, *SIZE_HW), np.uint8)
    exported = pixels_nchw if layout == "NCHW" else pixels_nchw.transpose(0, 2, 3, 1).copy()
    actual = run_onnx(network, pixels_nchw.astype(np.float32))
    assert np.array_equal(actual, run_onnx(model, exported))


@pytest.mark.parametrize(
    ("model", "preprocessing"),
    [
        (computing_in_bytes(), {}),
        (TinyModel(dtype="uint8").model(), {"padding": (114.5, 114.5, 114.5)}),
    ],
    ids=["computes with bytes", "half a byte in the padding"],
)
def test_bytes_that_matter_stay_and_tensorrt_refuses_them(
    model: onnx.ModelProto, preprocessing: dict[str, object], tmp_path: Path
) -> None:
    path = saved(model, tmp_path)
    network = prepare_network(spec(**preprocessing), path).network
    assert TensorProto.UINT8 in element_types(network)
    with pytest.raises(OnnxModelError) as caught:
        build_model(
            spec(**preprocessing),
            path,
            tmp_path / "repository",
            precision="fp16",
            runtime="tensorrt",
            options=BuildOptions(onnx_only=True, preflight_gpus=()),
        )
    (line,) = str(caught.value).splitlines()
    assert "expected float32, float16, int32, int64 or bool, got uint8" in line
    assert "right behind the picture" in line or "write it as float32 or int64" in line


@pytest.mark.parametrize("operator", ["ArgMax", "Greater"])
def test_classes_that_are_bytes_on_the_way_are_integers(operator: str, tmp_path: Path) -> None:
    tail: list[tuple[str, dict[str, object]]] = [("ArgMax", {"axis": 1, "keepdims": 1})]
    if operator == "Greater":  # whether it is the last class
        tail += [("Cast", {"to": TensorProto.FLOAT}), ("Sub", {}), ("Greater", {})]
    tail += [("Cast", {"to": TensorProto.UINT8}), ("Identity", {}), ("Squeeze", {})]
    model = TinyModel(tail=tail).model()
    constants = {"least": np.array(1.5, np.float32), "none": np.array(0.0, np.float32)}
    constants["axis"] = np.array([1], np.int64)
    model.graph.initializer.extend(
        numpy_helper.from_array(values, name) for name, values in constants.items()
    )
    second = {"Sub": "least", "Greater": "none", "Squeeze": "axis"}
    for node in model.graph.node:
        if node.op_type in second:
            node.input.append(second[node.op_type])
    del model.graph.value_info[:]
    model = onnx.shape_inference.infer_shapes(model)
    classes = tiny_spec(kind="class_map", upsampling="export")
    network = prepare_network(classes, saved(model, tmp_path)).network
    inside = onnx.shape_inference.infer_shapes(network).graph.value_info
    assert TensorProto.UINT8 not in [value.type.tensor_type.elem_type for value in inside]
    batch = np.random.default_rng(0).standard_normal((2, 3, *SIZE_HW)).astype(np.float32)
    assert np.array_equal(run_onnx(network, batch), run_onnx(model, batch))


@pytest.mark.parametrize("layout", ["ensemble", "fused"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_nvidias_compiler_takes_byte_exports(
    compiler: None, layout: str, precision: str, tmp_path: Path
) -> None:
    report = build_model(
        spec("NHWC"),
        saved(moved_first(), tmp_path),
        tmp_path / "repository",
        precision=precision,
        runtime="tensorrt",
        layout=layout,
        options=BuildOptions(onnx_only=True, accept=True, preflight_gpus=USUAL_GPUS[:1]),
    )
    assert report.compiler.found is not None
    assert report.compiler.found.accepted
    assert all(verdict.answer.warnings == () for verdict in report.compiler.found.verdicts)
