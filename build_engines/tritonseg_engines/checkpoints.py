"""Published weight files, read without running the code that a pickle may carry."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tritonseg_engines.errors import CheckpointError

NESTING_KEYS = ("state_dict",)
"""Where trainers put the weights when they save more than those."""
PREFIXES = ("module.", "model.")
"""`module.`: DataParallel. `model.`: HRNet's FullModel, which holds the network and its loss."""
DROPPED_PREFIXES = ("loss.",)
"""HRNet publishes the class weights of its loss along with the network."""


def read_checkpoint(path: Path) -> dict[str, NDArray[Any]]:
    """Read a torch file (zip or legacy) into arrays under the network's own names.

    Unwraps a nested `state_dict`, removes the prefixes `module.` and `model.`, and drops the
    loss's entries.

    Raises:
        CheckpointError: The file cannot be read, is no torch file, would run code, or holds no
            weights.
    """
    content = _load(path)
    for key in NESTING_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path.name}: expected a dictionary of weights, got {type(content).__name__}"
        )
    arrays = dict(_arrays(content))
    if not arrays:
        raise CheckpointError(
            f"{path.name}: holds no weights; its keys begin with {[*content][:3]}"
        )
    return arrays


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name}: expected a torch file of plain tensors. Either it is no torch file, or "
            "it holds objects that can only be restored by running code, which is refused."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path.name}: expected a complete torch file, got one that cannot be parsed"
        ) from error


def _arrays(content: Mapping[Any, Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    for key, value in content.items():
        if not isinstance(value, torch.Tensor) or not isinstance(key, str):
            continue
        name = key
        for prefix in PREFIXES:
            name = name.removeprefix(prefix)
        if not name.startswith(DROPPED_PREFIXES):
            yield name, np.asarray(value.detach())
