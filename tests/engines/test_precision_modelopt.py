"""NVIDIA ModelOpt in its own environment: for real where there is one, and what can go wrong.

`TRITONSEG_MODELOPT_PYTHON` names an interpreter that has it (docs/precision.md).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from residual_network import residual_network, smooth_batch
from tiny_models import run_onnx
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.errors import CalibrationError, OnnxModelError, SpecificationError
from tritonseg_engines.graph.nodes import name_nodes
from tritonseg_engines.graph.surgery import as_proto, editable
from tritonseg_engines.precision import Converted, lint, tensorrt_releases
from tritonseg_engines.precision.modelopt import (
    LEFT,
    ModelOptError,
    ModelOptOptions,
    convert_with_modelopt,
)
from tritonseg_engines.precision.structure import PLACEMENT_RULES, check_conversion
from tritonseg_engines.running.rounding import with_written_rounding

CHANNELS = 32
"""ModelOpt leaves narrower convolutions as they are."""
SIZE = 64


def batches() -> Iterator[np.ndarray]:
    return (smooth_batch(seed, (SIZE, SIZE)) for seed in range(8))


def wide_network() -> onnx.ModelProto:
    """Three convolutions whose names are patterns too, and begin one another."""
    rng = np.random.default_rng(0)
    sizes = {"/a.1": (3, 8), "/a.1/b": (CHANNELS, 3), "/a": (CHANNELS, 3)}
    nodes, constants, tensor = [], [], "NORMALIZED"
    for name, (inputs, kernel) in sizes.items():
        weight = rng.normal(
            0, (2 / (inputs * kernel**2)) ** 0.5, (CHANNELS, inputs, kernel, kernel)
        )
        constants.append(numpy_helper.from_array(weight.astype(np.float32), f"{name}.weight"))
        settings = {"strides": [8, 8]} if kernel == 8 else {"pads": [1] * 4}
        last = name == "/a"
        output = "SCORES" if last else f"{name}.out"
        nodes.append(
            helper.make_node("Conv", [tensor, f"{name}.weight"], [output], name, **settings)
        )
        if not last:
            nodes.append(helper.make_node("Relu", [output], [f"{name}.relu"], f"{name}/relu"))
        tensor = f"{name}.relu"
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info("NORMALIZED", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("SCORES", TensorProto.FLOAT, ["N", CHANNELS, 8, 8])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def options(python: Path, **changes: object) -> ModelOptOptions:
    return ModelOptOptions(
        **{"python": python, "calibrator": "entropy", "half_rest": True, **changes}
    )


@pytest.fixture(scope="session")
def modelopt_python() -> Path:
    path = os.environ.get("TRITONSEG_MODELOPT_PYTHON")
    if path is None:
        pytest.skip("needs an environment with ModelOpt; set TRITONSEG_MODELOPT_PYTHON")
    return Path(path)


@pytest.fixture
def stand_in(tmp_path: Path):
    """An interpreter whose ModelOpt does what a text says."""

    def stand_in(text: str) -> Path:
        program = tmp_path / "stand_in.py"
        program.write_text(f"import json, shutil, sys\nd = json.loads(sys.argv[-1])\n{text}\n")
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
        python.chmod(0o755)
        return python

    return stand_in


@pytest.mark.parametrize("calibrator", ["entropy", "minmax"])
@pytest.mark.parametrize("half_rest", [True, False])
def test_modelopts_network_passes_the_same_checks(
    modelopt_python: Path, half_rest: bool, calibrator: str
) -> None:
    network = wide_network()
    converted = convert_with_modelopt(
        network, batches, options(modelopt_python, half_rest=half_rest, calibrator=calibrator)
    )
    model = converted.model
    onnx.checker.check_model(model, full_check=True)
    assert set(converted.quantized) | set(converted.kept_float) == {"/a.1", "/a.1/b", "/a"}
    assert {"/a.1/b", "/a"} <= set(converted.quantized)
    assert lint(model, kept_float=converted.kept_float, releases=()) == []
    operators = {node.op_type for node in model.graph.node}
    assert tensorrt_releases(operators, 19) == ["10", "11"]
    batch = smooth_batch(99, (SIZE, SIZE))
    expected = run_onnx(network, batch)
    actual = run_onnx(with_written_rounding(model), batch)
    assert actual.dtype == np.float32
    assert np.abs(actual - expected).max() < 0.1 * np.abs(expected).max()
    assert not np.array_equal(actual, expected)


def test_nodes_are_kept_by_their_whole_names(modelopt_python: Path) -> None:
    converted = convert_with_modelopt(
        wide_network(), batches, options(modelopt_python, keep_fp32=["/a"])
    )
    assert converted.kept_float["/a"] == "named by '/a'"
    assert "/a.1/b" in converted.quantized


def test_a_network_that_modelopt_leaves_alone_is_said(modelopt_python: Path) -> None:
    with pytest.raises(ModelOptError, match="quantized none of the network's layers"):
        convert_with_modelopt(
            residual_network(),
            lambda: (smooth_batch(seed) for seed in range(2)),
            options(modelopt_python, keep_fp32=["stem"]),
        )


def test_an_environment_without_modelopt_is_named_with_the_reason() -> None:
    with pytest.raises(ModelOptError) as caught:
        convert_with_modelopt(wide_network(), batches, options(Path(sys.executable)))
    assert "No module named 'modelopt'" in str(caught.value)
    assert "docs/precision.md" in str(caught.value)


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelOptError, match="nowhere: expected a Python with nvidia-modelopt"):
        convert_with_modelopt(wide_network(), batches, options(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pass", "wrote no network"),
        ("sys.exit(4)", "exit code 4"),
        ("shutil.copy(d['onnx_path'], d['output_path'])", "quantized none of the network's layers"),
    ],
)
def test_an_ending_without_a_quantized_network_is_no_success(
    stand_in, text: str, message: str
) -> None:
    with pytest.raises(ModelOptError, match=message):
        convert_with_modelopt(wide_network(), batches, options(stand_in(text)))


def test_modelopt_is_told_everything_and_gets_every_picture(stand_in, tmp_path: Path) -> None:
    seen = tmp_path / "seen.json"
    text = (
        "import numpy as np\n"
        "shape = np.load(d['calibration_file'])['NORMALIZED'].shape\n"
        f"json.dump([d, shape], open({str(seen)!r}, 'w'))"
    )
    with pytest.raises(ModelOptError):
        convert_with_modelopt(
            wide_network(),
            batches,
            options(stand_in(text), half_rest=False, calibrator="minmax", keep_fp32=["/a.1"]),
        )
    document, shape = json.loads(seen.read_text())
    assert shape == [8, 3, SIZE, SIZE]
    assert (document["calibration_method"], document["dq_only"]) == ("max", True)
    assert document["nodes_to_exclude"] == [r"/a\.1$"]


def test_without_pictures_it_is_not_started(stand_in, tmp_path: Path) -> None:
    """ModelOpt would take random numbers and say nothing."""
    python = stand_in(f"open({str(tmp_path / 'started')!r}, 'w')")
    with pytest.raises(CalibrationError, match="got none"):
        convert_with_modelopt(wide_network(), lambda: iter(()), options(python, half_rest=False))
    assert not (tmp_path / "started").exists()


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="entropy or minmax, got 'percentile'"):
        options(tmp_path, calibrator="percentile")
    with pytest.raises(SpecificationError, match="nowhere"):
        convert_with_modelopt(wide_network(), batches, options(tmp_path, keep_fp32=["nowhere"]))
    with pytest.raises(CalibrationError, match="go together"):
        BuildOptions(quantizer="modelopt")
    with pytest.raises(CalibrationError, match="go together"):
        BuildOptions(modelopt_python=tmp_path)
    with pytest.raises(CalibrationError, match="only the quantizer tritonseg searches"):
        BuildOptions(quantizer="modelopt", modelopt_python=tmp_path, max_miou_drop=1.0)
    with pytest.raises(CalibrationError, match="one of tritonseg, modelopt, got 'ort'"):
        BuildOptions(quantizer="ort")


def test_the_reason_why_a_layer_is_not_in_int8_is_recorded(modelopt_python: Path) -> None:
    converted = convert_with_modelopt(
        residual_network(),
        lambda: (smooth_batch(seed) for seed in range(2)),
        options(modelopt_python, half_rest=False),
    )
    assert converted.quantized == ("stem",)
    assert set(converted.kept_float.values()) == {LEFT}


def test_only_a_foreign_quantizer_may_choose_slow_places() -> None:
    """Both inputs of the residual addition in int8: one kernel more, and the same masks."""
    network = residual_network()
    scale = numpy_helper.from_array(np.array(0.1, np.float32), "scale")
    zero = numpy_helper.from_array(np.array(0, np.int8), "zero")
    network.graph.initializer.extend([scale, zero])
    addition = next(node for node in network.graph.node if node.name == "residual")
    for index, name in enumerate(list(addition.input)):
        pair = [
            helper.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{name}.q"]),
            helper.make_node("DequantizeLinear", [f"{name}.q", "scale", "zero"], [f"{name}.dq"]),
        ]
        network.graph.node.extend(pair)
        addition.input[index] = f"{name}.dq"
    edited = editable(network)
    name_nodes(edited.graph)
    network = as_proto(edited)
    left = dict.fromkeys(("stem", "first", "second", "head"), "for this test")
    converted = Converted(model=network, kept_float=left)
    with pytest.raises(OnnxModelError, match=r"residual: .* got both \(residual\)"):
        check_conversion(converted, "int8")
    (finding,) = check_conversion(converted, "int8", tolerated=PLACEMENT_RULES)
    assert (finding.rule, finding.where) == ("residual", "residual")
