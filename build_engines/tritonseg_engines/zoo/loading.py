"""Strict loading of named arrays into a network, with errors that name what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tritonseg_engines.errors import CheckpointError
from tritonseg_engines.zoo.network import SegmentationNetwork

BATCH_COUNTER = "num_batches_tracked"
"""Counts training steps; some publishers drop it, and inference does not read it."""
NAMES_SHOWN = 3


def load_arrays(network: nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Copy arrays under upstream's names into the network's parameters and buffers.

    What upstream needs for training only (an auxiliary head) may be there and is not copied.

    Raises:
        CheckpointError: A name is missing or surplus, or a shape differs; nothing is copied then.
    """
    state = _state_by_upstream_name(network)
    training_only = network.training_only if isinstance(network, SegmentationNetwork) else ()
    needed = {name: a for name, a in arrays.items() if not name.startswith(training_only)}
    missing = [n for n in state if n not in needed and not n.endswith(BATCH_COUNTER)]
    surplus = [n for n in needed if n not in state]
    shapes = [
        f"{name} is {tuple(needed[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in state.items()
        if name in needed and tuple(needed[name].shape) != tuple(tensor.shape)
    ]
    if missing or surplus or shapes:
        raise CheckpointError(
            f"the weights do not fit the network: {_list('missing', missing)}; "
            f"{_list('surplus', surplus)}; {_list('of another shape', shapes)}"
        )
    with torch.no_grad():
        for name, array in needed.items():
            state[name].copy_(torch.from_numpy(np.array(array)))


def _state_by_upstream_name(network: nn.Module) -> dict[str, torch.Tensor]:
    if not isinstance(network, SegmentationNetwork):
        return network.state_dict()
    return {network.upstream_name(name): value for name, value in network.state_dict().items()}


def _list(what: str, entries: Iterable[str]) -> str:
    names = list(entries)
    if not names:
        return f"0 {what}"
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{len(names)} {what} ({', '.join(names[:NAMES_SHOWN])}{more})"
