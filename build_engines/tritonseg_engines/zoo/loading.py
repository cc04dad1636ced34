"""Strict loading of named arrays into a network, with errors that name what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tritonseg_engines.errors import CheckpointError

BATCH_COUNTER = "num_batches_tracked"
"""Counts training steps; some publishers drop it, and inference does not read it."""
NAMES_SHOWN = 3


def load_arrays(network: nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Copy arrays into the network's parameters and buffers of the same names.

    Raises:
        CheckpointError: A name is missing or surplus, or a shape differs; nothing is copied then.
    """
    state = network.state_dict()
    missing = [n for n in state if n not in arrays and not n.endswith(BATCH_COUNTER)]
    surplus = [n for n in arrays if n not in state]
    shapes = [
        f"{name} is {tuple(arrays[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in state.items()
        if name in arrays and tuple(arrays[name].shape) != tuple(tensor.shape)
    ]
    if missing or surplus or shapes:
        raise CheckpointError(
            f"the weights do not fit the network: {_list('missing', missing)}; "
            f"{_list('surplus', surplus)}; {_list('of another shape', shapes)}"
        )
    with torch.no_grad():
        for name, array in arrays.items():
            state[name].copy_(torch.from_numpy(np.array(array)))


def _list(what: str, entries: Iterable[str]) -> str:
    names = list(entries)
    if not names:
        return f"0 {what}"
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{len(names)} {what} ({', '.join(names[:NAMES_SHOWN])}{more})"
