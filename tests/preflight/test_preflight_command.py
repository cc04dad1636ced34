"""`tritonseg preflight` and the builds that ask, as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import helper, numpy_helper

from planted_graphs import graph, node
from residual_network import residual_network, residual_spec
from tritonseg_engines.build import compiler_check
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.cli.app import cli
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.preflight import CompilerTimeoutError, Limits, libraries
from tritonseg_engines.tensorrt import PlanOptionsError


@pytest.fixture
def run():
    def run(*arguments: object) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "export.onnx"
    onnx.save(residual_network(), path)
    return path


def in_half(path: Path) -> Path:
    """Kernel and input of the first layer in two types."""
    model = residual_network()
    weights = model.graph.initializer[0]
    values = numpy_helper.to_array(weights).astype(np.float16)
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    onnx.save(model, path)
    return path


def test_a_graph_that_compiles(compiler: None, run, export: Path) -> None:
    result = run("preflight", export, "--gpu", "sm_75,sm_120", "--batch", 4)
    assert result.exit_code == 0, result.output
    assert "licence: https://docs.nvidia.com" in result.stderr
    assert "sm_75  T4" in result.stdout
    assert "sm_120 RTX PRO" in result.stdout
    assert "4 of 4 layers in fp32 (100.0% of the multiply-accumulates)" in result.stdout
    assert "(weights, input and output)" in result.stdout
    assert "at the peaks of data sheets" in result.stdout


def test_a_graph_that_is_refused_ends_with_1(compiler: None, run, tmp_path: Path) -> None:
    result = run("preflight", in_half(tmp_path / "half.onnx"), "--gpu", "sm_86")
    assert result.exit_code == 1
    assert "refused: TensorRT's parser refuses it: node 'stem' (Conv)" in result.stdout
    assert "What to do: give both inputs one type" in result.stdout
    assert str(tmp_path) not in result.stdout


def without_zero_point(path: Path) -> Path:
    """uint8 by ONNX's default, which NVIDIA computes as int8."""
    model = residual_network()
    scale = numpy_helper.from_array(np.array(0.1, np.float32), "scale")
    model.graph.initializer.append(scale)
    (name,) = (one.name for one in model.graph.input)
    quantize = helper.make_node("QuantizeLinear", [name, "scale"], ["q"], name="to8")
    back = helper.make_node("DequantizeLinear", ["q", "scale"], ["dq"], name="from8")
    for one in model.graph.node:
        one.input[:] = ["dq" if tensor == name else tensor for tensor in one.input]
    model.graph.node.insert(0, back)
    model.graph.node.insert(0, quantize)
    onnx.save(model, path)
    return path


def not_finite(path: Path) -> Path:
    model = residual_network()
    weights = model.graph.initializer[0]
    values = np.full_like(numpy_helper.to_array(weights), np.nan)
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("make", "words"), [(without_zero_point, "int8 zero point"), (not_finite, "got NaN")]
)
def test_what_nvidia_takes_and_no_build_would_is_not_accepted(
    compiler: None, run, tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    result = run("preflight", make(tmp_path / "odd.onnx"), "--gpu", "sm_86")
    assert result.exit_code == 1
    said = [line for line in result.stdout.splitlines() if "no build takes it" in line]
    assert any(words in line for line in said), result.stdout


def test_a_document_says_the_same(compiler: None, run, export: Path) -> None:
    result = run("preflight", export, "--gpu", "sm_86", "--json")
    document = json.loads(result.stdout)
    assert document["accepted"] is True
    assert [layer["node"] for layer in document["layers"]] == ["stem", "first", "second", "head"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpu", "sm_90"], "got 'sm_90'"),
        (["--size", "64"], "expected HEIGHTxWIDTH"),
        (["--size", "32x32"], "64x96 is fixed in the file"),
        (["--time-limit", "0"], "not in the range"),
        (["--time-limit", "nan"], "expected a number, got nan"),
        (["--time-limit", "inf"], "not in the range"),
        (["--memory-limit", "nan"], "expected a number, got nan"),
        (["--memory-limit", "1e30"], "not in the range"),
        (["--batch", "2147483648"], "maximum <= 2147483647"),
        (["--precision", "fp16"], "--precision goes with a MODEL"),
    ],
)
def test_what_cannot_be_asked(compiler: None, run, export: Path, arguments, words: str) -> None:
    result = run("preflight", export, *arguments)
    assert result.exit_code in (1, 2)
    assert words in result.output
    assert "Traceback" not in result.output


def test_no_graph_is_no_model(run) -> None:
    result = run("preflight", "")
    assert result.exit_code == 2
    assert "expected an ONNX file or the name of a model, got ''" in result.output


def test_a_model_that_is_refused_has_a_document_too(
    compiler: None, run, tmp_path: Path, monkeypatch
) -> None:
    faulty = onnx.load(in_half(tmp_path / "half.onnx"))
    monkeypatch.setattr(compiler_check, "save_onnx", lambda _model, path: onnx.save(faulty, path))
    result = run("preflight", "street-demo", "--gpu", "sm_86,sm_89", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert (document["graph"], document["accepted"]) == ("street-demo", False)
    assert {name: gpu["accepted"] for name, gpu in document["gpus"].items()} == {
        "sm_86": False,
        "sm_89": False,
    }


def test_a_picture_without_pixels_is_none(compiler: None, run, tmp_path: Path) -> None:
    shape = ("N", 4, 0, 8)
    model = graph([node("Relu", "NORMALIZED")], read=shape, shape=shape)
    onnx.save(model, tmp_path / "empty.onnx")
    result = run("preflight", tmp_path / "empty.onnx")
    assert result.exit_code == 1
    assert "expected sizes above 0, got (-1, 4, 0, 8)" in result.stderr


def test_what_lies_beside_a_file_is_compiled_with_it(compiler: None, run, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    onnx.save(
        residual_network(), tmp_path / "real" / "export.onnx",
        save_as_external_data=True, location="export.weights", size_threshold=0,
    )  # fmt: skip
    link = tmp_path / "link.onnx"
    link.symlink_to(tmp_path / "real" / "export.onnx")
    for path in (link, tmp_path / "real" / "export.onnx"):
        assert run("preflight", path, "--gpu", "sm_86").exit_code == 0


def test_what_a_model_does_not_take_is_not_ignored(run) -> None:
    for option, value in [("--batch", "4"), ("--size", "64x96")]:
        result = run("preflight", "street-demo", option, value)
        assert result.exit_code == 2
        assert f"{option} goes with a file" in result.output


def test_a_file_that_is_not_there(compiler: None, run, tmp_path: Path) -> None:
    result = run("preflight", tmp_path / "none.onnx")
    assert result.exit_code == 1
    assert "none.onnx: no such file" in result.stderr


def test_without_the_extra_there_is_a_command(run, export: Path, monkeypatch) -> None:
    monkeypatch.setattr(libraries, "_folder", lambda _package: None)
    result = run("preflight", export)
    assert result.exit_code == 1
    assert "not installed: " in result.stderr
    assert "preflight" in result.stderr


def test_a_builds_question_has_its_limits_too(compiler: None, export: Path, tmp_path: Path) -> None:
    options = BuildOptions(
        onnx_only=True, preflight_gpus=("sm_89",), preflight_limits=Limits(seconds=0.01)
    )
    with pytest.raises(CompilerTimeoutError, match=r"0\.01 s"):
        build_model(
            residual_spec(), export, tmp_path / "models", runtime="tensorrt", options=options
        )


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_build_that_stops_at_the_onnx_asks(
    compiler: None, export: Path, tmp_path: Path, precision: str
) -> None:
    options = BuildOptions(onnx_only=True, preflight_gpus=("sm_89",))
    report = build_model(
        residual_spec(), export, tmp_path / "out" / "models", precision=precision,
        runtime="tensorrt", options=options,
    )  # fmt: skip
    assert report.compiler.found is not None
    assert report.compiler.found.accepted
    assert {layer.asked for layer in report.gate.layers} == {precision}
    assert "compiles it for sm_89: 4 of 4 layers" in report.gate.facts["NVIDIA's compiler"]
    page = report.report.read_text()
    assert page.count("<rect ") == 4
    document = json.loads((tmp_path / "out" / f"{report.model.stem}.report.json").read_text())
    assert len(document["layer_precisions"]) == 4


def test_what_the_compiler_refuses_is_not_written(
    compiler: None, export: Path, tmp_path: Path, monkeypatch
) -> None:
    """A fault that neither lint nor gate saw: the graph is changed behind their backs."""
    faulty = onnx.load(in_half(tmp_path / "half.onnx"))
    monkeypatch.setattr(compiler_check, "save_onnx", lambda _model, path: onnx.save(faulty, path))
    out = tmp_path / "out"
    with pytest.raises(OnnxModelError, match=r"for sm_80: .*node 'stem' \(Conv\).*What to do"):
        build_model(
            residual_spec(), export, out / "models", runtime="tensorrt",
            options=BuildOptions(onnx_only=True),
        )  # fmt: skip
    assert not list(out.glob("**/*")) if out.exists() else True


@pytest.mark.parametrize(
    ("gpus", "installed", "words"),
    [((), True, "as asked"), (None, False, "it is not installed; ")],
)
def test_a_build_that_asks_nobody_says_so(
    export: Path, tmp_path: Path, monkeypatch, gpus, installed: bool, words: str
) -> None:
    monkeypatch.setattr(compiler_check, "is_installed", lambda: installed)
    report = build_model(
        residual_spec(), export, tmp_path / "out" / "models", runtime="tensorrt",
        options=BuildOptions(onnx_only=True, preflight_gpus=gpus),
    )  # fmt: skip
    assert report.compiler.found is None
    assert words in (report.compiler.unasked or "")


@pytest.mark.parametrize(
    "options",
    [
        BuildOptions(preflight_gpus=("sm_86",)),
        BuildOptions(hardware_compatibility="ampere_plus"),
        BuildOptions(timing_cache=Path("timings")),
    ],
)
def test_options_of_plans_are_not_ignored(
    options: BuildOptions, export: Path, tmp_path: Path
) -> None:
    with pytest.raises(PlanOptionsError, match="expected --runtime tensorrt, got openvino"):
        build_model(residual_spec(), export, tmp_path / "models", options=options)
