"""The only `config.pbtxt` of a fused model: the engine's, under the model's own name."""

from __future__ import annotations

from collections.abc import Iterable

from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.repository.configs import published_parameters
from tritonseg_engines.repository.deployment import Deployment
from tritonseg_engines.repository.engine_config import engine_config
from tritonseg_engines.repository.messages import input_tensor, output_tensor, set_parameters
from tritonseg_engines.repository.warm_up import fused_warm_up
from tritonseg_steps import contract


def fused_config(deployment: Deployment, fleet: Iterable[str] = ()) -> pb.ModelConfig:
    """Return the config: backend, batching and instances of the engine, tensors of the ensemble.

    Args:
        deployment: Of the fused layout.
        fleet: Compute capabilities that have a plan of their own; see `engine_config`.
    """
    config = engine_config(deployment, fleet)
    config.name = deployment.spec.name
    del config.input[:], config.output[:]
    height, width = deployment.engine.input_hw
    config.input.append(input_tensor(contract.IMAGE, pb.TYPE_UINT8, (height, width, 3)))
    config.output.append(output_tensor(contract.CLASS_MAP, pb.TYPE_UINT8, (height, width)))
    set_parameters(config, published_parameters(deployment))
    config.model_warmup.extend(fused_warm_up(deployment).samples)
    return config
