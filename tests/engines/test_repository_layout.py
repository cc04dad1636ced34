"""What is written for a GPU, for the CPU, and before anything is built."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import model_config_pb2 as pb

from tensorrt_machines import L4
from tiny_models import SIZE_HW, SIZES, tiny_spec
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository import Deployment, Engine, Provenance, Serving, write_model
from tritonseg_engines.repository.check import (
    built_models,
    changed_since_build,
    check_repository,
)
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.target import ServingLayout
from tritonseg_engines.tensorrt import Machine
from tritonseg_steps import contract
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.upsampling import Upsampling

SERVING = Serving(
    max_batch_size=4,
    engine_instances=2,
    step_instances=3,
    queue_delay_us=250,
    preferred_batch_sizes=(2, 4),
    max_queue_size=16,
)


def deployment(runtime: str = "tensorrt", *, fixed: bool = True, **changes: Any) -> Deployment:
    provenance = Provenance(
        onnx_sha256="0" * 64, precision="fp16", runtime=runtime, tritonseg_version="1"
    )
    engine = Engine(
        file="model.plan" if runtime == "tensorrt" else "model.onnx",
        sizes=SIZES if fixed else NetworkSizes(),
        output_dims=(5, 16, 24) if fixed else (5, None, None),
        upsampling=Upsampling(**changes.pop("upsampling", {})),
    )
    return Deployment(spec=tiny_spec(), engine=engine, provenance=provenance, **changes)


def write(repository: Path, of: Deployment, **keywords: Any) -> dict[str, pb.ModelConfig]:
    built = repository.parent / "built.bin"
    built.write_bytes(b"the engine")
    manifest = {"provenance": {"runtime": of.provenance.runtime, "precision": "fp16"}}
    write_model(repository, of, built, manifest, **keywords)
    return {path.parent.name: read_config(path) for path in repository.glob("*/config.pbtxt")}


def test_a_plan_is_run_by_tensorrts_own_backend(tmp_path: Path) -> None:
    configs = write(tmp_path / "r", deployment(serving=SERVING))
    engine = configs["tiny_engine"]
    assert (engine.platform, engine.backend) == ("tensorrt_plan", "")
    assert engine.default_model_filename == "model.plan"
    (group,) = engine.instance_group
    assert (group.kind, group.count) == (pb.ModelInstanceGroup.KIND_GPU, 2)
    folder = tmp_path / "r" / "tiny_engine" / "1"
    assert [path.name for path in folder.iterdir()] == ["model.plan"]
    assert (folder / "model.plan").read_bytes() == b"the engine"
    (tensor,) = engine.input
    assert (tensor.name, list(tensor.dims)) == (contract.NORMALIZED, [3, *SIZE_HW])
    assert (
        json.loads(engine.parameters[contract.CONTRACT_PARAMETER].string_value)
        == contract.CONTRACT_VERSION
    )


def test_serving_reaches_every_config(tmp_path: Path) -> None:
    configs = write(tmp_path / "r", deployment(serving=SERVING))
    assert {config.max_batch_size for config in configs.values()} == {4}
    batching = configs["tiny_engine"].dynamic_batching
    assert list(batching.preferred_batch_size) == [2, 4]
    assert batching.max_queue_delay_microseconds == 250
    assert batching.default_queue_policy.max_queue_size == 16
    for step in ("tiny_normalize", "tiny_argmax"):
        (group,) = configs[step].instance_group
        assert (group.kind, group.count) == (pb.ModelInstanceGroup.KIND_CPU, 3)


def limits(configs: dict[str, pb.ModelConfig]) -> dict[str, dict[str, str]]:
    keys = (contract.QUEUE_PARAMETER, contract.QUEUE_TIME_PARAMETER, contract.IN_FLIGHT_PARAMETER)
    return {
        name: {key: config.parameters[key].string_value for key in keys if key in config.parameters}
        for name, config in configs.items()
        if any(key in config.parameters for key in keys)
    }


def test_the_first_step_has_a_line_and_no_step_on_the_cpu_tritons_batcher(tmp_path: Path) -> None:
    """The batcher sleeps for seconds while pictures of different sizes wait."""
    serving = Serving(max_queue_size=9, queue_time_ms=700)
    configs = write(tmp_path / "r", deployment("openvino", serving=serving))
    assert not any(config.HasField("dynamic_batching") for config in configs.values())
    assert limits(configs) == {
        "tiny_normalize": {contract.QUEUE_PARAMETER: "9", contract.QUEUE_TIME_PARAMETER: "700"}
    }
    unlimited = write(tmp_path / "u", deployment("openvino", serving=Serving(max_queue_size=0)))
    assert limits(unlimited) == {}


def test_in_front_of_a_gpu_the_first_step_refuses_before_the_engine_would(tmp_path: Path) -> None:
    configs = write(tmp_path / "r", deployment(serving=SERVING))
    assert limits(configs) == {
        "tiny_normalize": {contract.QUEUE_PARAMETER: "16", contract.IN_FLIGHT_PARAMETER: "16"}
    }
    on_gpu = write(tmp_path / "g", deployment(serving=replace(SERVING, argmax_on_gpu=True)))
    assert limits(on_gpu) == limits(configs)


@pytest.mark.parametrize("fields", [{"queue_delay_us": 100}, {"preferred_batch_sizes": (2,)}])
def test_what_only_a_batcher_has_is_refused_for_the_cpu(fields: dict[str, Any]) -> None:
    (name,) = fields
    with pytest.raises(RepositoryError, match=f"serving.{name}: expected the runtime tensorrt"):
        deployment("openvino", serving=Serving(**fields))


def test_argmax_on_the_gpu_is_one_process_and_takes_the_scores_from_the_host(
    tmp_path: Path,
) -> None:
    serving = Serving(step_instances=3, argmax_on_gpu=True)
    configs = write(tmp_path / "r", deployment(serving=serving))
    kinds = pb.ModelInstanceGroup
    expected = {"tiny_normalize": (kinds.KIND_CPU, 3, []), "tiny_argmax": (kinds.KIND_GPU, 1, [0])}
    for step, placed in expected.items():
        (group,) = configs[step].instance_group
        assert (group.kind, group.count, list(group.gpus)) == placed
        assert "FORCE_CPU_ONLY_INPUT_TENSORS" not in configs[step].parameters
    with pytest.raises(RepositoryError, match="expected the runtime tensorrt in the layout ens"):
        deployment("openvino", serving=serving)


def test_the_ensemble_has_what_triton_allows_it(tmp_path: Path) -> None:
    """Source: core `model_config_utils.cc`: no instances, batching, optimization or warm-up."""
    ensemble = write(tmp_path / "r", deployment())["tiny"]
    for forbidden in ("instance_group", "model_warmup"):
        assert not getattr(ensemble, forbidden)
    for forbidden in ("dynamic_batching", "optimization"):
        assert not ensemble.HasField(forbidden)


def test_the_config_for_the_cpu_is_a_python_step(tmp_path: Path) -> None:
    engine = write(tmp_path / "r", deployment("openvino"))["tiny_engine"]
    assert (engine.platform, engine.backend) == ("", "python")
    assert engine.instance_group[0].kind == pb.ModelInstanceGroup.KIND_CPU
    files = {path.name for path in (tmp_path / "r" / "tiny_engine" / "1").iterdir()}
    assert files == {"model.onnx", "model.py"}


@pytest.mark.parametrize("runtime", ["tensorrt", "openvino"])
def test_a_warm_up_feeds_every_input_as_its_config_has_it(runtime: str, tmp_path: Path) -> None:
    serving = SERVING if runtime == "tensorrt" else Serving(max_batch_size=4)
    configs = write(tmp_path / "r", deployment(runtime, serving=serving))
    for name in ("tiny_normalize", "tiny_engine", "tiny_argmax"):
        for sample in configs[name].model_warmup:
            needed = [tensor for tensor in configs[name].input if tensor.name in sample.inputs]
            optional = {tensor.name for tensor in configs[name].input if tensor.optional}
            assert set(sample.inputs) | optional == {t.name for t in configs[name].input}
            for tensor in needed:
                fed = sample.inputs[tensor.name]
                assert fed.data_type == tensor.data_type
                assert len(fed.dims) == len(tensor.dims)
                assert all(
                    want in (-1, got) for want, got in zip(tensor.dims, fed.dims, strict=True)
                )
    batches = [sample.batch_size for sample in configs["tiny_engine"].model_warmup]
    assert batches == ([1, 4] if runtime == "tensorrt" else [1])


def test_the_warm_up_of_argmax_has_a_picture_of_the_networks_size(tmp_path: Path) -> None:
    (sample,) = write(tmp_path / "r", deployment())["tiny_argmax"].model_warmup
    name = sample.inputs[contract.IMAGE_SIZE].input_data_file
    content = (tmp_path / "r" / "tiny_argmax" / "warmup" / name).read_bytes()
    assert tuple(np.frombuffer(content, "<i4")) == SIZE_HW == struct.unpack("<2i", content)


@pytest.mark.parametrize(
    "without", [deployment(fixed=False), deployment(serving=Serving(warm_up=False))]
)
def test_open_sizes_are_not_warmed_up(without: Deployment, tmp_path: Path) -> None:
    configs = write(tmp_path / "r", without)
    assert not any(config.model_warmup for config in configs.values())
    assert not list(tmp_path.glob("r/*/warmup"))


def test_a_class_map_is_warmed_up_as_one(tmp_path: Path) -> None:
    of = deployment(upsampling={"kind": "class_map", "confidence": None})
    (sample,) = write(tmp_path / "r", of)["tiny_argmax"].model_warmup
    assert sample.inputs[contract.SCORES].data_type == pb.TYPE_UINT8


def test_every_engine_file_has_its_checksum(tmp_path: Path) -> None:
    write(tmp_path / "r", deployment())
    manifest = json.loads((tmp_path / "r" / "tiny" / "1" / "manifest.json").read_text())
    digest = hashlib.sha256(b"the engine").hexdigest()
    steps = {
        f"tiny_{step}/1/model.py": hashlib.sha256(
            (tmp_path / "r" / f"tiny_{step}" / "1" / "model.py").read_bytes()
        ).hexdigest()
        for step in ("normalize", "argmax")
    }
    assert manifest["files"] == {"tiny_engine/1/model.plan": digest, **steps}
    assert manifest["model"] == "tiny"
    assert built_models(tmp_path / "r") == ("tiny",)


@pytest.mark.parametrize("layout", ["ensemble", "single"])
def test_the_config_of_a_cpu_engine_has_the_checksum_too(layout: str, tmp_path: Path) -> None:
    configs = write(tmp_path / "r", deployment("openvino", layout=ServingLayout(layout)))
    engine = configs["tiny_engine" if layout == "ensemble" else "tiny"]
    document = json.loads(engine.parameters[contract.ENGINE_PARAMETER].string_value)
    assert document["sha256"] == hashlib.sha256(b"the engine").hexdigest()


def test_only_engines_of_models_that_tritonseg_built_are_compared(tmp_path: Path) -> None:
    repository = tmp_path / "r"
    write(repository, deployment("openvino"))
    other = repository / "other"
    (other / "1").mkdir(parents=True)
    (other / "config.pbtxt").write_text('name: "other"\n')
    (other / "1" / "manifest.json").write_text("of somebody else")
    assert changed_since_build(repository) == []
    (repository / "tiny_engine" / "1" / "model.onnx").write_bytes(b"another")
    (problem,) = changed_since_build(repository)
    assert problem.startswith("tiny: tiny_engine/1/model.onnx is not the file that was built")
    assert changed_since_build(repository, ["tiny_engine"]) == [problem]
    assert changed_since_build(repository, ["other"]) == []
    (repository / "tiny" / "1" / "manifest.json").write_text("{")
    with pytest.raises(RepositoryError, match="expected a JSON document"):
        changed_since_build(repository)


def test_no_version_folder_is_empty(tmp_path: Path) -> None:
    """Triton wants them, and git drops those in which nothing is."""
    write_model(tmp_path / "r", deployment(), None, {"provenance": {"runtime": "tensorrt"}})
    folders = sorted(tmp_path.glob("r/*/1"))
    assert len(folders) == 4
    assert all(any(folder.iterdir()) for folder in folders)
    assert built_models(tmp_path / "r") == ()


def test_a_repository_as_built_has_no_problems(tmp_path: Path) -> None:
    write(tmp_path / "r", deployment("openvino"))
    assert check_repository(tmp_path / "r", Machine()) == {"tiny": []}


def test_what_is_wrong_with_a_repository_is_told(tmp_path: Path) -> None:
    repository = tmp_path / "r"
    write(repository, deployment("openvino"))
    engine = repository / "tiny_engine" / "1" / "model.onnx"
    engine.write_bytes(b"another engine")
    (line,) = check_repository(repository, Machine())["tiny"]
    assert "tiny_engine/1/model.onnx is not the file that was built" in line
    engine.unlink()
    assert "is missing" in check_repository(repository, Machine())["tiny"][0]


def test_another_contract_is_told(tmp_path: Path) -> None:
    write(tmp_path / "r", deployment("openvino"))
    config = tmp_path / "r" / "tiny" / "config.pbtxt"
    text = config.read_text()
    config.write_text(text.replace(rf'"\"{contract.CONTRACT_VERSION}\""', r'"\"0\""'))
    assert config.read_text() != text
    (line,) = check_repository(tmp_path / "r", Machine())["tiny"]
    assert 'contract "0"' in line


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_broken_manifest_is_told(content: str, tmp_path: Path) -> None:
    write(tmp_path / "r", deployment("openvino"))
    (tmp_path / "r" / "tiny" / "1" / "manifest.json").write_text(content)
    (line,) = check_repository(tmp_path / "r", Machine())["tiny"]
    assert "manifest.json: expected" in line


def test_an_unbuilt_plan_is_told(tmp_path: Path) -> None:
    write_model(tmp_path / "r", deployment(), None, {"provenance": {"runtime": "tensorrt"}})
    machine = Machine(gpus=(L4,), tensorrt_version="11.4.0")
    (line,) = check_repository(tmp_path / "r", machine)["tiny"]
    assert line == (
        "no plan has been built yet; build it here: tritonseg build SPEC.yaml --onnx FILE "
        f"--repository {tmp_path / 'r'} --runtime tensorrt"
    )


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="no model that tritonseg built"):
        check_repository(tmp_path, Machine())
    with pytest.raises(RepositoryError, match="there is no model repository"):
        check_repository(tmp_path / "absent", Machine())


def test_every_answer_says_which_build_gave_it_but_a_plans_own(tmp_path: Path) -> None:
    digests = set()
    for layout, runtime in (
        ("ensemble", "tensorrt"),
        ("single", "openvino"),
        ("fused", "openvino"),
    ):
        configs = write(tmp_path / "r", deployment(runtime, layout=ServingLayout(layout)))
        answering = configs.get("tiny_argmax", configs["tiny"])
        for config in (configs["tiny"], answering):
            (output,) = (one for one in config.output if one.name == contract.MODEL_DIGEST)
            assert (output.data_type, list(output.dims)) == (pb.TYPE_UINT8, [32])
        texts = {
            config.parameters[contract.DIGEST_PARAMETER].string_value
            for config in (configs["tiny"], answering)
        }
        (text,) = texts
        digests.add(text)
    assert len(digests) == 3
    plan = write(tmp_path / "r", deployment("tensorrt", layout=ServingLayout.FUSED))["tiny"]
    assert [output.name for output in plan.output] == [contract.CLASS_MAP]
