"""One run of every step before its model counts as ready.

The first run allocates, loads kernels and grows shared memory; better before the first request
than in it. Triton refuses a warm-up of the ensemble itself, so its steps have one each. Only where
sizes are fixed: an open one would be warmed up at a size that may never come. Pictures are noise:
some networks divide a flat one by zero.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.repository.deployment import Deployment
from tritonseg_steps import contract

"""Where Triton looks for `input_data_file`. Source: model_config.proto, ModelWarmup."""
IMAGE_SIZE_FILE = "image_size"


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmUp:
    """What is added to a step's config, and the files that it names.

    Attributes:
        samples: For `model_warmup`.
        files: Content by name, for the folder `warmup` of the step.
    """

    samples: tuple[pb.ModelWarmup, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


def warm_up(deployment: Deployment, suffix: str) -> WarmUp:
    """Return the warm-up of one step, empty where a size is open or none is wanted."""
    size_hw = deployment.engine.sizes.fixed_hw
    scores = deployment.engine.fixed_output_dims
    if not deployment.serving.warm_up or size_hw is None or scores is None:
        return WarmUp()
    if suffix == contract.NORMALIZE_SUFFIX:
        return WarmUp(samples=(_sample(1, {contract.IMAGE: _noise(*size_hw, 3)}),))
    if suffix == contract.ENGINE_SUFFIX:
        inputs = {contract.NORMALIZED: _zeros("TYPE_FP32", 3, *size_hw)}
        return _engine_warm_up(deployment, inputs)
    return _argmax_warm_up(deployment, size_hw, scores)


def picture_warm_up(deployment: Deployment) -> WarmUp:
    """Return the warm-up of a model that takes pictures itself, empty where none is wanted."""
    size_hw = deployment.engine.sizes.fixed_hw
    if not deployment.serving.warm_up or size_hw is None:
        return WarmUp()
    return _engine_warm_up(deployment, {contract.IMAGE: _noise(*size_hw, 3)})


def _engine_warm_up(deployment: Deployment, inputs: Mapping[str, pb.ModelWarmup.Input]) -> WarmUp:
    # On the CPU the largest batch may take a minute, and needs no kernels of its own.
    largest = deployment.serving.max_batch_size if deployment.on_gpu else 1
    return WarmUp(samples=tuple(_sample(batch, inputs) for batch in sorted({1, largest})))


def _argmax_warm_up(
    deployment: Deployment, size_hw: tuple[int, int], scores: tuple[int, ...]
) -> WarmUp:
    scores_type = "TYPE_UINT8" if deployment.engine.gives_class_map else "TYPE_FP32"
    # A picture of no size would be refused, so this one input cannot be zeros.
    image_size = pb.ModelWarmup.Input(
        data_type="TYPE_INT32", dims=[2], input_data_file=IMAGE_SIZE_FILE
    )
    inputs = {
        contract.SCORES: _zeros(scores_type, *scores),
        contract.IMAGE_SIZE: image_size,
    }
    return WarmUp(
        samples=(_sample(1, inputs),), files={IMAGE_SIZE_FILE: struct.pack("<2i", *size_hw)}
    )


def _noise(*dims: int) -> pb.ModelWarmup.Input:
    return pb.ModelWarmup.Input(data_type="TYPE_UINT8", dims=dims, random_data=True)


def _zeros(data_type: str, *dims: int) -> pb.ModelWarmup.Input:
    return pb.ModelWarmup.Input(data_type=data_type, dims=dims, zero_data=True)


def _sample(batch: int, inputs: Mapping[str, pb.ModelWarmup.Input]) -> pb.ModelWarmup:
    return pb.ModelWarmup(name=f"batch of {batch}", batch_size=batch, inputs=inputs)
