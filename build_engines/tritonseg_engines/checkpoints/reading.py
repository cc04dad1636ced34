"""From a published file to arrays under the network's own names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from tritonseg_engines.checkpoints.paddle_file import PICKLE_MAGIC, read_paddle_file
from tritonseg_engines.checkpoints.torch_file import HEAD_BYTES, is_torch_file, read_torch_file
from tritonseg_engines.errors import CheckpointError

NESTING_KEY = "state_dict"
"""Where trainers put the weights when they save more than those."""
PREFIXES = ("module.", "model.")
"""`module.`: DataParallel. `model.`: HRNet's FullModel, which holds the network and its loss."""
LOSS_PREFIX = "loss."
"""HRNet publishes the class weights of its loss along with the network."""


def read_checkpoint(path: Path) -> dict[str, NDArray[Any]]:
    """Read a torch file (zip or legacy) or a Paddle file into arrays by name.

    Unwraps a nested `state_dict`, removes the prefixes `module.` and `model.`, and leaves out
    what stands beside the network under such a prefix: the loss, and loose entries.

    Raises:
        CheckpointError: The file cannot be read, is of neither kind, would run code, or holds no
            weights.
    """
    head = _head(path)
    if is_torch_file(head):
        arrays = _arrays(path, read_torch_file(path))
    elif head.startswith(PICKLE_MAGIC):
        arrays = read_paddle_file(path)
    else:
        raise CheckpointError(f"{path.name}: expected a torch or Paddle file, {_instead(head)}")
    if not arrays:
        raise CheckpointError(f"{path.name}: expected weights, found none in the file")
    return arrays


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error


def _instead(head: bytes) -> str:
    if not head:
        return "got an empty one"
    if head.lstrip().startswith(b"<"):
        return "got a web page: save the file itself, not the page that links to it"
    if head.startswith(b"version https://git-lfs"):
        return "got a Git LFS pointer: fetch the file with `git lfs pull`"
    return f"got one that begins with {head[:8]!r}"


def _arrays(path: Path, content: object) -> dict[str, NDArray[Any]]:
    if isinstance(content, Mapping) and isinstance(content.get(NESTING_KEY), Mapping):
        content = content[NESTING_KEY]
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path.name}: expected a dictionary of weights, got {type(content).__name__}"
        )
    tensors = dict(_tensors(content))
    for prefix in PREFIXES:
        inside = [name for name in tensors if name.startswith(prefix)]
        if inside:
            tensors = {name.removeprefix(prefix): tensors[name] for name in inside}
    return {
        name: _array(path, name, tensor)
        for name, tensor in tensors.items()
        if not name.startswith(LOSS_PREFIX)
    }


def _tensors(content: Mapping[Any, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, torch.Tensor):
            yield name, value


def _array(path: Path, name: str, tensor: torch.Tensor) -> NDArray[Any]:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
        raise CheckpointError(
            f"{path.name}: expected plain numbers under {name!r}, got a sparse, quantized or "
            "complex tensor"
        )
    # numpy has no bfloat16, and the networks compute in float32 anyway.
    plain = tensor.float() if tensor.is_floating_point() else tensor
    array: NDArray[Any] = plain.detach().numpy()
    return array
