"""The engine's `config.pbtxt`: TensorRT's own backend on a GPU, a Python step on the CPU."""

from __future__ import annotations

from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.repository.deployment import Deployment
from tritonseg_engines.repository.messages import input_tensor, output_tensor, set_parameters
from tritonseg_engines.target import ServingLayout
from tritonseg_steps import contract


def engine_config(deployment: Deployment) -> pb.ModelConfig:
    """Return the config; the deployment's runtime decides which of the two."""
    config = _tensorrt(deployment) if deployment.on_gpu else _openvino(deployment)
    height, width = deployment.engine.sizes.input_hw
    config.input.append(input_tensor(contract.NORMALIZED, pb.TYPE_FP32, (3, height, width)))
    scores = (contract.SCORES, scores_type(deployment), deployment.engine.output_dims)
    config.output.append(output_tensor(*scores))
    _set_batching(config, deployment)
    return config


def scores_type(deployment: Deployment) -> int:
    """Return the type of SCORES, which are class indices if the network has its own argmax."""
    return int(pb.TYPE_UINT8 if deployment.engine.gives_class_map else pb.TYPE_FP32)


def _tensorrt(deployment: Deployment) -> pb.ModelConfig:
    config = pb.ModelConfig(
        name=deployment.spec.name + contract.ENGINE_SUFFIX,
        platform="tensorrt_plan",
        default_model_filename=deployment.engine.file,
        instance_group=[
            pb.ModelInstanceGroup(
                kind=pb.ModelInstanceGroup.KIND_GPU, count=deployment.serving.engine_instances
            )
        ],
    )
    set_parameters(config, {})
    return config


def _openvino(deployment: Deployment) -> pb.ModelConfig:
    config = pb.ModelConfig(
        name=deployment.spec.name + contract.ENGINE_SUFFIX,
        backend="python",
        instance_group=[
            pb.ModelInstanceGroup(
                kind=pb.ModelInstanceGroup.KIND_CPU, count=deployment.serving.engine_instances
            )
        ],
    )
    engine = {
        "file": deployment.engine.file,
        "precision": deployment.provenance.precision,
        "int8_cpu": deployment.engine.int8_cpu,
        "sha256": deployment.provenance.engine_sha256,
    }
    parameters: dict[str, Any] = {
        contract.ENGINE_PARAMETER: engine,
        contract.NETWORK_SIZES_PARAMETER: deployment.engine.sizes.to_json(),
    }
    if deployment.layout is not ServingLayout.ENSEMBLE:
        parameters.update(queue_parameters(deployment))
    set_parameters(config, parameters)
    return config


def queue_parameters(deployment: Deployment) -> dict[str, int]:
    """Return what limits the line in the first step, which takes a step on the CPU."""
    serving = deployment.serving
    if not serving.max_queue_size:
        return {}
    limits = {contract.QUEUE_PARAMETER: serving.max_queue_size}
    if deployment.on_gpu:
        # Before the engine's own queue is full, which would waste the first step's work.
        limits[contract.IN_FLIGHT_PARAMETER] = serving.max_queue_size
    elif serving.queue_time_ms:
        limits[contract.QUEUE_TIME_PARAMETER] = serving.queue_time_ms
    return limits


def _set_batching(config: pb.ModelConfig, deployment: Deployment) -> None:
    serving = deployment.serving
    config.max_batch_size = serving.max_batch_size
    # A CPU gains nothing by merging, what is of many sizes is hardly ever merged, and the batcher
    # sleeps for seconds over it.
    if not deployment.on_gpu or None in deployment.engine.sizes.input_hw:
        return
    batching = config.dynamic_batching
    batching.SetInParent()
    batching.preferred_batch_size.extend(serving.preferred_batch_sizes)
    batching.max_queue_delay_microseconds = serving.queue_delay_us
    if serving.max_queue_size:
        batching.default_queue_policy.max_queue_size = serving.max_queue_size
