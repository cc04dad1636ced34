"""How much of /dev/shm the Python models need that tritonseg built.

Tensors cross shared memory on their way in and out of every process of a Python model, and what was
taken once is kept:

    sum over processes of: PROCESS_BYTES + largest batch * (bytes in + bytes out of one picture)

of every version, for pictures of the network's size, and every output asked for. An engine that is
no Python model has no part in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.files import (
    CONFIG_FILE,
    FIRST_VERSION,
    read_config,
    version_folders,
)
from tritonseg_engines.repository.messages import ANY, texts_of
from tritonseg_engines.repository.served_versions import served_versions
from tritonseg_steps import contract
from tritonseg_steps.network_sizes import NetworkSizes

PROCESS_BYTES: Final = 4 * 2**20
"""Beside the tensors; on Triton 2.51 it was 3.6 MB for one process, 2.7 to 3.1 each for three."""
OPEN_SIZE_HW: Final = (1024, 2048)
"""Taken for pictures where the network takes any: what the published models are made for."""
MIB: Final = 2**20
_ITEM_BYTES: Final = {
    pb.TYPE_UINT8: 1, pb.TYPE_FP16: 2, pb.TYPE_FP32: 4, pb.TYPE_INT32: 4, pb.TYPE_INT64: 8,
}  # fmt: skip


def shared_memory_mib(
    repository: Path,
    models: Collection[str] = (),
    *,
    picture_hw: tuple[int, int] | None = None,
    largest_batch: int | None = None,
) -> int:
    """Return how large /dev/shm must be, in MiB, rounded up; 0 without such a model.

    Args:
        repository: Folder that Triton is to be started on.
        models: Only these Triton models and what they consist of; empty for all.
        picture_hw: The largest picture that callers send; None for the network's own size, or
            where that is open `OPEN_SIZE_HW`.
        largest_batch: At most so many pictures at once; None for what the configs allow.

    Raises:
        RepositoryError: There is no model, or a config that cannot be read.
    """
    configs = {
        path.parent.name: read_config(path)
        for path in sorted(repository.glob(f"*/{CONFIG_FILE}"))
        if not path.parent.name.startswith(".")
    }
    if not configs:
        raise RepositoryError(f"{repository} holds no model (no */{CONFIG_FILE})")
    versions = {
        name: served_versions(config, version_folders(repository / name)) or {FIRST_VERSION}
        for name, config in configs.items()
    }
    sizes = {
        step: size_hw
        for name, config in configs.items()
        for step, size_hw in _network_sizes(config, versions[name])
    }
    served = {*models, *(step for name in models for step in _steps(configs.get(name)))}
    total = sum(
        len(versions[name])
        * _model_bytes(config, picture_hw or sizes.get(name) or OPEN_SIZE_HW, largest_batch)
        for name, config in configs.items()
        if not models or name in served
    )
    return math.ceil(total / MIB)


def _steps(config: pb.ModelConfig | None) -> list[str]:
    return [] if config is None else [one.model_name for one in config.ensemble_scheduling.step]


def _network_sizes(
    config: pb.ModelConfig, versions: Collection[str]
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the network's size for a model that clients call, and for each step of it."""
    if contract.NETWORK_SIZES_PARAMETER not in config.parameters:
        return
    texts = {texts_of(config, one)[contract.NETWORK_SIZES_PARAMETER] for one in versions}
    sizes_hw = [size_hw for text in texts if (size_hw := _fixed_hw(config.name, text)) is not None]
    if len(sizes_hw) == len(texts):
        largest_hw = max(sizes_hw, key=math.prod)
        yield from ((name, largest_hw) for name in (config.name, *_steps(config)))


def _fixed_hw(model: str, text: str) -> tuple[int, int] | None:
    try:
        return NetworkSizes.from_json(json.loads(text)).fixed_hw
    except (ValueError, TypeError, KeyError) as error:
        raise RepositoryError(
            f"{model}: {contract.NETWORK_SIZES_PARAMETER}: expected sizes, got {text}: {error}"
        ) from error


def _model_bytes(
    config: pb.ModelConfig, picture_hw: tuple[int, int], largest_batch: int | None
) -> int:
    if config.backend != "python" or contract.CONTRACT_PARAMETER not in config.parameters:
        return 0
    # Either IMAGE or ENCODED_IMAGE is sent, and a file is smaller than its pixels.
    tensors = [one for one in (*config.input, *config.output) if one.data_type in _ITEM_BYTES]
    picture_bytes = sum(_tensor_bytes(one, picture_hw) for one in tensors)
    batch = max(1, int(config.max_batch_size))
    if largest_batch is not None:
        batch = min(batch, largest_batch)
    # Those of a group are on each of the GPUs that it names.
    groups = config.instance_group
    processes = sum(max(1, int(one.count)) * max(1, len(one.gpus)) for one in groups) or 1
    return int(processes) * (PROCESS_BYTES + batch * picture_bytes)


def _tensor_bytes(tensor: pb.ModelInput | pb.ModelOutput, picture_hw: tuple[int, int]) -> int:
    """Return the bytes of one picture's tensor; sides that the config leaves open are its own."""
    dims: list[int] = list(tensor.dims)
    height_axis = len(dims) - (3 if tensor.name == contract.IMAGE else 2)
    for axis, side in enumerate(picture_hw, start=max(0, height_axis)):
        if axis < len(dims) and dims[axis] == ANY:
            dims[axis] = side
    return _ITEM_BYTES[tensor.data_type] * math.prod(max(1, dim) for dim in dims)
