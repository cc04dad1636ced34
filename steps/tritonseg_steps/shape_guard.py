"""Keeps a Python step alive under shapes that no array can have.

A Triton from before server #8182 (May 2025), among them the only one on PyPI, lets a request
through whose sides are negative in pairs, or overflow 64 bits together: it multiplies them, and
compares with the bytes that came. Its Python backend then makes an array of every input, NumPy
refuses, and nothing catches that: the process ends, and the step with it, for all callers. No
Python of a step runs before.

So the one function of NumPy's C API by which the backend makes arrays is exchanged, in the
backend's own process and for the backend alone, for one that makes an empty array of such a shape.
`RequestBounds` refuses that as it refuses every batch of none. Servers with NumPy 2 are newer and
refuse such shapes themselves.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

NEW_FROM_DESCR: Final = 94
"""Place of `PyArray_NewFromDescr`. Source: NumPy 1.26, numpy/core/code_generators/numpy_api.py."""
ENTRIES: Final = 283
"""Of the table, as far as pybind11 reads it. Source: pybind11/numpy.h, `npy_api::functions`."""
MOST_BYTES: Final = 2**63 - 1
WIDEST_ELEMENT: Final = 8
"""Bytes."""

_PROTOTYPE = ctypes.PYFUNCTYPE(
    ctypes.py_object,
    ctypes.c_void_p,  # subtype
    ctypes.c_void_p,  # descr
    ctypes.c_int,  # nd
    ctypes.POINTER(ctypes.c_int64),  # dims
    ctypes.c_void_p,  # strides
    ctypes.c_void_p,  # data
    ctypes.c_int,  # flags
    ctypes.c_void_p,  # obj
)
_kept: list[Any] = []
"""What C code points to for as long as the process runs."""


def guard_shapes(make_first_array: Callable[[], object]) -> bool:
    """Exchange the function for whoever looks it up first while `make_first_array` runs.

    Args:
        make_first_array: Makes the Python backend look NumPy's functions up, which it does once.

    Returns:
        Whether there was anything to guard.
    """
    if _kept or int(np.__version__.partition(".")[0]) != 1:
        return False
    import numpy.core.multiarray as multiarray

    names = vars(multiarray)
    original = names["_ARRAY_API"]
    names["_ARRAY_API"] = _guarded(original)
    try:
        make_first_array()
    finally:
        names["_ARRAY_API"] = original
    return True


def possible_shape(sides: list[int]) -> list[int]:
    """Return the sides of an array if there can be one of them, or else of an empty one."""
    extent = math.prod(side for side in sides if side)
    if min(sides, default=0) < 0 or extent * WIDEST_ELEMENT > MOST_BYTES:
        return [0] * len(sides)
    return sides


def _guarded(capsule: object) -> object:
    """Return a capsule with a copy of NumPy's table, in which one function is ours."""
    api = ctypes.pythonapi
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    api.PyCapsule_New.restype = ctypes.py_object
    api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    table_type = ctypes.c_void_p * ENTRIES
    table = table_type()
    ctypes.memmove(table, api.PyCapsule_GetPointer(capsule, None), ctypes.sizeof(table))
    make = _PROTOTYPE(table[NEW_FROM_DESCR] or 0)

    def guarded(
        subtype: int,
        descr: int,
        nd: int,
        dims: Any,
        strides: int,
        content: int,
        flags: int,
        obj: int,
    ) -> object:
        sides = [dims[axis] for axis in range(nd)]
        possible = possible_shape(sides)
        if possible is sides:
            return make(subtype, descr, nd, dims, strides, content, flags, obj)
        empty = (ctypes.c_int64 * nd)(*possible)
        return make(subtype, descr, nd, empty, None, content, flags, obj)

    function = _PROTOTYPE(guarded)
    table[NEW_FROM_DESCR] = ctypes.cast(function, ctypes.c_void_p)
    _kept.extend((table, function, make))
    return api.PyCapsule_New(ctypes.addressof(table), None, None)
