"""ONNX files as they come: each is handled, or refused in one line that says what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tiny_models import RESIZE, SIZE_HW, TinyModel, run_onnx, tiny_spec
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.errors import OnnxModelError, SpecificationError
from tritonseg_engines.graph.onnx_file import load_onnx
from tritonseg_engines.spec import ModelSpec, OutputSpec
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.upsampling import class_map_from_scores

build_ensemble = partial(build_model, layout="ensemble")


def dynamic_rank() -> onnx.ModelProto:
    model = TinyModel().model()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    return model


def dynamic_output_rank() -> onnx.ModelProto:
    """Reshaped to a shape that only the run knows."""
    model = TinyModel().model()
    del model.graph.value_info[:]
    model.graph.node[-1].output[0] = "conv"
    model.graph.node.extend(
        [
            helper.make_node("NonZero", ["conv"], ["where"]),
            helper.make_node("ReduceMax", ["where"], ["shape"], axes=[1], keepdims=0),
            helper.make_node("Reshape", ["conv", "shape"], ["output"]),
        ]
    )
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 5, "h", "w"])
    )
    return model


def opset(version: int) -> Callable[[], onnx.ModelProto]:
    def make() -> onnx.ModelProto:
        model = TinyModel().model()
        model.opset_import[0].version = version
        return model

    return make


def nan_weights() -> onnx.ModelProto:
    model = TinyModel().model()
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[1, 2, 3, 0] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "weight"))
    return model


def overflowing_weights() -> onnx.ModelProto:
    model = TinyModel().model()
    weight = np.sign(numpy_helper.to_array(model.graph.initializer[0])) * np.float32(3e38)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "weight"))
    return model


def int64_input() -> onnx.ModelProto:
    model = TinyModel(dtype="uint8").model()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    return model


def unknown_operator() -> onnx.ModelProto:
    model = TinyModel().model()
    model.graph.node[-1].op_type = "Convolve"
    return model


def custom_domain() -> onnx.ModelProto:
    model = TinyModel().model()
    model.graph.node[-1].domain = "my.company"
    model.opset_import.append(helper.make_opsetid("my.company", 1))
    return model


def no_text() -> onnx.ModelProto:
    model = TinyModel(tail=[RESIZE]).model()
    attribute = next(one for one in model.graph.node[-1].attribute if one.name == "mode")
    attribute.s = b"\xff\xfe"
    return model


def short_constant() -> onnx.ModelProto:
    model = TinyModel().model()
    model.graph.initializer[0].data_type = TensorProto.FLOAT16
    return model


def sequence_output() -> onnx.ModelProto:
    model = TinyModel().model()
    model.graph.node[-1].output[0] = "conv"
    model.graph.node.append(helper.make_node("SequenceConstruct", ["conv"], ["output"]))
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_sequence_value_info("output", TensorProto.FLOAT, None)
    )
    return model


REFUSED = {
    "an attribute that is no text": (no_text, r"\(Resize\): expected text as its mode, got b'"),
    "a constant of another type": (short_constant, "constant 'weight' is damaged: cannot reshape"),
    "a sequence": (sequence_output, "is no tensor of numbers; another output may be meant"),
    "dynamic rank": (dynamic_rank, "not a valid ONNX model: Field 'shape' .* missing"),
    "dynamic output rank": (dynamic_output_rank, "the network cannot be run: .*Reshape"),
    "opset too old": (opset(10), "expected opset 11 or newer, got 10"),
    "opset too new": (opset(99), "opset|99"),
    "NaN weights": (nan_weights, "constant 'weight': expected numbers, got NaN at 1 of 240"),
    "infinite scores": (overflowing_weights, "scores are not all finite"),
    "two inputs": (
        lambda: TinyModel(inputs=("image", "prior")).model(),
        r"exactly one input named 'image', got \['image', 'prior'\]",
    ),
    "int64 input": (int64_input, "expected float32, got int64"),
    "unknown operator": (unknown_operator, "Convolve"),
    "operator of a library": (
        custom_domain,
        r"node 'output' is my\.company\.Conv, an operator of a library and not of ONNX",
    ),
    "one output channel": (
        lambda: TinyModel(classes=1).model(),
        "one score a pixel where the specification names 5 classes: write output.kind: binary",
    ),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_a_bad_file_is_refused_in_one_line(
    make: Callable[[], onnx.ModelProto], message: str, tmp_path: Path
) -> None:
    onnx.save(make(), tmp_path / "export.onnx")
    with pytest.raises(OnnxModelError, match=message) as raised:
        build_ensemble(tiny_spec(), tmp_path / "export.onnx", tmp_path / "repository")
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["export.onnx"]


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "export.onnx").touch()
    with pytest.raises(OnnxModelError, match="expected an ONNX model, got an empty file"):
        build_ensemble(tiny_spec(), tmp_path / "export.onnx", tmp_path / "repository")


def test_what_onnx_says_is_said_to_its_end(tmp_path: Path) -> None:
    """Its checker and OpenVINO's reader say on later lines which node it is, and what is wrong."""
    model = TinyModel(tail=[RESIZE]).model()
    model.graph.node[-1].input[0] = "nobody"
    onnx.save(model, tmp_path / "export.onnx")
    with pytest.raises(OnnxModelError, match=r"'nobody' of node: .*Resize is not output of any"):
        build_ensemble(tiny_spec(), tmp_path / "export.onnx", tmp_path / "repository")
    symmetric = {"mode": "linear", "coordinate_transformation_mode": "half_pixel_symmetric"}
    model = TinyModel(tail=[("Resize", symmetric)], opset=19).model()
    scales = next(value for value in model.graph.initializer if value.name == "up")
    scales.CopyFrom(numpy_helper.from_array(np.array([1, 1, 3.7, 3.7], np.float32), "up"))
    del model.graph.output[0].type.tensor_type.shape.dim[2:]
    for side in (59, 88):
        model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = side
    onnx.save(model, tmp_path / "export.onnx")
    spec = tiny_spec(upsampling="export")
    with pytest.raises(OnnxModelError, match=r"OpenVINO .*half_pixel_symmetric .* not supported"):
        build_ensemble(spec, tmp_path / "export.onnx", tmp_path / "repository")


def test_a_file_without_a_network_is_refused(tmp_path: Path) -> None:
    """OpenVINO gives the memory of an earlier input for its output, and once crashed over it."""
    graph = helper.make_graph(
        [helper.make_node("Cast", ["image"], ["output"], to=TensorProto.FLOAT16)],
        "nothing",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "h", "w"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT16, ["N", 3, "h", "w"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "export.onnx")
    spec = tiny_spec(height=None, width=None, classes=3)
    with pytest.raises(OnnxModelError, match="computes nothing, its output is the picture itself"):
        build_ensemble(spec, tmp_path / "export.onnx", tmp_path / "repository")


def test_an_input_that_no_memory_holds_is_refused(tmp_path: Path) -> None:
    onnx.save(TinyModel(size_hw=(1 << 20, 1 << 20)).model(), tmp_path / "export.onnx")
    with pytest.raises(OnnxModelError, match="more than can be served"):
        build_ensemble(
            tiny_spec(height=None, width=None), tmp_path / "export.onnx", tmp_path / "repository"
        )


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    onnx.save(
        TinyModel().model(),
        tmp_path / "export.onnx",
        save_as_external_data=True,
        location="export.weights",
        size_threshold=0,
    )
    repository = tmp_path / "repository"
    build_ensemble(tiny_spec(), tmp_path / "export.onnx", repository)
    engine = onnx.load(repository / "tiny_engine" / "1" / "model.onnx")
    assert not any(value.external_data for value in engine.graph.initializer)
    (tmp_path / "export.weights").unlink()
    with pytest.raises(OnnxModelError, match=r"export\.weights") as raised:
        build_ensemble(tiny_spec(), tmp_path / "export.onnx", tmp_path / "other")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "other").exists()


def test_external_data_that_is_cut_off_is_said(tmp_path: Path) -> None:
    path = tmp_path / "export.onnx"
    onnx.save(
        TinyModel().model(), path,
        save_as_external_data=True, location="export.weights", size_threshold=0,
    )  # fmt: skip
    os.truncate(tmp_path / "export.weights", 10)
    with pytest.raises(
        OnnxModelError, match=r"export\.onnx: not a valid ONNX model: External data"
    ):
        load_onnx(path)


def test_a_tail_that_is_cut_already_is_left_at_that(tmp_path: Path) -> None:
    onnx.save(TinyModel().model(), tmp_path / "export.onnx")
    report = build_ensemble(tiny_spec(), tmp_path / "export.onnx", tmp_path / "repository")
    assert report.tail.operators == ()
    assert report.proof.equal_pixels == 1
    assert report.gate.verdict == "passed"


def binary_spec() -> ModelSpec:
    return replace(tiny_spec(classes=2), output=OutputSpec(name="output", kind="binary"))


@pytest.mark.parametrize(
    ("tail", "threshold"),
    [
        ([], 0.0),
        ([RESIZE], 0.0),
        ([("Sigmoid", {})], 0.5),
        ([RESIZE, ("Sigmoid", {})], 0.5),
        ([("Sigmoid", {}), RESIZE], 0.5),
    ],
    ids=["raw", "raw, full size", "sigmoid", "full size, sigmoid", "sigmoid, full size"],
)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_one_channel_gets_a_threshold(
    tail: list[tuple[str, dict[str, object]]], threshold: float, precision: str, tmp_path: Path
) -> None:
    """The class is 1 where the score, interpolated at the pixel, is above the threshold."""
    model = TinyModel(classes=1, tail=tail).model()
    onnx.save(model, tmp_path / "export.onnx")
    report = build_ensemble(
        binary_spec(),
        tmp_path / "export.onnx",
        tmp_path / "repository",
        precision=precision,
        options=BuildOptions(accept=True),
    )
    assert report.tail.operators == (("Resize",) if tail and tail[-1] == RESIZE else ())
    engine = onnx.load(tmp_path / "repository" / "tiny_engine" / "1" / "model.onnx")
    batch = np.random.default_rng(1).standard_normal((1, 3, *SIZE_HW)).astype(np.float32)
    scores = run_onnx(engine, batch)
    assert scores.shape[1] == 2
    geometry = Geometry(SIZE_HW, SIZE_HW, SIZE_HW)
    actual = class_map_from_scores(scores[0], geometry)
    full_size = run_onnx(model, batch)
    if full_size.shape[2:] != SIZE_HW:
        full_size = bilinear(full_size)
    above = full_size[0, 0] > threshold
    assert 0.2 < above.mean() < 0.8
    assert (actual == above).mean() >= (0.9999 if precision == "fp32" else 0.995)


def bilinear(scores_nchw: np.ndarray) -> np.ndarray:
    """Resize to SIZE_HW by ONNX's own operator."""
    scales = np.array([1, 1, *(a / b for a, b in zip(SIZE_HW, scores_nchw.shape[2:], strict=True))])
    graph = helper.make_graph(
        [helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear")],
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, scores_nchw.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(scales.astype(np.float32), "scales")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return run_onnx(model, scores_nchw)


def test_binary_is_two_classes_and_one_class_is_none() -> None:
    with pytest.raises(SpecificationError, match=r"expected two of a binary output.* got 5"):
        replace(tiny_spec(), output=OutputSpec(name="output", kind="binary"))
    with pytest.raises(SpecificationError, match=r"expected output.kind: binary"):
        tiny_spec(classes=1)


def test_a_binary_specification_refuses_scores_of_several_classes(tmp_path: Path) -> None:
    onnx.save(TinyModel(classes=2, tail=[RESIZE]).model(), tmp_path / "export.onnx")
    with pytest.raises(OnnxModelError, match=r"kind binary has one, \(N, 1, h, w\)"):
        build_ensemble(binary_spec(), tmp_path / "export.onnx", tmp_path / "repository")
