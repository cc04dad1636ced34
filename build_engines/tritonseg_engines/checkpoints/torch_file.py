"""Files of `torch.save`, zip or legacy, read without running the code that a pickle may carry."""

from __future__ import annotations

import contextlib
import pickle
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tritonseg_engines.checkpoints.pickles import NUMERIC_KINDS, PARSE_ERRORS
from tritonseg_engines.errors import CheckpointError

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""The pickled number with which legacy files begin. Source: torch, `serialization.MAGIC_NUMBER`."""
HEAD_BYTES = 32
_REFUSED_GLOBAL = re.compile(r"nsupported (?:global: )?GLOBAL ([\w.]+)")
_SCALAR_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")


def is_torch_file(head: bytes) -> bool:
    """Say whether a file that begins with these `HEAD_BYTES` bytes is one of torch's."""
    return head.startswith(ZIP_MAGIC) or LEGACY_MAGIC in head


def read_torch_file(path: Path) -> Any:
    """Return the file's content: tensors, numbers and text in containers.

    Raises:
        CheckpointError: The file cannot be parsed, or needs code to be run.
    """
    try:
        with _numpy_numbers_allowed(), warnings.catch_warnings():
            # Files of other pickle protocols and of old torches are read all the same.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except PARSE_ERRORS as error:
        raise CheckpointError(f"{path.name}: {_refusal(error)}") from error


def _refusal(error: Exception) -> str:
    code = _REFUSED_GLOBAL.search(str(error)) if isinstance(error, pickle.PickleError) else None
    if code is not None:
        return (
            "expected a torch file of plain tensors, got one that can only be restored by running "
            f"code ({code[1]}), which is refused"
        )
    # Of an unpickler's own message most is the advice to allow everything.
    unpickling = isinstance(error, pickle.PickleError)
    reason = "" if unpickling else f" ({str(error).partition(chr(10))[0]})"
    return (
        f"expected a complete torch file of plain tensors, got one that cannot be parsed{reason}; "
        "download it again"
    )


@contextlib.contextmanager
def _numpy_numbers_allowed() -> Iterator[None]:
    """Allow single numbers of numpy, which trainers save beside the weights (fastseg's mIoU)."""
    dtype_classes = {type(np.dtype(code)) for code in ("?", "i4", "i8", "f2", "f4", "f8")}
    constructors: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (_number, f"{module}.scalar") for module in _SCALAR_MODULES
    ]
    with torch.serialization.safe_globals([*constructors, np.dtype, *dtype_classes]):
        yield


def _number(dtype: object, content: object = b"") -> Any:
    """Stand in for numpy's `scalar`, which would also make objects."""
    if (
        not isinstance(dtype, np.dtype)
        or dtype.kind not in NUMERIC_KINDS
        or not isinstance(content, bytes)
    ):
        raise pickle.UnpicklingError("expected a number")
    return np.frombuffer(content, dtype, count=1)[0]
