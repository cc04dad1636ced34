"""What the server says about its model, read strictly and never evaluated.

The ensemble's config carries JSON documents in `parameters`; Triton has no other call that would
bring class names and colours to a client.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from .._errors import ProtocolError
from .documents import SHA256, JsonObject, is_int, read_json, read_object
from .network_facts import Preprocessing, Reach, read_preprocessing, read_reach

CONTRACT_VERSION: Final = "3"
CONTRACT_PARAMETER: Final = "tritonseg_contract"
MODEL_PARAMETER: Final = "tritonseg_model"
PROVENANCE_PARAMETER: Final = "tritonseg_provenance"
DIGEST_PARAMETER: Final = "tritonseg_digest"
VERSION_MARK: Final = "@"

MAX_CLASSES: Final = 256
"""A class map is uint8."""

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
        preprocessing: What happens to a picture before the network; None if it does not say.
        reach: How far the network sees, which decides what tiles give; None if it does not say,
            as models of earlier builds.
        digest: SHA-256 of all that the build published, in hex, which every answer carries. None
            where answers come without it.
        engine_sha256: SHA-256 of the engine's file as it is served, in hex, which the digest is of
            as well. Of a model without a digest (a fused TensorRT plan) it is that of the server
            that described it, which with several servers need not be the one that answered. None
            if the model does not say, as models of earlier builds.
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
    preprocessing: Preprocessing | None = None
    reach: Reach | None = None
    digest: str | None = None
    engine_sha256: str | None = None


def but_for_the_engine(model: ModelInfo) -> ModelInfo:
    """Return a model without what tells builds of one export apart: they take the same requests."""
    return replace(model, digest=None, engine_sha256=None)


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
    model = read_object(name, parameters, MODEL_PARAMETER)
    provenance = read_object(name, parameters, PROVENANCE_PARAMETER)
    classes = _class_names(model)
    return ModelInfo(
        name=name,
        version=version,
        classes=classes,
        palette=_palette(model, len(classes)),
        ignore_index=_ignore_index(model),
        license=model.text("license"),
        source=model.text("source"),
        precision=provenance.text("precision"),
        runtime=provenance.text("runtime"),
        onnx_sha256=provenance.sha256("onnx_sha256"),
        tritonseg_version=provenance.text("tritonseg_version"),
        takes_files=takes_files,
        gives_confidence=gives_confidence,
        preprocessing=read_preprocessing(name, parameters),
        reach=read_reach(model),
        engine_sha256=provenance.optional_sha256("engine_sha256"),
    )


def parse_digest(name: str, parameters: Mapping[str, str]) -> bytes:
    """Return the SHA-256 that a model's answers carry, out of the `parameters` of its config.

    Raises:
        ProtocolError: There is none.
    """
    digest = read_json(name, parameters, DIGEST_PARAMETER)
    if not isinstance(digest, str) or not SHA256.fullmatch(digest):
        raise ProtocolError(
            f"parameter '{DIGEST_PARAMETER}' of model '{name}' must be 64 lower-case hex digits, "
            f"got {reprlib.repr(digest)}"
        )
    return bytes.fromhex(digest)


def _class_names(model: JsonObject) -> tuple[str, ...]:
    names = model.fields.get("classes")
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_CLASSES:
        raise model.unexpected("classes", f"a list of 1 to {MAX_CLASSES} names")
    # Names are printed, and a line break or an escape in one would say something else.
    if not all(isinstance(name, str) and name and name.isprintable() for name in names):
        raise model.unexpected("classes", "a list of non-empty strings of printable characters")
    if len(set(names)) != len(names):
        raise model.unexpected("classes", "a list without duplicates")
    return tuple(names)


def _palette(model: JsonObject, class_count: int) -> tuple[Color, ...]:
    colors = model.fields.get("palette")
    if not isinstance(colors, list) or len(colors) != class_count:
        raise model.unexpected("palette", f"a list of {class_count} colours, one a class")
    if not all(_is_color(color) for color in colors):
        raise model.unexpected("palette", "a list of [r, g, b], integers in 0–255")
    return tuple((color[0], color[1], color[2]) for color in colors)


def _ignore_index(model: JsonObject) -> int | None:
    value = model.fields.get("ignore_index", "missing")
    if value is None or is_int(value, 0, 255):
        return value
    raise model.unexpected("ignore_index", "null or an integer in 0–255")


def _check_contract(name: str, parameters: Mapping[str, str]) -> None:
    if CONTRACT_PARAMETER not in parameters:
        raise ProtocolError(
            f"model '{name}' has no parameter '{CONTRACT_PARAMETER}' in its config, so it was "
            "not built by tritonseg; build its repository with `tritonseg build`"
        )
    version = read_json(name, parameters, CONTRACT_PARAMETER)
    if version != CONTRACT_VERSION:
        raise ProtocolError(
            f"model '{name}' was built for contract {reprlib.repr(version)}, this client "
            f"understands '{CONTRACT_VERSION}'; upgrade whichever of the two is older: the "
            "client by installing a newer tritonseg, the model with `tritonseg build`"
        )


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


def _is_color(value: object) -> bool:
    return (
        isinstance(value, list) and len(value) == 3 and all(is_int(item, 0, 255) for item in value)
    )
