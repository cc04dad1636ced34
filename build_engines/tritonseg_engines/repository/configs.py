"""The four `config.pbtxt` of a model, built as protobuf messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.repository.deployment import Deployment
from tritonseg_engines.repository.engine_config import engine_config, queue_parameters, scores_type
from tritonseg_engines.repository.messages import (
    ANY,
    input_tensor,
    output_tensor,
    set_parameters,
)
from tritonseg_engines.repository.warm_up import warm_up
from tritonseg_engines.target import ServingLayout
from tritonseg_steps import contract
from tritonseg_steps.digest import published_digest


def model_configs(deployment: Deployment) -> dict[str, pb.ModelConfig]:
    """Return the configs of the ensemble and its three steps by folder name."""
    steps = {
        contract.NORMALIZE_SUFFIX: _normalize(deployment),
        contract.ENGINE_SUFFIX: engine_config(deployment),
        contract.ARGMAX_SUFFIX: _argmax(deployment),
    }
    for suffix, config in steps.items():
        config.model_warmup.extend(warm_up(deployment, suffix).samples)
    return {config.name: config for config in (_ensemble(deployment), *steps.values())}


def published_parameters(deployment: Deployment) -> dict[str, Any]:
    """Return what a client reads off the model that it calls, by parameter."""
    return {
        **_description(deployment),
        contract.DIGEST_PARAMETER: model_digest(deployment),
    }


def model_digest(deployment: Deployment) -> str:
    """Return the digest of what a model publishes."""
    fused = deployment.layout is ServingLayout.FUSED
    return published_digest(_description(deployment), fused=fused)


def _description(deployment: Deployment) -> dict[str, Any]:
    spec, reach = deployment.spec, deployment.engine.reach
    return {
        contract.MODEL_PARAMETER: {
            "name": spec.name,
            "classes": list(spec.classes),
            "palette": [list(color) for color in spec.palette],
            "ignore_index": spec.ignore_index,
            "license": spec.license,
            "source": spec.source,
            **({} if reach is None else {"reach": dict(reach)}),
        },
        contract.PREPROCESSING_PARAMETER: spec.preprocessing.to_json(),
        contract.NETWORK_SIZES_PARAMETER: deployment.engine.sizes.to_json(),
        contract.UPSAMPLING_PARAMETER: deployment.engine.upsampling.to_json(),
        contract.PROVENANCE_PARAMETER: asdict(deployment.provenance),
    }


def folder_names(model: str) -> tuple[str, str, str, str]:
    """Return the names of the four models that serve one: the ensemble, then its steps."""
    return (
        model,
        model + contract.NORMALIZE_SUFFIX,
        model + contract.ENGINE_SUFFIX,
        model + contract.ARGMAX_SUFFIX,
    )


def _ensemble(deployment: Deployment) -> pb.ModelConfig:
    name, normalize, engine, argmax = folder_names(deployment.spec.name)
    config = pb.ModelConfig(
        name=name,
        platform="ensemble",
        max_batch_size=deployment.serving.max_batch_size,
        input=picture_inputs(),
        output=answer_outputs(deployment),
    )
    answer = [output.name for output in config.output]
    config.ensemble_scheduling.step.extend(
        [
            _ensemble_step(
                normalize,
                (contract.IMAGE, contract.ENCODED_IMAGE),
                (contract.NORMALIZED, contract.IMAGE_SIZE),
            ),
            _ensemble_step(engine, (contract.NORMALIZED,), (contract.SCORES,)),
            _ensemble_step(argmax, (contract.SCORES, contract.IMAGE_SIZE), answer),
        ]
    )
    set_parameters(config, published_parameters(deployment))
    return config


def picture_inputs() -> list[pb.ModelInput]:
    """Return the two ways to bring a picture; a request takes one of them."""
    inputs = [
        input_tensor(contract.IMAGE, pb.TYPE_UINT8, (ANY, ANY, 3)),
        input_tensor(contract.ENCODED_IMAGE, pb.TYPE_STRING, (1,)),
    ]
    for tensor in inputs:
        tensor.optional = True
    return inputs


def digest_output() -> pb.ModelOutput:
    """Return the output that says which build answered."""
    return output_tensor(contract.MODEL_DIGEST, pb.TYPE_UINT8, (contract.DIGEST_BYTES,))


def answer_outputs(deployment: Deployment) -> list[pb.ModelOutput]:
    """Return what an answer may hold; all but the first two only where it is asked for."""
    outputs = [
        output_tensor(contract.CLASS_MAP, pb.TYPE_UINT8, (ANY, ANY)),
        digest_output(),
        output_tensor(contract.CLASS_PIXELS, pb.TYPE_INT64, (len(deployment.spec.classes),)),
    ]
    if deployment.engine.upsampling.confidence is not None:
        outputs.append(output_tensor(contract.CONFIDENCE, pb.TYPE_UINT8, (ANY, ANY)))
    return outputs


def _normalize(deployment: Deployment) -> pb.ModelConfig:
    height, width = deployment.engine.sizes.input_hw
    config = _step(deployment, contract.NORMALIZE_SUFFIX)
    config.input.extend(picture_inputs())
    config.output.extend(
        [
            output_tensor(contract.NORMALIZED, pb.TYPE_FP32, (3, height, width)),
            output_tensor(contract.IMAGE_SIZE, pb.TYPE_INT32, (2,)),
        ]
    )
    set_parameters(
        config,
        {
            contract.PREPROCESSING_PARAMETER: deployment.spec.preprocessing.to_json(),
            contract.NETWORK_SIZES_PARAMETER: deployment.engine.sizes.to_json(),
            **queue_parameters(deployment),
        },
    )
    return config


def _argmax(deployment: Deployment) -> pb.ModelConfig:
    on_gpu = deployment.serving.argmax_on_gpu
    config = _step(deployment, contract.ARGMAX_SUFFIX, on_gpu=on_gpu)
    scores = (contract.SCORES, scores_type(deployment), deployment.engine.output_dims)
    config.input.extend(
        [input_tensor(*scores), input_tensor(contract.IMAGE_SIZE, pb.TYPE_INT32, (2,))]
    )
    config.output.extend(answer_outputs(deployment))
    set_parameters(
        config,
        {
            contract.PREPROCESSING_PARAMETER: deployment.spec.preprocessing.to_json(),
            contract.NETWORK_SIZES_PARAMETER: deployment.engine.sizes.to_json(),
            contract.UPSAMPLING_PARAMETER: deployment.engine.upsampling.to_json(),
            contract.DIGEST_PARAMETER: model_digest(deployment),
        },
    )
    return config


def _step(deployment: Deployment, suffix: str, *, on_gpu: bool = False) -> pb.ModelConfig:
    kinds = pb.ModelInstanceGroup
    return pb.ModelConfig(
        name=deployment.spec.name + suffix,
        backend="python",
        max_batch_size=deployment.serving.max_batch_size,
        instance_group=[
            pb.ModelInstanceGroup(
                kind=kinds.KIND_GPU if on_gpu else kinds.KIND_CPU,
                # Every process on a GPU takes a CUDA context of its own; unnamed, each GPU has one.
                count=1 if on_gpu else deployment.serving.step_instances,
                gpus=[0] if on_gpu else [],
            )
        ],
    )


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
