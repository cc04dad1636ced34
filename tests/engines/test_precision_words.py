"""What fp16 and int8 cannot do is said of the user's pictures and options, in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from residual_network import residual_network, residual_spec, write_pictures
from tritonseg_engines.build.model import BuildReport, build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.errors import CalibrationError, EngineBuildError, OnnxModelError
from tritonseg_engines.graph.onnx_file import save_onnx
from tritonseg_engines.precision.opset import PER_CHANNEL_OPSET, with_opset
from tritonseg_engines.precision.sensitive import sensitive_nodes
from tritonseg_engines.spec import InputSpec


def build(model: onnx.ModelProto, folder: Path, precision: str, **options: object) -> BuildReport:
    onnx.save(model, folder / "export.onnx")
    pictures = write_pictures(folder / "pictures", 4)
    options = {"calibration": pictures, "minimum_pictures": 4, **options}
    spec = residual_spec()
    if model.graph.input[0].type.tensor_type.shape.dim[2].dim_param:
        spec = residual_spec(input=InputSpec(name="NORMALIZED"))
    return build_model(
        spec,
        folder / "export.onnx",
        folder / "repository",
        precision=precision,
        options=BuildOptions(**options),
    )


def of_even_sizes() -> onnx.ModelProto:
    """The residual network behind a SpaceToDepth, of open size."""
    model = residual_network()
    graph = model.graph
    for reader in graph.node:
        reader.input[:] = ["flat" if name == "NORMALIZED" else name for name in reader.input]
    nodes = [
        helper.make_node("SpaceToDepth", ["NORMALIZED"], ["deep"], "deep", blocksize=2),
        helper.make_node("DepthToSpace", ["deep"], ["flat"], "flat", blocksize=2),
        *(onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node),
    ]
    del graph.node[:]
    graph.node.extend(nodes)
    for value, sizes in ((graph.input[0], "hw"), (graph.output[0], "yx")):
        for dim, name in zip(value.type.tensor_type.shape.dim[2:], sizes, strict=True):
            dim.dim_param = name
    return model


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_picture_that_the_network_does_not_take_is_named(precision: str, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "odd", 3)
    Image.fromarray(np.zeros((65, 97, 3), np.uint8)).save(pictures / "002.png")
    says = r"^002\.png: this model takes pictures .* multiples of 2, got 65x97"
    with pytest.raises(CalibrationError, match=says) as error:
        build(of_even_sizes(), tmp_path, precision, pictures=pictures)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_one_among_the_calibration_pictures_is_refused_too(precision: str, tmp_path: Path) -> None:
    odd = write_pictures(tmp_path / "odd", 3)
    Image.fromarray(np.zeros((65, 97, 3), np.uint8)).save(odd / "002.png")
    with pytest.raises(CalibrationError, match=r"002\.png: .* multiples of 2, got 65x97") as error:
        build(
            of_even_sizes(), tmp_path, precision, calibration=odd, minimum_pictures=3,
            pictures=write_pictures(tmp_path / "even", 2),
        )  # fmt: skip
    assert len(str(error.value).splitlines()) == 1


def test_nothing_to_quantize_says_why(tmp_path: Path) -> None:
    with pytest.raises(EngineBuildError, match=r"^int8: --keep-fp32 names all 4 layers"):
        build(residual_network(), tmp_path, "int8", keep_fp32=("*",))


def test_a_network_without_layers_says_so(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Concat", ["NORMALIZED", "one"], ["SCORES"], "join", axis=1)],
        "graph",
        [helper.make_tensor_value_info("NORMALIZED", TensorProto.FLOAT, [1, 3, 64, 96])],
        [helper.make_tensor_value_info("SCORES", TensorProto.FLOAT, [1, 4, 64, 96])],
        [numpy_helper.from_array(np.full((1, 1, 64, 96), 0.1, np.float32), "one")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(OnnxModelError, match=r"^int8: the export has no convolution"):
        build(model, tmp_path, "int8")


def test_opset_11_has_no_scales_per_channel_and_is_converted(tmp_path: Path) -> None:
    model = residual_network()
    model.opset_import[0].version = 11
    assert build(model, tmp_path, "int8", accept=True).gate.comparison.equal_pixels > 0.97
    again = with_opset(model, PER_CHANNEL_OPSET)
    assert again.opset_import[0].version == PER_CHANNEL_OPSET
    assert [node.name for node in again.graph.node] == [node.name for node in model.graph.node]


@pytest.mark.parametrize("limit", [np.inf, 65504.0])
def test_a_bound_that_fp16_cannot_hold_stays_in_fp32(limit: float, tmp_path: Path) -> None:
    """The converter would cut it to fp16's largest, which the lint refuses."""
    model = residual_network()
    graph = model.graph
    graph.node[-1].output[0] = "scores"
    for name, value in (("least", -limit), ("most", limit)):
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    graph.node.append(helper.make_node("Clip", ["scores", "least", "most"], ["SCORES"], "cut"))
    report = build(model, tmp_path, "fp16")
    assert report.gate.verdict == "passed"
    assert report.gate.kept_float.keys() == {"cut"}


def test_the_two_ends_are_called_what_they_are() -> None:
    from tritonseg_engines.precision.activations import Range

    reasons = sensitive_nodes(residual_network(), {"NORMALIZED": Range(0, 1e6)})
    assert reasons == {"stem": "values from 0 to 1e+06 of the normalized picture do not fit fp16"}


def test_a_graph_that_is_no_onnx_names_no_file_of_ours(tmp_path: Path) -> None:
    model = residual_network()
    model.graph.node[0].op_type = "Convolve"
    with pytest.raises(OnnxModelError, match=r"^the built network is no valid ONNX: "):
        save_onnx(model, tmp_path / "model.onnx")
