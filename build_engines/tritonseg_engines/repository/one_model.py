"""The only `config.pbtxt` of a model without an ensemble: the engine's, under the model's own name.

Backend, batching and instances are those of an engine; inputs, outputs and published parameters
are those of an ensemble, so that a client does not notice.
"""

from __future__ import annotations

from collections.abc import Iterable

from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.repository.configs import (
    answer_outputs,
    digest_output,
    picture_inputs,
    published_parameters,
)
from tritonseg_engines.repository.deployment import Deployment
from tritonseg_engines.repository.engine_config import engine_config
from tritonseg_engines.repository.messages import input_tensor, output_tensor, set_parameters
from tritonseg_engines.repository.warm_up import picture_warm_up
from tritonseg_steps import contract


def single_config(deployment: Deployment) -> pb.ModelConfig:
    """Return the config of a Python model that runs all steps in its own process."""
    return _one_model(
        deployment, engine_config(deployment), picture_inputs(), answer_outputs(deployment)
    )


def fused_config(deployment: Deployment) -> pb.ModelConfig:
    """Return the config of an engine that has the steps in its graph."""
    height, width = deployment.engine.sizes.input_hw
    outputs = [output_tensor(contract.CLASS_MAP, pb.TYPE_UINT8, (height, width))]
    if not deployment.on_gpu:  # a plan answers by itself, and can give nothing that is not in it
        outputs.append(digest_output())
    return _one_model(
        deployment,
        engine_config(deployment),
        [input_tensor(contract.IMAGE, pb.TYPE_UINT8, (height, width, 3))],
        outputs,
    )


def _one_model(
    deployment: Deployment,
    config: pb.ModelConfig,
    inputs: Iterable[pb.ModelInput],
    outputs: Iterable[pb.ModelOutput],
) -> pb.ModelConfig:
    config.name = deployment.spec.name
    del config.input[:], config.output[:]
    config.input.extend(inputs)
    config.output.extend(outputs)
    set_parameters(config, published_parameters(deployment))
    config.model_warmup.extend(picture_warm_up(deployment).samples)
    return config
