"""The YAML form of `ModelSpec`, strict: unknown keys are errors.

name: my-model
input: {name: image, height: 512, width: 1024}      # dtype, layout, color_order optional
mean: [123.675, 116.28, 103.53]                     # 0-255, R G B; or unit: 0-1
scale: [58.395, 57.12, 57.375]
resize: {policy: fit_pad}                           # native unless given
output: {name: scores}                              # kind: scores unless given
classes: [road, sky]                                # or {0: road, 1: sky}, or a number
palette: [[128, 64, 128], [70, 130, 180]]           # VOC colours unless given
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

import yaml

from tritonseg_engines.errors import SpecificationError
from tritonseg_engines.spec import CardFigures, InputSpec, ModelSpec, OutputSpec
from tritonseg_engines.spec_yaml.classes import class_names, palette_colors
from tritonseg_engines.spec_yaml.document import parse_yaml, refuse_numbers_as_text, yaml_reason
from tritonseg_engines.spec_yaml.normalization import mean_and_scale, padding_color
from tritonseg_engines.spec_yaml.resize import ExportSize, read_resize
from tritonseg_steps.geometry import Size
from tritonseg_steps.preprocessing import Preprocessing
from tritonseg_steps.validation import exact_keys

REQUIRED_KEYS = ("name", "input", "mean", "scale", "output", "classes")
OPTIONAL_KEYS = (
    "unit",
    "resize",
    "padding",
    "palette",
    "ignore_index",
    "license",
    "source",
    "card",
)
NUMBER_KEYS = (
    "mean", "scale", "padding", "palette", "ignore_index", "height", "width", "threshold",
    "size_divisor", "long_side", "short_side", "mparams", "gflops",
)  # fmt: skip
CARD_NUMBERS = ("mparams", "gflops")


def no_export(layout: str) -> Size | None:
    """Say that there is no export to take a size from."""
    return None


def read_spec(path: Path, export_hw: ExportSize = no_export) -> ModelSpec:
    """Read a model specification from a YAML file.

    Args:
        path: The file.
        export_hw: Tells the size that the export declares; asked only where nothing else does.

    Raises:
        SpecificationError: The file cannot be read or does not describe a model.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecificationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SpecificationError(f"{path}: expected YAML, got: {error}") from error
    try:
        return spec_from_document(parse_yaml(text), export_hw)
    except yaml.YAMLError as error:
        raise SpecificationError(f"{path}: expected YAML, got: {yaml_reason(error)}") from error
    except (ValueError, TypeError) as error:
        raise SpecificationError(f"{path}: {error}") from error


def spec_from_document(document: object, export_hw: ExportSize = no_export) -> ModelSpec:
    """Build a specification from parsed YAML; see `read_spec`.

    Raises:
        ValueError: A key is unknown, missing, or holds something else than documented.
    """
    fields = _mapping("specification", document)
    exact_keys("specification", fields, REQUIRED_KEYS, OPTIONAL_KEYS)
    refuse_numbers_as_text(fields, NUMBER_KEYS)
    input_fields = _mapping("input", fields["input"])
    color_order = input_fields.pop("color_order", "RGB")
    resize, resampling, input_spec = read_resize(
        None if fields.get("resize") is None else _mapping("resize", fields["resize"]),
        _input(input_fields),
        export_hw,
    )
    mean, scale = mean_and_scale(fields)
    classes = class_names(fields["classes"])
    return ModelSpec(
        name=fields["name"],
        input=input_spec,
        preprocessing=Preprocessing(
            mean=mean,
            scale=scale,
            color_order=color_order,
            resize=resize,
            padding=padding_color(fields),
            resampling=resampling,
        ),
        output=_output(fields["output"]),
        classes=classes,
        palette=palette_colors(fields.get("palette"), len(classes)),
        ignore_index=_optional_int("ignore_index", fields.get("ignore_index"), most=255),
        license=_text("license", fields.get("license", "unknown")),
        source=_text("source", fields.get("source", "unknown")),
        card=_card(fields.get("card")),
    )


def _input(fields: dict[str, Any]) -> InputSpec:
    exact_keys("input", fields, ("name",), ("height", "width", "dtype", "layout"))
    for side in ("height", "width"):
        _optional_int(f"input.{side}", fields.get(side))
    return InputSpec(**{**fields, "name": _text("input.name", fields["name"])})


def _output(document: object) -> OutputSpec:
    fields = _mapping("output", document)
    exact_keys("output", fields, ("name",), ("kind", "layout", "threshold", "upsampling"))
    threshold = fields.get("threshold")
    if threshold is not None and (
        isinstance(threshold, bool) or not isinstance(threshold, (int, float))
    ):
        raise ValueError(f"output.threshold: expected a number, got {threshold!r}")
    return OutputSpec(**{**fields, "name": _text("output.name", fields["name"])})


def _card(document: object) -> CardFigures | None:
    if document is None:
        return None
    fields = _mapping("card", document)
    exact_keys("card", fields, (), [field.name for field in dataclass_fields(CardFigures)])
    for name, value in fields.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is not None and number != (name in CARD_NUMBERS):
            expected = "a number" if name in CARD_NUMBERS else "text"
            raise ValueError(f"card.{name}: expected {expected}, got {value!r}")
    return CardFigures(**fields)


def _mapping(where: str, document: object) -> dict[str, Any]:
    if not isinstance(document, Mapping) or not all(isinstance(key, str) for key in document):
        raise ValueError(f"{where}: expected keys and values, got {type(document).__name__}")
    return dict(document)


def _text(where: str, value: object) -> str:
    if isinstance(value, (bool, int, float)):
        raise ValueError(
            f"{where}: expected text, got what YAML reads as {value!r}: put it in quotes"
        )
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where}: expected text, got {value!r}")
    return value


def _optional_int(where: str, value: object, *, most: int | None = None) -> int | None:
    if value is None:
        return None
    largest = math.inf if most is None else most
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest:
        return value
    expected = "an integer" if most is None else f"an integer of 0 to {most}"
    raise ValueError(f"{where}: expected {expected}, got {value!r}")
