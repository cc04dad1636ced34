"""The whole of a build on the surface of each version; see `tensorrt_double` for what that is."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tensorrt_double import Scenario, tensorrt_double
from tiny_models import SIZE_HW, SIZES, TinyModel, tiny_spec
from tritonseg_engines.build.engine_file import write_engine
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.progress import unheard
from tritonseg_engines.repository import Deployment, Engine, Provenance
from tritonseg_engines.target import Runtime
from tritonseg_engines.tensorrt import (
    PLAN_FILE,
    Gpu,
    PlanOptions,
    PlanOptionsError,
    TensorRTError,
    TensorRTUnavailableError,
    plan_manifest,
)
from tritonseg_engines.tensorrt.bindings import BuildLog
from tritonseg_engines.tensorrt.plan import PlanReport, build_plan
from tritonseg_steps.upsampling import Upsampling

VERSIONS = ("8.6.0", "10.16.1.11", "11.4.0.106")
STRONGLY_TYPED = VERSIONS[1:]
GPU = Gpu(
    name="NVIDIA L4",
    compute_capability="8.9",
    memory_bytes=24 * 2**30,
    driver_version="570.86.15",
    cuda_version="12.8",
)
Build = Callable[..., PlanReport]


@pytest.fixture
def apis(shared: Path) -> dict[str, Any]:
    folder = shared / "tensorrt" / "api"
    return {version: json.loads((folder / f"{version}.json").read_text()) for version in VERSIONS}


@pytest.fixture
def build(
    apis: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., PlanReport]:
    def build(
        version: str,
        scenario: Scenario,
        options: PlanOptions | None = None,
        model: onnx.ModelProto | None = None,
        **keywords: Any,
    ) -> PlanReport:
        module = tensorrt_double(apis[version], scenario)
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        onnx.save(model or TinyModel().model(), tmp_path / "model.onnx")
        plan = tmp_path / "model.plan"
        return build_plan(tmp_path / "model.onnx", plan, options, gpu=GPU, **keywords)

    return build


def mixed_model(*, quantized: bool = False, half_scale: bool = False) -> onnx.ModelProto:
    """float32 in and out; the convolution in float16, the product after it in float32."""
    weight = np.ones((5, 3, 4, 4), np.float16)
    nodes = [
        helper.make_node("Cast", ["image"], ["half"], "/to_half", to=TensorProto.FLOAT16),
        helper.make_node("Conv", ["half", "weight"], ["conv"], "/conv", strides=[4, 4]),
        helper.make_node("Cast", ["conv"], ["float"], "/to_float", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "scale"], ["product"], "/sensitive"),
    ]
    last = "product"
    if half_scale:
        # What quantization makes of weights that are kept in float16.
        nodes.insert(1, helper.make_node("QuantizeLinear", ["weight", "half_scale"], ["wq"], "/wq"))
        nodes.insert(2, helper.make_node("DequantizeLinear", ["wq", "half_scale"], ["wdq"], "/wdq"))
        nodes[3].input[1] = "wdq"
    if quantized:
        nodes.append(helper.make_node("QuantizeLinear", ["product", "scale"], ["q"], "/q"))
        nodes.append(helper.make_node("DequantizeLinear", ["q", "scale"], ["dq"], "/dq"))
        last = "dq"
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 64, 96])
    scores = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", 5, 16, 24])
    constants = [
        numpy_helper.from_array(weight, "weight"),
        numpy_helper.from_array(np.array(0.1, np.float32), "scale"),
        numpy_helper.from_array(np.array(0.1, np.float16), "half_scale"),
    ]
    graph = helper.make_graph(nodes, "mixed", [image], [scores], constants)
    opsets = [helper.make_opsetid("", 19 if half_scale else 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def flags(scenario: Scenario) -> set[str]:
    return {call[1] for call in scenario.calls if call[0] == "set_flag"}


def creation_flags(scenario: Scenario, api: dict[str, Any]) -> set[str]:
    (bits,) = (call[1] for call in scenario.calls if call[0] == "create_network")
    members = api["enums"]["NetworkDefinitionCreationFlag"]
    return {name for index, name in enumerate(members) if bits >> index & 1}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plan_is_written_and_described(version: str, build: Build, tmp_path: Path) -> None:
    scenario = Scenario(plan=b"plan of " + version.encode())
    report = build(version, scenario)
    assert report.plan.read_bytes() == scenario.plan
    assert report.warnings == ("a warning",)
    manifest = json.loads(json.dumps(plan_manifest(report)))
    assert manifest["tensorrt_version"] == version
    assert manifest["plan_sha256"] == hashlib.sha256(scenario.plan).hexdigest()
    content = (tmp_path / "model.onnx").read_bytes()
    assert manifest["onnx_sha256"] == hashlib.sha256(content).hexdigest()
    assert (manifest["gpu_name"], manifest["compute_capability"]) == ("NVIDIA L4", "8.9")
    assert manifest["profiles"]["NORMALIZED"]["maximum"] == [8, 3, 64, 96]
    shape = ("NORMALIZED", (1, 3, 64, 96), (1, 3, 64, 96), (8, 3, 64, 96))
    assert ("shape", *shape) in scenario.calls


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("version", STRONGLY_TYPED)
def test_types_are_the_files_where_tensorrt_can_be_strict(
    version: str, quantized: bool, build: Build, apis: dict[str, Any]
) -> None:
    scenario = Scenario(layers=(("/sensitive", "ELEMENTWISE", "FLOAT"),))
    report = build(version, scenario, model=mixed_model(quantized=quantized))
    assert creation_flags(scenario, apis[version]) == {"STRONGLY_TYPED"}
    assert flags(scenario) == set()
    assert report.pinned_layers == ()
    assert report.precision == ("int8" if quantized else "fp16")


def test_int8_beside_fp16_is_refused_where_the_parser_cannot_read_it(build: Build) -> None:
    scenario = Scenario()
    with pytest.raises(OnnxModelError, match=r"needs TensorRT 10 or newer; got 8\.6\.0"):
        build("8.6.0", scenario, model=mixed_model(half_scale=True))
    assert scenario.calls == []
    assert build("10.16.1.11", scenario, model=mixed_model(half_scale=True)).precision == "int8"


def test_types_are_allowed_and_pinned_where_it_cannot(build: Build, apis: dict[str, Any]) -> None:
    """8.6 takes the fastest type that flags allow, so what the file keeps in float32 is pinned."""
    scenario = Scenario(
        layers=(
            ("/to_half", "CAST", "HALF"),
            ("/conv", "CONVOLUTION", "HALF"),
            ("/sensitive", "ELEMENTWISE", "FLOAT"),
            ("/sensitive_12", "SHUFFLE", "FLOAT"),
            ("/sensitive_13", "CONSTANT", "FLOAT"),
            ("/sensitive_14", "SHAPE", "INT32"),
        )
    )
    report = build("8.6.0", scenario, model=mixed_model(quantized=True))
    assert creation_flags(scenario, apis["8.6.0"]) == {"EXPLICIT_BATCH"}
    assert flags(scenario) == {"FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"}
    assert report.pinned_layers == ("/sensitive", "/sensitive_12")
    pinned = [call for call in scenario.calls if call[0] == "output"]
    assert pinned == [("output", "/sensitive", 0, "FLOAT"), ("output", "/sensitive_12", 0, "FLOAT")]


def test_a_float32_file_allows_nothing_lower(build: Build) -> None:
    scenario = Scenario(layers=(("scores", "CONVOLUTION", "FLOAT"),))
    report = build("8.6.0", scenario)
    assert (report.precision, report.pinned_layers, flags(scenario)) == ("fp32", (), set())


@pytest.mark.parametrize("version", VERSIONS)
def test_tensor_cores_do_not_round_float32(version: str, build: Build) -> None:
    scenario = Scenario()
    build(version, scenario)
    assert ("clear_flag", "TF32") in scenario.calls


def test_a_compatibility_that_8_6_lacks_is_refused(build: Build, tmp_path: Path) -> None:
    options = PlanOptions(hardware_compatibility="same_compute_capability")
    with pytest.raises(PlanOptionsError, match=r"TensorRT 8\.6\.0 has no 'same_compute_cap"):
        build("8.6.0", Scenario(), options)
    assert not (tmp_path / "model.plan").exists()
    build("10.16.1.11", Scenario(), options)


def test_the_compatibility_that_a_build_asks_for_is_the_plans(
    apis: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = VERSIONS[1]
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_double(apis[version], Scenario()))
    deployment = Deployment(
        spec=tiny_spec(),
        engine=Engine(
            file=PLAN_FILE,
            sizes=SIZES,
            output_dims=(5, *SIZE_HW),
            upsampling=Upsampling(),
        ),
        provenance=Provenance.not_built(Runtime.TENSORRT),
    )
    written = write_engine(
        TinyModel().model(),
        deployment,
        tmp_path,
        gpu=GPU,
        wanted=BuildOptions(hardware_compatibility="ampere_plus"),
        progress=unheard,
    )
    assert written.facts["engines"][PLAN_FILE]["hardware_compatibility"] == "ampere_plus"


@pytest.mark.parametrize("version", VERSIONS)
def test_timings_are_kept_for_each_gpu_and_version(
    version: str, build: Build, tmp_path: Path
) -> None:
    options = PlanOptions(timing_cache=tmp_path / "timings")
    first, second = Scenario(), Scenario()
    build(version, first, options)
    (file,) = (tmp_path / "timings").iterdir()
    assert file.name == f"nvidia-l4_sm89_trt{version}.timing"
    build(version, second, options)
    assert ("timing_cache", b"", False) in first.calls
    assert ("timing_cache", file.read_bytes(), False) in second.calls


def test_timings_of_another_machine_are_not_used(build: Build, tmp_path: Path) -> None:
    options = PlanOptions(timing_cache=tmp_path)
    file = tmp_path / "nvidia-l4_sm89_trt10.16.1.11.timing"
    file.write_bytes(b"of another machine")
    scenario = Scenario(timing_cache_fits=False)
    build("10.16.1.11", scenario, options)
    caches = [call[1] for call in scenario.calls if call[0] == "timing_cache"]
    assert caches == [b"of another machine", b""]
    assert file.read_bytes() == b"timings after the build"


@pytest.mark.parametrize("version", STRONGLY_TYPED)
def test_a_reproducible_build_takes_the_kernels_it_finds(
    version: str, build: Build, tmp_path: Path
) -> None:
    first, second = Scenario(), Scenario()
    noted = build(version, first, PlanOptions(timing_cache=tmp_path))
    assert ("set_flag", "EDITABLE_TIMING_CACHE") in first.calls
    assert ("set_flag", "ERROR_ON_TIMING_CACHE_MISS") not in first.calls
    (file,) = tmp_path.glob("*.timing")
    file.write_bytes(b"as it was")
    repeated = build(version, second, PlanOptions(timing_cache=tmp_path, reproducible=True))
    assert ("set_flag", "ERROR_ON_TIMING_CACHE_MISS") in second.calls
    assert ("timing_cache", b"as it was", False) in second.calls
    assert file.read_bytes() == b"as it was"
    # What two kernels of the stand-in are, in the order of their keys.
    expected = hashlib.sha256(b"0x0a 7\n0x0b 9").hexdigest()
    assert noted.tactics_sha256 == repeated.tactics_sha256 == expected
    assert plan_manifest(repeated)["tactics_sha256"] == expected


@pytest.mark.parametrize(
    ("version", "scenario", "cached", "words"),
    [
        ("11.4.0.106", Scenario(), False, "not there; build once with the same timing cache"),
        ("11.4.0.106", Scenario(timing_cache_fits=False), True, "does not take the timings of"),
        ("8.6.0", Scenario(), True, r"TensorRT 8\.6\.0 cannot be told which kernels"),
    ],
)
def test_a_build_that_cannot_be_reproducible_fails(
    version: str, scenario: Scenario, cached: bool, words: str, build: Build, tmp_path: Path
) -> None:
    if cached:
        (tmp_path / f"nvidia-l4_sm89_trt{version}.timing").write_bytes(b"of another machine")
    with pytest.raises(PlanOptionsError, match=words):
        build(version, scenario, PlanOptions(timing_cache=tmp_path, reproducible=True))
    assert not (tmp_path / "model.plan").exists()


def test_nothing_is_reproducible_without_a_cache() -> None:
    with pytest.raises(PlanOptionsError, match="expected a timing cache to go by"):
        PlanOptions(reproducible=True)
    with pytest.raises(PlanOptionsError, match="--timing-cache FOLDER"):
        BuildOptions(reproducible=True)


@pytest.mark.parametrize("version", STRONGLY_TYPED)
def test_progress_is_reported_phase_by_phase(version: str, build: Build) -> None:
    reported: list[tuple[str, int, int]] = []
    scenario = Scenario(phases=(("Building", 2),))
    build(version, scenario, progress=lambda *step: reported.append(step))
    assert list(dict.fromkeys(reported)) == [
        ("Building", 0, 2),
        ("Building", 1, 2),
        ("Building", 2, 2),
    ]


def test_8_6_builds_without_reporting_progress(build: Build) -> None:
    scenario = Scenario(phases=(("Building", 2),))
    assert build("8.6.0", scenario, progress=lambda *_: 1 / 0).size_bytes


def test_what_the_callback_raises_ends_the_build(build: Build, tmp_path: Path) -> None:
    """Not inside TensorRT's frames, where it would end the process, but behind them."""

    def interrupted(_phase: str, done: int, _steps: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build("11.4.0.106", Scenario(phases=(("Building", 9),)), progress=interrupted)
    assert not (tmp_path / "model.plan").exists()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_node_that_the_parser_refuses_is_named(
    version: str, build: Build, tmp_path: Path
) -> None:
    """8.6 tells the node's number only; the name comes from the file then."""
    error: dict[str, Any] = {"desc": "no such pooling", "node": 1}
    if version != "8.6.0":
        error |= {"node_name": "/conv", "node_operator": "Conv"}
    with pytest.raises(OnnxModelError, match=r"node '/conv' \(Conv\): no such pooling"):
        build(version, Scenario(parser_errors=(error,)), model=mixed_model())
    assert not (tmp_path / "model.plan").exists()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_layer_that_cannot_be_built_is_named(version: str, build: Build, tmp_path: Path) -> None:
    text = "Could not find any implementation for node {ForeignNode[/conv_1.../sensitive]}."
    layers = ("/conv", "CONVOLUTION", "HALF"), ("/conv_1", "CONVOLUTION", "HALF")
    scenario = Scenario(layers=layers, builder_errors=("first", text))
    with pytest.raises(TensorRTError, match="at '/conv_1': Could not find") as caught:
        build(version, scenario)
    assert caught.value.log[:2] == ("[ERROR] first", f"[ERROR] {text}")
    assert not any("tactic" in line for line in caught.value.log)
    assert not (tmp_path / "model.plan").exists()


def test_an_older_plan_stays_if_the_build_fails(build: Build, tmp_path: Path) -> None:
    (tmp_path / "model.plan").write_bytes(b"older")
    with pytest.raises(TensorRTError):
        build("10.16.1.11", Scenario(builder_errors=("no memory",)))
    assert (tmp_path / "model.plan").read_bytes() == b"older"


def test_a_tensorrt_before_8_6_is_refused(
    apis: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enums = dict(apis["8.6.0"]["enums"])
    del enums["HardwareCompatibilityLevel"]
    old = {**apis["8.6.0"], "enums": enums, "version": "8.5.3.1"}
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_double(old, Scenario()))
    with pytest.raises(TensorRTUnavailableError, match=r"8\.6 or newer, got 8\.5\.3\.1"):
        build_plan(tmp_path / "model.onnx", tmp_path / "model.plan", gpu=GPU)


def test_no_tensorrt_is_said_with_where_to_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(TensorRTUnavailableError, match=r"nvcr\.io/nvidia/tensorrt"):
        build_plan(tmp_path / "model.onnx", tmp_path / "model.plan", gpu=GPU)


def test_the_log_takes_lines_from_many_threads() -> None:
    log = BuildLog()
    threads = [
        threading.Thread(target=lambda: [log.add("ERROR", "x") for _ in range(200)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.errors()) == 1600
