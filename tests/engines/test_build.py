"""ONNX in, repository out: what is written, what is refused, and that nothing is half-written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tiny_models import (
    ARGMAX,
    CAST,
    CLASSES,
    RESIZE,
    SIZE_HW,
    SOFTMAX,
    Operator,
    TinyModel,
    run_onnx,
    tiny_spec,
)
from tritonseg_engines.build.export_truth import ExportTruth
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.build.proof_pictures import extreme_questions, questions
from tritonseg_engines.errors import OnnxModelError, RepositoryError, SpecificationError
from tritonseg_engines.graph.half_weights import expand_half_weights, store_weights_as_half
from tritonseg_engines.graph.surgery import as_proto, editable
from tritonseg_engines.repository import writer
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.spec import OutputSpec
from tritonseg_steps import contract
from tritonseg_steps.network_sizes import NetworkSizes

build_ensemble = partial(build_model, layout="ensemble")

PARTS = ("tiny", "tiny_argmax", "tiny_engine", "tiny_normalize")


@pytest.fixture
def save(tmp_path: Path) -> Callable[[TinyModel], Path]:
    def save(model: TinyModel) -> Path:
        path = tmp_path / "export.onnx"
        onnx.save(model.model(), path)
        return path

    return save


def engine_of(repository: Path) -> onnx.ModelProto:
    return onnx.load(repository / "tiny_engine" / "1" / "model.onnx")


def batch(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((2, 3, *SIZE_HW)).astype(np.float32)


def test_four_models_that_fit_together(save: Callable[..., Path], tmp_path: Path) -> None:
    """Every tensor that a step takes is one that the ensemble or an earlier step gives, alike."""
    repository = tmp_path / "repository"
    build_ensemble(tiny_spec(), save(TinyModel(tail=[RESIZE, ARGMAX])), repository)
    assert tuple(sorted(path.name for path in repository.iterdir())) == PARTS
    configs = {name: read_config(repository / name / "config.pbtxt") for name in PARTS}
    ensemble = configs["tiny"]
    tensors = {value.name: (value.data_type, list(value.dims)) for value in ensemble.input}
    for step in ensemble.ensemble_scheduling.step:
        config = configs[step.model_name]
        assert config.max_batch_size == ensemble.max_batch_size
        for value in config.input:
            assert tensors[step.input_map[value.name]] == (value.data_type, list(value.dims))
        for value in config.output:
            tensors[step.output_map[value.name]] = (value.data_type, list(value.dims))
    for value in ensemble.output:
        assert tensors[value.name] == (value.data_type, list(value.dims))
    assert list(configs["tiny_engine"].output[0].dims) == [5, SIZE_HW[0] // 4, SIZE_HW[1] // 4]


def test_parameters_carry_what_a_caller_needs(save: Callable[..., Path], tmp_path: Path) -> None:
    path = save(TinyModel(tail=[RESIZE, ARGMAX]))
    report = build_ensemble(tiny_spec(), path, tmp_path / "repository")
    parameters = read_config(report.model / "config.pbtxt").parameters
    model = json.loads(parameters[contract.MODEL_PARAMETER].string_value)
    assert model["classes"] == [f"class {index}" for index in range(5)]
    assert model["palette"][1] == [128, 0, 0]
    provenance = json.loads(parameters[contract.PROVENANCE_PARAMETER].string_value)
    assert provenance["precision"] == "fp32"
    assert provenance["runtime"] == "openvino"
    assert len(provenance["onnx_sha256"]) == 64
    manifest = json.loads((report.model / "1" / "manifest.json").read_text())
    assert manifest["tail"]["operators"] == ["Resize", "ArgMax"]
    assert manifest["input"]["name"] == "image"
    assert manifest["tail"]["output"] == "output"
    assert manifest["boundary"]["equal_pixels"] >= 0.999


def test_model_py_is_short_and_names_its_step(save: Callable[..., Path], tmp_path: Path) -> None:
    build_ensemble(tiny_spec(), save(TinyModel(tail=[RESIZE])), tmp_path / "repository")
    for suffix in ("_normalize", "_engine", "_argmax"):
        text = (tmp_path / "repository" / f"tiny{suffix}" / "1" / "model.py").read_text()
        assert len([line for line in text.splitlines() if line]) <= 3
        assert "TritonPythonModel" in text


@pytest.mark.parametrize(
    "model",
    [TinyModel(), TinyModel(layout="NHWC"), TinyModel(dtype="float16"), TinyModel(dtype="uint8")],
    ids=["float32 NCHW", "NHWC", "float16", "uint8"],
)
def test_every_engine_takes_float32_nchw(
    model: TinyModel, save: Callable[..., Path], tmp_path: Path
) -> None:
    spec = tiny_spec(layout=model.layout, dtype=model.dtype)
    build_ensemble(spec, save(model), tmp_path / "repository")
    engine = engine_of(tmp_path / "repository")
    assert [value.name for value in engine.graph.input] == [contract.NORMALIZED]
    assert [value.name for value in engine.graph.output] == [contract.SCORES]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, *SIZE_HW)).astype(np.float32)
    as_exported = pixels.astype(model.dtype)
    if model.layout == "NHWC":
        as_exported = np.ascontiguousarray(as_exported.transpose(0, 2, 3, 1))
    assert np.array_equal(run_onnx(engine, pixels), run_onnx(model.model(), as_exported))


def test_keep_tail_keeps_a_class_map(save: Callable[..., Path], tmp_path: Path) -> None:
    model = TinyModel(tail=[RESIZE, ("ArgMax", {"axis": 1, "keepdims": 1})])
    spec = tiny_spec(kind="class_map", upsampling="export")
    report = build_ensemble(spec, save(model), tmp_path / "repository")
    assert report.tail.operators == ()
    engine = engine_of(tmp_path / "repository")
    class_map = run_onnx(engine, batch())
    assert class_map.dtype == np.uint8
    assert np.array_equal(class_map, run_onnx(model.model(), batch())[:, 0])
    # TensorRT casts to uint8 from floating point only.
    *_, widening, narrowing = engine.graph.node
    assert (widening.op_type, narrowing.op_type) == ("Cast", "Cast")
    assert helper.get_node_attr_value(widening, "to") == TensorProto.FLOAT
    assert list(narrowing.input) == list(widening.output)


def test_a_tail_that_cannot_be_cut_without_changing_masks_stays(
    save: Callable[..., Path], tmp_path: Path
) -> None:
    """Upsampled to half the input's size only: going straight to full size is not the same."""
    path = save(TinyModel(tail=[RESIZE, ARGMAX]))
    model = onnx.load(path)
    scales = next(value for value in model.graph.initializer if value.name == "up")
    scales.CopyFrom(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "up"))
    del model.graph.value_info[:]
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info("output", TensorProto.INT64, ["N", None, None])
    )
    onnx.save(model, path)
    report = build_ensemble(tiny_spec(), path, tmp_path / "repository")
    assert report.tail.operators == ()
    assert "cutting Resize → ArgMax behind tensor 'scores' changes" in report.kept_tail
    assert report.proof.equal_pixels == 1
    engine = onnx.load(tmp_path / "repository" / "tiny_engine" / "1" / "model.onnx")
    assert np.array_equal(run_onnx(engine, batch()), run_onnx(onnx.load(path), batch()))


@pytest.mark.parametrize(
    ("tail", "kind", "dims"),
    [
        ([("Transpose", {"perm": [0, 2, 3, 1]})], "scores", (CLASSES, None, None)),
        ([RESIZE, ("Transpose", {"perm": [0, 2, 3, 1]})], "scores", (CLASSES, None, None)),
        ([RESIZE, ARGMAX], "class_map", (None, None)),
        ([RESIZE, ("ArgMax", {"axis": 1, "keepdims": 1}), CAST], "class_map", (None, None)),
    ],
)
def test_what_goes_with_an_open_size_stays_open(
    tail: list[Operator], kind: str, dims: tuple[int | None, ...], save: Callable[..., Path]
) -> None:
    """A size that one picture had must not be declared for all."""
    model = TinyModel(tail=tail, size_hw=(None, None))
    spec = tiny_spec(height=None, width=None, kind=kind, upsampling="export")
    assert prepare_network(spec, save(model)).output_dims == dims


@pytest.mark.parametrize(
    ("tail", "kind", "threshold", "confidence"),
    [
        ([], "scores", None, "softmax"),
        ([RESIZE, SOFTMAX], "scores", None, "softmax"),
        ([RESIZE, SOFTMAX, ARGMAX], "scores", None, "softmax"),
        ([SOFTMAX], "scores", None, "probability"),
        ([SOFTMAX, RESIZE], "scores", None, "probability"),
        ([("LogSoftmax", {"axis": 1})], "scores", None, "softmax"),
        ([], "binary", None, "softmax"),
        ([], "binary", 0.7, None),
        ([("Sigmoid", {})], "binary", None, "probability"),
        ([("Sigmoid", {})], "binary", 0.3, None),
        ([("Tanh", {})], "scores", None, None),
        ([("Tanh", {})], "binary", None, None),
    ],
)
def test_confidence_is_what_the_export_means_by_its_scores(
    tail: list[Operator],
    kind: str,
    threshold: float | None,
    confidence: str | None,
    save: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """A second softmax makes 0.6 of a probability of 1; a moved threshold says what to do."""
    classes = 1 if kind == "binary" else CLASSES
    spec = tiny_spec(classes=max(2, classes))
    output = OutputSpec(name="output", kind=kind, threshold=threshold)
    path = save(TinyModel(tail=tail, classes=classes))
    build_model(replace(spec, output=output), path, tmp_path / "repository")
    config = read_config(tmp_path / "repository" / "tiny" / "config.pbtxt")
    published = json.loads(config.parameters["tritonseg_upsampling"].string_value)
    assert published["confidence"] == confidence
    offered = "CONFIDENCE" in [output.name for output in config.output]
    assert offered == (confidence is not None)


def test_classes_that_could_stand_on_either_axis_are_asked_for(
    save: Callable[..., Path],
) -> None:
    """(N, 16, 24, 16) of 16 classes."""
    model = TinyModel(classes=16, size_hw=(64, 96), tail=[("Transpose", {"perm": [0, 2, 3, 1]})])
    path = save(model)
    with pytest.raises(OnnxModelError, match=r"could be .* give output.layout: NCHW or NHWC"):
        prepare_network(tiny_spec(classes=16), path)
    output = OutputSpec(name="output", layout="NHWC")
    prepared = prepare_network(replace(tiny_spec(classes=16), output=output), path)
    assert prepared.output_dims == (16, 16, 24)


def test_a_masked_class_does_not_make_the_proof_vacuous(save: Callable[..., Path]) -> None:
    """A class that is switched off by -1e6 once made every pixel count as a near tie."""
    model = onnx.load(save(TinyModel(tail=[RESIZE], size_hw=(None, None))))
    last = model.graph.node[-1]
    last.output[0] = "unmasked"
    mask = np.zeros((1, CLASSES, 1, 1), np.float32)
    mask[0, -1] = -1e6
    model.graph.initializer.append(numpy_helper.from_array(mask, "mask"))
    model.graph.node.append(helper.make_node("Add", ["unmasked", "mask"], ["output"]))
    spec = tiny_spec(height=None, width=None)
    truth = ExportTruth(model, spec, kind="scores", threshold=0)
    sizes = NetworkSizes()
    samples = truth.samples(questions(spec, sizes), [], extreme_questions(spec, sizes))
    assert all(sample.mask.stable_hw.mean() > 0.9 for sample in samples)


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        ([("Sigmoid", {}), ("Log", {})], "scores on both sides of the threshold 0"),
        ([("Sigmoid", {}), ("Mul", {}), ("Sub", {})], "neither a probability nor even around 0"),
    ],
)
def test_a_threshold_that_cannot_be_told_is_asked_for(
    tail: list[Operator], message: str, tmp_path: Path
) -> None:
    model = TinyModel(classes=1, tail=tail).model()
    for node in model.graph.node:
        if node.op_type in ("Mul", "Sub"):
            node.input.append({"Mul": "more", "Sub": "less"}[node.op_type])
    for name, value in (("more", 1.2), ("less", 0.1)):
        constant = np.array(value, np.float32)
        model.graph.initializer.append(numpy_helper.from_array(constant, name))
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 1, 16, 24])
    )
    spec = replace(tiny_spec(classes=2), output=OutputSpec(name="output", kind="binary"))
    path = tmp_path / "export.onnx"
    onnx.save(model, path)
    with pytest.raises(OnnxModelError, match=message):
        prepare_network(spec, path)
    given = OutputSpec(name="output", kind="binary", threshold=0.4)
    assert prepare_network(replace(spec, output=given), path).threshold == 0.4


REFUSED = {
    "input name": (
        TinyModel(),
        {"input_name": "pixels"},
        "write input.name: image",
    ),
    "input type": (TinyModel(dtype="uint8"), {}, "expected float32, got uint8"),
    "input size": (TinyModel(), {"height": 32}, "64x96 in the file, 32x96 in the spec"),
    "layout": (TinyModel(), {"layout": "NHWC"}, "write input.layout: NCHW"),
    "classes": (TinyModel(classes=7), {}, "7 classes where the specification names 5"),
    "two inputs": (TinyModel(inputs=("image", "other")), {}, "exactly one input"),
    "old opset": (TinyModel(opset=10), {}, "opset 11 or newer, got 10"),
}


@pytest.mark.parametrize(("model", "change", "message"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_is_not_what_the_specification_says_is_refused(
    model: TinyModel,
    change: dict[str, object],
    message: str,
    save: Callable[..., Path],
    tmp_path: Path,
) -> None:
    with pytest.raises(OnnxModelError, match=message):
        build_ensemble(tiny_spec(**change), save(model), tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ONNX"),
        (b"\x89PNG\r\n\x1a\n not a model", "expected an ONNX model"),
        (None, "no such"),
    ],
    ids=["empty", "a picture", "absent"],
)
def test_what_is_not_onnx_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OnnxModelError, match=message):
        build_ensemble(tiny_spec(), path, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_a_truncated_file_is_refused(save: Callable[..., Path], tmp_path: Path) -> None:
    path = save(TinyModel())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(OnnxModelError):
        build_ensemble(tiny_spec(), path, tmp_path / "repository")


def test_a_failed_write_leaves_the_old_model(
    save: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    build_ensemble(tiny_spec(), save(TinyModel(tail=[RESIZE])), repository)
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}

    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "_write_config", disk_full)
    with pytest.raises(RepositoryError, match="No space left on device; nothing was changed"):
        build_ensemble(tiny_spec(), save(TinyModel(tail=[RESIZE, SOFTMAX])), repository)
    after = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    assert after == before
    assert tuple(sorted(path.name for path in repository.iterdir())) == PARTS


def test_building_again_replaces_the_model(save: Callable[..., Path], tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    first = build_ensemble(tiny_spec(), save(TinyModel(tail=[RESIZE])), repository)
    second = build_ensemble(tiny_spec(), save(TinyModel(tail=[RESIZE, ARGMAX])), repository)
    assert first.provenance.onnx_sha256 != second.provenance.onnx_sha256
    assert second.provenance.onnx_sha256 in (repository / "tiny" / "config.pbtxt").read_text()
    assert tuple(sorted(path.name for path in repository.iterdir())) == PARTS


def test_half_weights_compute_the_same_when_expanded() -> None:
    model = TinyModel(tail=[RESIZE]).model()
    exact = run_onnx(model, batch())
    edited = editable(model)
    store_weights_as_half(edited)
    stored = as_proto(edited)
    onnx.checker.check_model(stored)
    assert TensorProto.FLOAT16 in {value.data_type for value in stored.graph.initializer}
    rounded = run_onnx(stored, batch())
    np.testing.assert_allclose(rounded, exact, atol=2e-3 * np.abs(exact).max())
    expand_half_weights(edited)
    assert {node.op_type for node in edited.graph} == {"Conv", "Resize"}
    assert np.array_equal(run_onnx(as_proto(edited), batch()), rounded)


def test_bad_model_names_touch_no_path(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match="model name"):
        tiny_spec(name="../escape")
    assert not list(tmp_path.iterdir())
