"""`mean`, `scale` and `unit`: three numbers or one, in the units of a picture's bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tritonseg_steps.validation import number_triple

Triple = tuple[float, float, float]

FACTORS = {"0-255": 1.0, "0-1": 255.0}
"""By `unit`: what mean and scale are multiplied by."""
MOST_MEAN, MOST_SCALE = 255.0, 65535.0
"""Beyond the first no value of a picture lies; beyond the second all become much the same."""
MOST_SCALE_OF_ONE = 16.0
"""In units of 0-1, where 255 is what one divides by to come to them."""


def mean_and_scale(fields: Mapping[str, Any]) -> tuple[Triple, Triple]:
    """Return both in units of 0-255.

    Raises:
        ValueError: They are no numbers, cannot be meant, or are in units of 0-1 and do not say so.
    """
    mean, scale = (triple(key, fields[key]) for key in ("mean", "scale"))
    unit = fields.get("unit")
    if unit is None:
        _refuse_fractions(mean, scale)
    elif unit not in FACTORS:
        raise ValueError(f"unit: expected one of {list(FACTORS)}, got {unit!r}")
    written_scale = scale
    mean, scale = (_times(values, FACTORS[unit or "0-255"]) for values in (mean, scale))
    if max(map(abs, mean)) > MOST_MEAN:
        raise ValueError(
            f"mean: expected numbers of -255 to 255, got {_list(mean)} in units of 0-255"
        )
    if unit == "0-1" and max(map(abs, written_scale)) > MOST_SCALE_OF_ONE:
        raise ValueError(
            f"scale: expected numbers up to {MOST_SCALE_OF_ONE:.0f} in units of 0-1, got "
            f"{_list(written_scale)}; scale: 1 divides a picture's bytes by 255"
        )
    if max(map(abs, scale)) > MOST_SCALE:
        raise ValueError(
            f"scale: expected numbers up to {MOST_SCALE:.0f}, got {_list(scale)} in units of "
            "0-255, with which pictures are of one value; it is what is divided by"
        )
    return mean, scale


def padding_color(fields: Mapping[str, Any]) -> Triple | None:
    """Return the colour of what is padded in units of 0-255; None where none is given.

    Raises:
        ValueError: It is no colour in the document's unit.
    """
    if fields.get("padding") is None:
        return None
    padding = triple("padding", fields["padding"])
    unit = fields.get("unit") or "0-255"
    color = _times(padding, FACTORS[unit])
    is_fraction = fields.get("unit") is None and any(0 < level < 1 for level in color)
    if is_fraction or not all(0 <= level <= MOST_MEAN for level in color):
        raise ValueError(
            f"padding: expected levels of {unit}, the unit of mean and scale, got {_list(padding)}"
        )
    return color


def triple(where: str, value: object) -> Triple:
    """Return three numbers, which one stands for too.

    Raises:
        ValueError: It is neither.
    """
    return number_triple(where, [value] * 3 if isinstance(value, (int, float)) else value)


def _refuse_fractions(mean: Triple, scale: Triple) -> None:
    for key, values in (("mean", mean), ("scale", scale)):
        if any(0 < abs(number) < 1 for number in values):
            raise ValueError(
                f"{key}: expected units of 0-255, got {_list(values)}, which are of 0-1: write "
                "unit: 0-1 beside mean and scale, or unit: 0-255 if they are meant so"
            )


def _times(values: Triple, factor: float) -> Triple:
    red, green, blue = (number * factor for number in values)
    return red, green, blue


def _list(values: Triple) -> str:
    return f"[{', '.join(f'{number:g}' for number in values)}]"
