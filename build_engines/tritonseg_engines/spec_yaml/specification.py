"""The YAML form of `ModelSpec`, strict: unknown keys are errors.

    name: my-model
    input: {name: image, height: 512, width: 1024}      # dtype, layout, color_order optional
    mean: [123.675, 116.28, 103.53]                     # 0-255, R G B
    scale: [58.395, 57.12, 57.375]
    resize: {policy: fit_pad}                           # native unless given
    output: {name: scores}                              # kind: scores unless given
    classes: [road, sky]                                # or a number
    palette: [[128, 64, 128], [70, 130, 180]]           # VOC colours unless given

`stretch` and `fit_pad` take the input's height and width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

import yaml

from tritonseg_engines.errors import SpecificationError
from tritonseg_engines.spec import (
    CardFigures,
    Color,
    InputSpec,
    ModelSpec,
    OutputSpec,
    check_class_count,
    voc_palette,
)
from tritonseg_engines.spec_yaml.document import parse_yaml, refuse_numbers_as_text
from tritonseg_steps.geometry import (
    FitPad,
    KeepRatio,
    Native,
    ResizePolicy,
    Stretch,
    resize_from_json,
)
from tritonseg_steps.preprocessing import Preprocessing
from tritonseg_steps.validation import exact_keys, number_triple

REQUIRED_KEYS = ("name", "input", "mean", "scale", "output", "classes")
OPTIONAL_KEYS = (
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
FIXED_SIZE_POLICIES = (Stretch.policy, FitPad.policy)
OPEN_SIZE_POLICIES = (Native.policy, KeepRatio.policy)


def read_spec(path: Path) -> ModelSpec:
    """Read a model specification from a YAML file.

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
        return spec_from_document(parse_yaml(text))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise SpecificationError(f"{path}: expected YAML, got: {reason}") from error
    except (ValueError, TypeError) as error:
        raise SpecificationError(f"{path}: {error}") from error


def spec_from_document(document: object) -> ModelSpec:
    """Build a specification from parsed YAML.

    Raises:
        ValueError: A key is unknown, missing, or holds something else than documented.
    """
    fields = _mapping("specification", document)
    exact_keys("specification", fields, REQUIRED_KEYS, OPTIONAL_KEYS)
    refuse_numbers_as_text(fields, NUMBER_KEYS)
    input_fields = _mapping("input", fields["input"])
    color_order = input_fields.pop("color_order", "RGB")
    input_spec = _input(input_fields)
    classes = _classes(fields["classes"])
    padding = fields.get("padding")
    return ModelSpec(
        name=fields["name"],
        input=input_spec,
        preprocessing=Preprocessing(
            mean=number_triple("mean", fields["mean"]),
            scale=number_triple("scale", fields["scale"]),
            color_order=color_order,
            resize=_resize(fields.get("resize"), input_spec),
            padding=None if padding is None else number_triple("padding", padding),
        ),
        output=_output(fields["output"]),
        classes=classes,
        palette=_palette(fields.get("palette"), len(classes)),
        ignore_index=_optional_int("ignore_index", fields.get("ignore_index")),
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


def _resize(document: object, input_spec: InputSpec) -> ResizePolicy:
    if document is None:
        return Native()
    fields = _mapping("resize", document)
    if fields.get("policy") in FIXED_SIZE_POLICIES:
        if input_spec.size_hw is None:
            raise ValueError(f"resize: {fields['policy']} needs input.height and input.width")
        fields = {"height": input_spec.height, "width": input_spec.width, **fields}
    elif fields.get("policy") in OPEN_SIZE_POLICIES:
        fields = {"size_divisor": 1, **fields}
    return resize_from_json(fields)


def _classes(document: object) -> tuple[str, ...]:
    if isinstance(document, int) and not isinstance(document, bool):
        return tuple(f"class_{index}" for index in range(check_class_count(document)))
    if isinstance(document, list) and all(isinstance(name, str) for name in document):
        return tuple(document)
    if isinstance(document, str):
        refuse_numbers_as_text({"classes": document}, ("classes",))
    raise ValueError(f"classes: expected a list of names or their number, got {document!r}")


def _palette(document: object, count: int) -> tuple[Color, ...]:
    if document is None:
        return voc_palette(count)
    if not isinstance(document, list):
        raise ValueError(f"palette: expected a list of [r, g, b], got {document!r}")
    colors = []
    for entry in document:
        red, green, blue = number_triple("palette", entry)
        colors.append((int(red), int(green), int(blue)))
    return tuple(colors)


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
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where}: expected text, got {value!r}")
    return value


def _optional_int(where: str, value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ValueError(f"{where}: expected an integer, got {value!r}")
