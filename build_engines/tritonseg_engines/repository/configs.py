"""The four `config.pbtxt` of a model, built as protobuf messages.

Source of every field: triton-inference-server/common, `protobuf/model_config.proto`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.spec import ModelSpec
from tritonseg_steps import contract
from tritonseg_steps.upsampling import Upsampling

ANY = -1
"""A dimension that Triton leaves open."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Where an engine comes from; published in the ensemble's parameters.

    Attributes:
        onnx_sha256: Digest of the ONNX file that was built, in hexadecimal digits.
        precision: "fp32", "fp16" or "int8".
        runtime: "openvino" or "tensorrt".
        tritonseg_version: Version that built it.
    """

    onnx_sha256: str
    precision: str
    runtime: str
    tritonseg_version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """The built network as Triton sees it.

    Attributes:
        file: Name of the file in the version folder.
        input_hw: Height and width that it takes, None where left open.
        output_dims: Its output without the batch axis, None where left open.
        upsampling: What the argmax step does with that output.
    """

    file: str
    input_hw: tuple[int | None, int | None]
    output_dims: tuple[int | None, ...]
    upsampling: Upsampling


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """Everything the four configs are written from."""

    spec: ModelSpec
    engine: Engine
    provenance: Provenance
    max_batch_size: int = 8


def model_configs(deployment: Deployment) -> dict[str, pb.ModelConfig]:
    """Return the configs of the ensemble and its three steps by folder name."""
    configs = (
        _ensemble(deployment),
        _normalize(deployment),
        _engine(deployment),
        _argmax(deployment),
    )
    return {config.name: config for config in configs}


def folder_names(model: str) -> tuple[str, str, str, str]:
    """Return the names of the four models that serve one: the ensemble, then its steps."""
    return (
        model,
        model + contract.NORMALIZE_SUFFIX,
        model + contract.ENGINE_SUFFIX,
        model + contract.ARGMAX_SUFFIX,
    )


def _ensemble(deployment: Deployment) -> pb.ModelConfig:
    spec = deployment.spec
    name, normalize, engine, argmax = folder_names(spec.name)
    config = pb.ModelConfig(
        name=name,
        platform="ensemble",
        max_batch_size=deployment.max_batch_size,
        input=[_input(contract.IMAGE, pb.TYPE_UINT8, (ANY, ANY, 3))],
        output=[_output(contract.CLASS_MAP, pb.TYPE_UINT8, (ANY, ANY))],
    )
    config.ensemble_scheduling.step.extend(
        [
            _ensemble_step(
                normalize, (contract.IMAGE,), (contract.NORMALIZED, contract.IMAGE_SIZE)
            ),
            _ensemble_step(engine, (contract.NORMALIZED,), (contract.SCORES,)),
            _ensemble_step(argmax, (contract.SCORES, contract.IMAGE_SIZE), (contract.CLASS_MAP,)),
        ]
    )
    _set_parameters(
        config,
        {
            contract.MODEL_PARAMETER: {
                "name": spec.name,
                "classes": list(spec.classes),
                "palette": [list(color) for color in spec.palette],
                "ignore_index": spec.ignore_index,
                "license": spec.license,
                "source": spec.source,
            },
            contract.PREPROCESSING_PARAMETER: spec.preprocessing.to_json(),
            contract.UPSAMPLING_PARAMETER: deployment.engine.upsampling.to_json(),
            contract.PROVENANCE_PARAMETER: asdict(deployment.provenance),
        },
    )
    return config


def _normalize(deployment: Deployment) -> pb.ModelConfig:
    height, width = deployment.engine.input_hw
    config = _python_model(deployment, contract.NORMALIZE_SUFFIX)
    config.input.append(_input(contract.IMAGE, pb.TYPE_UINT8, (ANY, ANY, 3)))
    config.output.extend(
        [
            _output(contract.NORMALIZED, pb.TYPE_FP32, (3, height, width)),
            _output(contract.IMAGE_SIZE, pb.TYPE_INT32, (2,)),
        ]
    )
    preprocessing = deployment.spec.preprocessing.to_json()
    _set_parameters(config, {contract.PREPROCESSING_PARAMETER: preprocessing})
    return config


def _engine(deployment: Deployment) -> pb.ModelConfig:
    height, width = deployment.engine.input_hw
    config = _python_model(deployment, contract.ENGINE_SUFFIX)
    config.input.append(_input(contract.NORMALIZED, pb.TYPE_FP32, (3, height, width)))
    config.output.append(_scores(deployment, _output))
    config.dynamic_batching.SetInParent()
    engine = {"file": deployment.engine.file, "precision": deployment.provenance.precision}
    _set_parameters(config, {contract.ENGINE_PARAMETER: engine})
    return config


def _argmax(deployment: Deployment) -> pb.ModelConfig:
    config = _python_model(deployment, contract.ARGMAX_SUFFIX)
    config.input.extend(
        [_scores(deployment, _input), _input(contract.IMAGE_SIZE, pb.TYPE_INT32, (2,))]
    )
    config.output.append(_output(contract.CLASS_MAP, pb.TYPE_UINT8, (ANY, ANY)))
    _set_parameters(
        config,
        {
            contract.PREPROCESSING_PARAMETER: deployment.spec.preprocessing.to_json(),
            contract.UPSAMPLING_PARAMETER: deployment.engine.upsampling.to_json(),
        },
    )
    return config


def _python_model(deployment: Deployment, suffix: str) -> pb.ModelConfig:
    return pb.ModelConfig(
        name=deployment.spec.name + suffix,
        backend="python",
        max_batch_size=deployment.max_batch_size,
        instance_group=[pb.ModelInstanceGroup(kind=pb.ModelInstanceGroup.KIND_CPU, count=1)],
    )


def _scores(deployment: Deployment, tensor: Any) -> Any:
    is_scores = deployment.engine.upsampling.kind == "scores"
    data_type = pb.TYPE_FP32 if is_scores else pb.TYPE_UINT8
    return tensor(contract.SCORES, data_type, deployment.engine.output_dims)


def _input(name: str, data_type: int, dims: Iterable[int | None]) -> pb.ModelInput:
    return pb.ModelInput(name=name, data_type=data_type, dims=_dims(dims))


def _output(name: str, data_type: int, dims: Iterable[int | None]) -> pb.ModelOutput:
    return pb.ModelOutput(name=name, data_type=data_type, dims=_dims(dims))


def _dims(dims: Iterable[int | None]) -> list[int]:
    return [ANY if dim is None else dim for dim in dims]


def _ensemble_step(
    model: str, inputs: Iterable[str], outputs: Iterable[str]
) -> pb.ModelEnsembling.Step:
    """Connect tensors of the same name; -1 asks for the newest version."""
    return pb.ModelEnsembling.Step(
        model_name=model,
        model_version=-1,
        input_map={name: name for name in inputs},
        output_map={name: name for name in outputs},
    )


def _set_parameters(config: pb.ModelConfig, documents: dict[str, Any]) -> None:
    contract_version = {contract.CONTRACT_PARAMETER: contract.CONTRACT_VERSION}
    for key, document in {**contract_version, **documents}.items():
        config.parameters[key].string_value = json.dumps(document, sort_keys=True)
