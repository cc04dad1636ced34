"""Configs that were changed since the build: what decides masks is told, what is tuned is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tiny_models import SIZES, tiny_spec
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository import Deployment, Engine, Provenance, write_model
from tritonseg_engines.repository.check import changed_since_build, check_repository
from tritonseg_engines.repository.unbuilt import write_unbuilt
from tritonseg_engines.target import ServingLayout
from tritonseg_engines.tensorrt import Machine
from tritonseg_engines.zoo import get_spec
from tritonseg_steps import contract
from tritonseg_steps.upsampling import Upsampling

AGAIN = "put that back, or build it again: tritonseg build SPEC.yaml --onnx FILE --repository "
Edit = Callable[[pb.ModelConfig], object]


def build(
    repository: Path, layout: str = "ensemble", runtime: str = "openvino", max_batch: int = 4
) -> Path:
    provenance = Provenance(
        onnx_sha256="0" * 64, precision="fp32", runtime=runtime, tritonseg_version="1"
    )
    engine = Engine(
        file="model.plan" if runtime == "tensorrt" else "model.onnx",
        sizes=SIZES,
        output_dims=(5, 16, 24),
        upsampling=Upsampling(),
        max_batch=max_batch,
    )
    of = Deployment(
        spec=tiny_spec(), engine=engine, provenance=provenance, layout=ServingLayout(layout)
    )
    built = repository.parent / "built.bin"
    built.write_bytes(b"the engine")
    write_model(repository, of, built, {"provenance": {"runtime": runtime, "precision": "fp32"}})
    return repository


def edit(repository: Path, folder: str, change: Edit) -> None:
    """Rewrite one config as a person does: the text, and nothing of the project's."""
    path = repository / folder / "config.pbtxt"
    config = text_format.Parse(path.read_text(), pb.ModelConfig())
    change(config)
    path.write_text("# by hand\n" + text_format.MessageToString(config, as_one_line=True))


def set_in(parameter: str, key: str, value: object) -> Edit:
    def change(config: pb.ModelConfig) -> None:
        text = config.parameters[parameter].string_value
        document = {**json.loads(text), key: value}
        config.parameters[parameter].string_value = json.dumps(document, indent=1)

    return change


PREPROCESSING = contract.PREPROCESSING_PARAMETER
DECIDES: dict[str, tuple[str, str, Edit, str]] = {
    "mean": (
        "ensemble", "tiny_normalize", set_in(PREPROCESSING, "mean", [60.0, 127.5, 127.5]),
        "tritonseg_preprocessing.mean: expected [127.5, 127.5, 127.5] as built, got "
        "[60.0, 127.5, 127.5]",
    ),
    "mean of the layout single": (
        "single", "tiny", set_in(PREPROCESSING, "mean", [60.0, 127.5, 127.5]),
        "tritonseg_preprocessing.mean: expected [127.5, 127.5, 127.5] as built, got "
        "[60.0, 127.5, 127.5]",
    ),
    "order of colours": (
        "ensemble", "tiny_normalize", set_in(PREPROCESSING, "color_order", "BGR"),
        'tritonseg_preprocessing.color_order: expected "RGB" as built, got "BGR"',
    ),
    "resize": (
        "ensemble", "tiny_argmax",
        set_in(PREPROCESSING, "resize", {"policy": "stretch", "height": 64, "width": 96}),
        'tritonseg_preprocessing.resize.policy: expected "native" as built, got "stretch"',
    ),
    "upsampling": (
        "single", "tiny", set_in(contract.UPSAMPLING_PARAMETER, "align_corners", True),
        "tritonseg_upsampling.align_corners: expected false as built, got true",
    ),
    "sizes": (
        "ensemble", "tiny_normalize", set_in(contract.NETWORK_SIZES_PARAMETER, "height", None),
        "tritonseg_network_sizes.height: expected 64 as built, got nothing",
    ),
    "precision": (
        "ensemble", "tiny_engine", set_in(contract.ENGINE_PARAMETER, "precision", "fp16"),
        'tritonseg_engine.precision: expected "fp32" as built, got "fp16"',
    ),
    "classes": (
        "single", "tiny",
        set_in(contract.MODEL_PARAMETER, "classes", [f"class {i}" for i in (0, 2, 1, 3, 4)]),
        'tritonseg_model.classes: expected ["class 0", "class 1", "class 2", "class 3", '
        '"class 4"] as built, got ["class 0", "class 2", "class 1", "class 3", "class 4"]',
    ),
    "no parameter": (
        "ensemble", "tiny_argmax",
        lambda config: config.parameters.pop(contract.UPSAMPLING_PARAMETER),
        'tritonseg_upsampling: expected {"align_corners": false, "confidence": "softmax", "kind": '
        '"scores"} as built, got nothing',
    ),
    "another step": (
        "ensemble", "tiny",
        lambda config: setattr(
            config.ensemble_scheduling.step[0], "model_name", "other_normalize"
        ),
        'ensemble_scheduling[0].model_name: expected "tiny_normalize" as built, got '
        '"other_normalize"',
    ),
    "another backend": (
        "single", "tiny", lambda config: setattr(config, "backend", "openvino"),
        'backend: expected "python" as built, got "openvino"',
    ),
    "more at once than the network takes": (
        "single", "tiny", lambda config: setattr(config, "max_batch_size", 8),
        "max_batch_size: expected at most 4 as built, got 8",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("layout", "folder", "by", "words"), DECIDES.values(), ids=DECIDES)
def test_what_decides_masks_is_told(
    layout: str, folder: str, by: Edit, words: str, tmp_path: Path
) -> None:
    repository = build(tmp_path / "r", layout)
    edit(repository, folder, by)
    (line,) = changed_since_build(repository)
    assert line.startswith(f"tiny: {folder}/config.pbtxt: {words}")
    assert f"; {AGAIN}{repository}" in line
    assert check_repository(repository, Machine()) == {"tiny": [line.removeprefix("tiny: ")]}


def test_a_plan_by_another_name_is_told(tmp_path: Path) -> None:
    repository = build(tmp_path / "r", runtime="tensorrt")
    edit(repository, "tiny_engine", lambda c: c.cc_model_filenames.update({"8.9": "l4.plan"}))
    (line,) = changed_since_build(repository)
    assert 'cc_model_filenames.8.9: expected nothing as built, got "l4.plan"' in line


def test_a_step_of_another_model_is_told(tmp_path: Path) -> None:
    repository = build(tmp_path / "r")
    other = tmp_path / "other"
    of = replace(tiny_spec(), preprocessing=replace(tiny_spec().preprocessing, mean=(1.0,) * 3))
    provenance = Provenance.not_built("openvino")
    engine = Engine(
        file="model.onnx", sizes=SIZES, output_dims=(5, 16, 24), upsampling=Upsampling()
    )
    write_model(
        other, Deployment(spec=of, engine=engine, provenance=provenance), None,
        {"provenance": {"runtime": "openvino"}},
    )  # fmt: skip
    shutil.rmtree(repository / "tiny_normalize")
    shutil.copytree(other / "tiny_normalize", repository / "tiny_normalize")
    (line,) = changed_since_build(repository)
    assert "tiny_normalize/config.pbtxt: tritonseg_preprocessing.mean: expected [127.5" in line
    assert "got [1.0, 1.0, 1.0]" in line
    shutil.rmtree(repository / "tiny_normalize")
    step, config = changed_since_build(repository)
    assert step.startswith("tiny: tiny_normalize/1/model.py is missing")
    assert config.startswith("tiny: tiny_normalize/config.pbtxt is missing; build it again: ")


def tune(config: pb.ModelConfig) -> None:
    """What perf_analyzer and an operator's experience lead to."""
    config.max_batch_size = 2
    for group in config.instance_group:
        group.count = 3
        group.rate_limiter.priority = 2
    if config.HasField("dynamic_batching"):
        config.dynamic_batching.preferred_batch_size[:] = [2]
        config.dynamic_batching.max_queue_delay_microseconds = 700
        config.dynamic_batching.default_queue_policy.max_queue_size = 5
    config.response_cache.enable = False
    config.version_policy.specific.versions.append(1)
    config.optimization.priority = pb.ModelOptimizationPolicy.PRIORITY_MAX
    config.parameters["EXECUTION_ENV_PATH"].string_value = "/opt/environment.tar.gz"
    del config.model_warmup[:]


@pytest.mark.parametrize("layout", ["ensemble", "single", "fused"])
def test_what_is_tuned_is_not(layout: str, tmp_path: Path) -> None:
    repository = build(tmp_path / "r", layout)
    for path in repository.glob("*/config.pbtxt"):
        edit(repository, path.parent.name, tune)
    assert changed_since_build(repository) == []
    assert check_repository(repository, Machine()) == {"tiny": []}


def test_the_same_in_other_words_is_the_same(tmp_path: Path) -> None:
    """A number without its zeros, keys in another order, and a backend in place of a platform."""
    repository = build(tmp_path / "r", runtime="tensorrt")

    def rewrite(config: pb.ModelConfig) -> None:
        for name, parameter in config.parameters.items():
            text = json.dumps(json.loads(parameter.string_value), sort_keys=False, indent=2)
            config.parameters[name].string_value = text.replace("127.5", "1275e-1")
        if config.platform == "tensorrt_plan":
            config.platform, config.backend = "", "tensorrt"

    for path in repository.glob("*/config.pbtxt"):
        edit(repository, path.parent.name, rewrite)
    assert changed_since_build(repository) == []


def test_a_network_of_any_batch_may_be_given_larger_ones(tmp_path: Path) -> None:
    repository = build(tmp_path / "r", "single", max_batch=None)  # type: ignore[arg-type]
    edit(repository, "tiny", lambda config: setattr(config, "max_batch_size", 64))
    assert changed_since_build(repository) == []


def test_what_was_built_before_settings_were_recorded_is_served(tmp_path: Path) -> None:
    repository = build(tmp_path / "r")
    path = repository / "tiny" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["settings"]
    path.write_text(json.dumps(manifest))
    edit(repository, "tiny_normalize", DECIDES["mean"][2])
    assert changed_since_build(repository) == []


def test_only_models_that_are_served_are_looked_at(tmp_path: Path) -> None:
    repository = build(tmp_path / "r")
    edit(repository, "tiny_normalize", DECIDES["mean"][2])
    assert changed_since_build(repository, ["other"]) == []
    assert len(changed_since_build(repository, ["tiny_normalize"])) == 1


@pytest.mark.parametrize("settings", [[], {"tiny": 1}])
def test_broken_settings_are_told(settings: object, tmp_path: Path) -> None:
    repository = build(tmp_path / "r")
    path = repository / "tiny" / "1" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "settings": settings}))
    with pytest.raises(RepositoryError, match="expected 'settings' to be an object of objects"):
        changed_since_build(repository)


def test_what_is_not_built_has_none(tmp_path: Path) -> None:
    model = write_unbuilt(get_spec("fastseg-small"), tmp_path)
    assert "settings" not in json.loads((model / "1" / "manifest.json").read_text())


def test_a_model_that_was_copied_to_another_name_is_refused(tmp_path: Path) -> None:
    """Its settings speak of the folders of the other name, which are as they were."""
    repository = build(tmp_path / "repository", layout="single")
    shutil.copytree(repository / "tiny", repository / "tiny2")
    (line,) = changed_since_build(repository)
    assert line.startswith("tiny2: was built as")


def test_a_reshape_that_was_added_is_refused(tmp_path: Path) -> None:
    repository = build(tmp_path / "repository")
    edit(
        repository, "tiny_argmax", lambda config: config.input[0].reshape.shape.extend([5, 24, 16])
    )
    (line,) = changed_since_build(repository)
    assert "tiny_argmax/config.pbtxt: reshape" in line


@pytest.mark.parametrize(
    "text", [b'name: "tiny\xe9"', b"name: [", None], ids=["latin-1", "no config", "no contract"]
)
def test_an_unreadable_config_does_not_hide_the_others(text: bytes | None, tmp_path: Path) -> None:
    repository = build(tmp_path / "repository")
    edit(repository, "tiny_normalize", set_in("tritonseg_preprocessing", "mean", [1.0, 2.0, 3.0]))
    if text is None:
        edit(repository, "tiny", lambda config: config.parameters.pop(contract.CONTRACT_PARAMETER))
        (line,) = changed_since_build(repository)
        assert "tritonseg_preprocessing.mean" in line
    else:
        (repository / "tiny" / "config.pbtxt").write_bytes(text)
        with pytest.raises(RepositoryError, match="expected a Triton model config"):
            changed_since_build(repository)


@pytest.mark.parametrize("layout", ["single", "ensemble"])
def test_a_step_that_was_edited_is_refused(layout: str, tmp_path: Path) -> None:
    repository = build(tmp_path / "repository", layout)
    path = next(repository.glob("*/1/model.py"))
    path.write_text(path.read_text() + "\n# by hand\n")
    (line,) = changed_since_build(repository)
    of = path.relative_to(repository).as_posix()
    assert line.startswith(f"tiny: {of} is not the file that was built (its SHA-256 differs)")


def test_a_version_that_no_build_wrote_is_refused(tmp_path: Path) -> None:
    repository = build(tmp_path / "repository")
    shutil.copytree(repository / "tiny_engine" / "1", repository / "tiny_engine" / "2")
    (line,) = changed_since_build(repository)
    assert line == (
        "tiny: tiny_engine/2 is of no build that is recorded here, or has lost its manifest; "
        "remove that folder"
    )


@pytest.mark.parametrize("layout", ["single", "ensemble"])
def test_a_model_without_its_manifest_is_refused(layout: str, tmp_path: Path) -> None:
    repository = build(tmp_path / "repository", layout)
    (repository / "tiny" / "1" / "manifest.json").unlink()
    (line,) = changed_since_build(repository)
    assert line.startswith("tiny: its manifest.json is missing")
    assert changed_since_build(repository, ["another"]) == []
    assert list(check_repository(repository, Machine())) == ["tiny"]


def test_a_manifest_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    repository = build(tmp_path / "repository")
    (repository / "tiny" / "1" / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(RepositoryError, match="expected a JSON document"):
        changed_since_build(repository)
