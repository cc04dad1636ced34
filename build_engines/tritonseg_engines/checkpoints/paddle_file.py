"""Paddle's `.pdparams`: a plain pickle of arrays, read without Paddle and without running code.

Source: Paddle 2.x, `python/paddle/framework/io.py`: `paddle.save` of a state dict pickles
`{structured name: array}` with protocol 2 or 4, and beside it a dictionary of internal names.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.checkpoints.pickles import NUMERIC_KINDS, PARSE_ERRORS
from tritonseg_engines.errors import CheckpointError

PICKLE_MAGIC = b"\x80"
INTERNAL_NAMES = "StructuredToParameterName@@"
_ARRAY_TYPE = object()
"""Stands for `numpy.ndarray`, which pickles only pass on; nothing can be done with it."""


class _CodeRefused(pickle.UnpicklingError):
    """The pickle names something else than what arrays consist of."""


def read_paddle_file(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of the file by their structured names.

    Raises:
        CheckpointError: The file cannot be parsed, needs code to be run, or holds something else.
    """
    try:
        with path.open("rb") as file:
            content = _ArrayUnpickler(file).load()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except _CodeRefused as error:
        raise CheckpointError(
            f"{path.name}: expected a Paddle file of plain arrays, got one that can only be "
            f"restored by running code ({error}), which is refused"
        ) from error
    except PARSE_ERRORS as error:
        raise CheckpointError(
            f"{path.name}: expected a complete Paddle file, got one that cannot be parsed; "
            "download it again"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path.name}: expected a dictionary of weights, got {type(content).__name__}"
        )
    return {name: value for name, value in content.items() if _is_weight(path, name, value)}


def _is_weight(path: Path, name: object, value: object) -> bool:
    if name == INTERNAL_NAMES:
        return False
    if not isinstance(name, str) or not isinstance(value, np.ndarray):
        raise CheckpointError(
            f"{path.name}: expected arrays under names, got {type(value).__name__} under {name!r}"
        )
    if value.dtype.kind not in NUMERIC_KINDS:
        raise CheckpointError(f"{path.name}: expected numbers under {name!r}, got {value.dtype}")
    return True


def _empty_array(subtype: object, shape: object, dtype: object) -> NDArray[Any]:
    """Stand in for numpy's `_reconstruct`, which would make any subclass of any size."""
    if subtype is not _ARRAY_TYPE or shape != (0,):
        raise _CodeRefused("numpy _reconstruct of something else than an empty array")
    return np.empty(0, np.uint8)


def _bytes_from_text(text: object, encoding: object = "latin1") -> bytes:
    """Stand in for `_codecs.encode`: protocol 2 writes bytes as text in Latin-1."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _CodeRefused(f"_codecs encode to {encoding!r}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy", "ndarray"): _ARRAY_TYPE,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _bytes_from_text,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Knows the names that arrays of numbers need, and no other."""

    def find_class(self, module: str, name: str) -> object:
        """Return what stands in for a global of the pickle."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _CodeRefused(f"{module}.{name}") from None
