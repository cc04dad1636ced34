"""Checks of JSON-like documents that say what was expected and what came."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def exact_keys(
    where: str,
    document: Mapping[str, Any],
    required: Collection[str],
    optional: Collection[str] = (),
) -> None:
    """Refuse unknown and missing keys, naming both.

    Raises:
        ValueError: A key is missing or unknown.
    """
    unknown = sorted(set(document) - set(required) - set(optional))
    missing = sorted(set(required) - set(document))
    if unknown:
        known = ", ".join(sorted({*required, *optional})) or "none"
        raise ValueError(f"{where}: unknown key {', '.join(map(repr, unknown))}; known: {known}")
    if missing:
        raise ValueError(f"{where}: missing key {', '.join(map(repr, missing))}")


def positive_int(where: str, value: object) -> int:
    """Return the value if it is an int above 0 (a bool is not).

    Raises:
        ValueError: It is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{where}: expected an integer above 0, got {value!r}")
    return value


def number_triple(where: str, value: object) -> tuple[float, float, float]:
    """Return three finite numbers as floats.

    Raises:
        ValueError: It is not a sequence of exactly three finite numbers.
    """
    if isinstance(value, (list, tuple)) and len(value) == 3 and all(map(_is_number, value)):
        first, second, third = map(float, value)
        return first, second, third
    raise ValueError(f"{where}: expected three numbers, got {value!r}")


def one_of(where: str, value: object, allowed: Collection[str]) -> str:
    """Return the value if it is one of the allowed strings.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{where}: expected one of {sorted(allowed)}, got {value!r}")
    return value


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return value - value == 0  # neither infinite nor NaN
