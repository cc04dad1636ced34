"""What the readers of pickled files share."""

from __future__ import annotations

import pickle

PARSE_ERRORS = (
    pickle.UnpicklingError,
    AssertionError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What Python's and torch's unpicklers raise over bytes that are no pickle, or a part of one."""

NUMERIC_KINDS = "biuf"
"""Kinds of numpy's dtypes that weights may have: booleans, integers, floating point."""
