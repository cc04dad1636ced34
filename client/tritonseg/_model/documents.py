"""JSON documents out of a model's config, read strictly and never evaluated."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeGuard

from .._errors import ProtocolError

_MAX_DOCUMENT_CHARS: Final = 1_000_000
SHA256: Final = re.compile(r"[0-9a-f]{64}")
MAX_SIDE: Final = 2**31 - 1
"""Pixels; nothing that is read here is larger."""


@dataclass(frozen=True, slots=True)
class JsonObject:
    """One JSON object, with a reader for each kind of field in it.

    Every reader raises `ProtocolError` for a field of another kind.
    """

    subject: str
    fields: Mapping[str, object]

    def text(self, key: str) -> str:
        """Return a string."""
        value = self.fields.get(key)
        if not isinstance(value, str):
            raise self.unexpected(key, "a string")
        return value

    def sha256(self, key: str) -> str:
        """Return a digest in hexadecimal digits."""
        value = self.text(key)
        if not SHA256.fullmatch(value):
            raise self.unexpected(key, "64 lower-case hex digits")
        return value

    def optional_sha256(self, key: str) -> str | None:
        """Return a digest in hexadecimal digits, None for null or nothing."""
        return None if self.fields.get(key) is None else self.sha256(key)

    def numbers(self, key: str) -> tuple[float, float, float]:
        """Return one number for each colour."""
        value = self.fields.get(key)
        if not isinstance(value, list) or len(value) != 3 or not all(map(_is_number, value)):
            raise self.unexpected(key, "three numbers")
        return float(value[0]), float(value[1]), float(value[2])

    def side(self, key: str, *, least: int = 1) -> int:
        """Return a number of pixels."""
        value = self.fields.get(key)
        if not is_int(value, least, MAX_SIDE):
            raise self.unexpected(key, f"an integer from {least} on")
        return value

    def optional_side(self, key: str) -> int | None:
        """Return a number of pixels, None for null or nothing."""
        return None if self.fields.get(key) is None else self.side(key)

    def sides(self, key: str, *, least: int = 1) -> tuple[int, int]:
        """Return a number of pixels for rows and one for columns."""
        value = self.fields.get(key)
        if not isinstance(value, list) or len(value) != 2:
            raise self.unexpected(key, "two integers")
        if not all(is_int(one, least, MAX_SIDE) for one in value):
            raise self.unexpected(key, f"two integers from {least} on")
        return value[0], value[1]

    def object(self, key: str) -> JsonObject:
        """Return an object in this one."""
        value = self.fields.get(key)
        if not isinstance(value, dict):
            raise self.unexpected(key, "a JSON object")
        return JsonObject(f"{self.subject}: '{key}'", value)

    def unexpected(self, key: str, expected: str) -> ProtocolError:
        """Return the error for a field that is something else."""
        got = reprlib.repr(self.fields[key]) if key in self.fields else "nothing"
        return ProtocolError(f"{self.subject}: '{key}' must be {expected}, got {got}")


def read_object(name: str, parameters: Mapping[str, str], key: str) -> JsonObject:
    """Return a parameter of a model's config that must be an object.

    Raises:
        ProtocolError: It is missing or something else.
    """
    document = read_json(name, parameters, key)
    subject = f"parameter '{key}' of model '{name}'"
    if not isinstance(document, dict):
        raise ProtocolError(f"{subject} must be a JSON object, got {reprlib.repr(document)}")
    return JsonObject(subject, document)


def read_json(name: str, parameters: Mapping[str, str], key: str) -> object:
    """Return a parameter of a model's config.

    Raises:
        ProtocolError: It is missing, too long or no JSON.
    """
    text = parameters.get(key, "")
    try:
        if len(text) > _MAX_DOCUMENT_CHARS:
            raise ValueError(f"{len(text)} characters")
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ProtocolError(
            f"parameter '{key}' of model '{name}' must be a JSON document of up to "
            f"{_MAX_DOCUMENT_CHARS} characters, got {reprlib.repr(text)}: {exc}"
        ) from exc


def is_int(value: object, lowest: int, highest: int) -> TypeGuard[int]:
    """Return whether a value is an integer between bounds, and no bool."""
    is_one = isinstance(value, int) and not isinstance(value, bool)
    return is_one and lowest <= value <= highest  # type: ignore[operator]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
