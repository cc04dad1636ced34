"""What the server says about its model, read strictly and never evaluated.

The ensemble's config carries JSON documents in `parameters`; Triton has no other call that would
bring class names and colours to a client.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeGuard

from ._errors import ProtocolError

CONTRACT_VERSION: Final = "3"
CONTRACT_PARAMETER: Final = "tritonseg_contract"
MODEL_PARAMETER: Final = "tritonseg_model"
PROVENANCE_PARAMETER: Final = "tritonseg_provenance"
DIGEST_PARAMETER: Final = "tritonseg_digest"
VERSION_MARK: Final = "@"

MAX_CLASSES: Final = 256
"""A class map is uint8."""

_MAX_DOCUMENT_CHARS: Final = 1_000_000
_SHA256: Final = re.compile(r"[0-9a-f]{64}")

Color: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model as its server describes it.

    Attributes:
        name: What the server calls the model.
        version: The version that was asked for, else the one that the server chooses, e.g. "1".
        classes: Class names; the position is the value in a class map.
        palette: One RGB colour, 0–255, for each class.
        ignore_index: The label that the training data use for "no class", if they do.
        license: Licence of the weights.
        source: Where the weights come from.
        precision: Precision of the engine, e.g. "fp16".
        runtime: What runs the engine, e.g. "tensorrt".
        onnx_sha256: SHA-256 of the ONNX file that the engine was built from, in hex; where its
            weights lie in files beside it, of those as well.
        tritonseg_version: The release of this package that built it.
        takes_files: Whether the server decodes image files, which `transport="encoded"` sends.
        gives_confidence: Whether `segment(confidence=True)` has an answer.
    """

    name: str
    version: str
    classes: tuple[str, ...]
    palette: tuple[Color, ...]
    ignore_index: int | None
    license: str
    source: str
    precision: str
    runtime: str
    onnx_sha256: str
    tritonseg_version: str
    takes_files: bool
    gives_confidence: bool


def parse_model_info(
    name: str,
    *,
    version: str,
    parameters: Mapping[str, str],
    takes_files: bool,
    gives_confidence: bool,
) -> ModelInfo:
    """Build `ModelInfo` from a model's metadata and the `parameters` of its config.

    Args:
        name: What the server calls the model.
        version: The version that all else is about.
        parameters: Each parameter's string value, by key; of that version.
        takes_files: Whether its tensors include one for image files.
        gives_confidence: Whether its tensors include the confidence.

    Raises:
        ProtocolError: A document is missing, malformed or of another contract.
    """
    _check_contract(name, parameters)
    model = _read_object(name, parameters, MODEL_PARAMETER)
    provenance = _read_object(name, parameters, PROVENANCE_PARAMETER)
    classes = model.class_names()
    return ModelInfo(
        name=name,
        version=version,
        classes=classes,
        palette=model.palette(len(classes)),
        ignore_index=model.ignore_index(),
        license=model.text("license"),
        source=model.text("source"),
        precision=provenance.text("precision"),
        runtime=provenance.text("runtime"),
        onnx_sha256=provenance.sha256("onnx_sha256"),
        tritonseg_version=provenance.text("tritonseg_version"),
        takes_files=takes_files,
        gives_confidence=gives_confidence,
    )


def parse_digest(name: str, parameters: Mapping[str, str]) -> bytes:
    """Return the SHA-256 that a model's answers carry, out of the `parameters` of its config.

    Raises:
        ProtocolError: There is none.
    """
    digest = _read_json(name, parameters, DIGEST_PARAMETER)
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise ProtocolError(
            f"parameter '{DIGEST_PARAMETER}' of model '{name}' must be 64 lower-case hex digits, "
            f"got {reprlib.repr(digest)}"
        )
    return bytes.fromhex(digest)


@dataclass(frozen=True, slots=True)
class _JsonObject:
    """One JSON object, with a reader for each kind of field in it."""

    subject: str
    fields: Mapping[str, object]

    def text(self, key: str) -> str:
        value = self.fields.get(key)
        if not isinstance(value, str):
            raise self._unexpected(key, "a string")
        return value

    def sha256(self, key: str) -> str:
        value = self.text(key)
        if not _SHA256.fullmatch(value):
            raise self._unexpected(key, "64 lower-case hex digits")
        return value

    def class_names(self) -> tuple[str, ...]:
        names = self.fields.get("classes")
        if not isinstance(names, list) or not 1 <= len(names) <= MAX_CLASSES:
            raise self._unexpected("classes", f"a list of 1 to {MAX_CLASSES} names")
        if not all(isinstance(name, str) and name for name in names):
            raise self._unexpected("classes", "a list of non-empty strings")
        if len(set(names)) != len(names):
            raise self._unexpected("classes", "a list without duplicates")
        return tuple(names)

    def palette(self, class_count: int) -> tuple[Color, ...]:
        colors = self.fields.get("palette")
        if not isinstance(colors, list) or len(colors) != class_count:
            raise self._unexpected("palette", f"a list of {class_count} colours, one a class")
        if not all(_is_color(color) for color in colors):
            raise self._unexpected("palette", "a list of [r, g, b], integers in 0–255")
        return tuple((color[0], color[1], color[2]) for color in colors)

    def ignore_index(self) -> int | None:
        value = self.fields.get("ignore_index", "missing")
        if value is None or _is_byte(value):
            return value
        raise self._unexpected("ignore_index", "null or an integer in 0–255")

    def _unexpected(self, key: str, expected: str) -> ProtocolError:
        got = reprlib.repr(self.fields[key]) if key in self.fields else "nothing"
        return ProtocolError(f"{self.subject}: '{key}' must be {expected}, got {got}")


def _check_contract(name: str, parameters: Mapping[str, str]) -> None:
    if CONTRACT_PARAMETER not in parameters:
        raise ProtocolError(
            f"model '{name}' has no parameter '{CONTRACT_PARAMETER}' in its config, so it was "
            "not built by tritonseg; build its repository with `tritonseg build`"
        )
    version = _read_json(name, parameters, CONTRACT_PARAMETER)
    if version != CONTRACT_VERSION:
        raise ProtocolError(
            f"model '{name}' was built for contract {reprlib.repr(version)}, this client "
            f"understands '{CONTRACT_VERSION}'; upgrade whichever of the two is older: the "
            "client by installing a newer tritonseg, the model with `tritonseg build`"
        )


def _read_object(name: str, parameters: Mapping[str, str], key: str) -> _JsonObject:
    document = _read_json(name, parameters, key)
    subject = f"parameter '{key}' of model '{name}'"
    if not isinstance(document, dict):
        raise ProtocolError(f"{subject} must be a JSON object, got {reprlib.repr(document)}")
    return _JsonObject(subject, document)


def _read_json(name: str, parameters: Mapping[str, str], key: str) -> object:
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


def parameters_of(parameters: Mapping[str, str], version: str) -> dict[str, str]:
    """Return the `parameters` of one version: its own, where it has such, before all versions'."""
    mark = f"{VERSION_MARK}{version}"
    own = {key[: -len(mark)]: text for key, text in parameters.items() if key.endswith(mark)}
    return {**parameters, **own}


def latest_version(name: str, versions: Sequence[str]) -> str:
    """Return the version with which Triton answers where a request names none: the highest.

    Raises:
        ProtocolError: There is none, or one is no number.
    """
    numbered = [version for version in versions if version.isascii() and version.isdigit()]
    if not numbered or len(numbered) != len(versions):
        raise ProtocolError(
            f"model '{name}' must have at least one version, all numbers, got {list(versions)}"
        )
    return max(numbered, key=int)


def _is_byte(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def _is_color(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is_byte(item) for item in value)
