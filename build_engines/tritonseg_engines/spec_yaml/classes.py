"""`classes` and `palette`: names in the order of their indices, and a colour for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tritonseg_engines.spec import Color, check_class_count, voc_palette
from tritonseg_engines.spec_yaml.document import refuse_numbers_as_text
from tritonseg_steps.validation import number_triple


def class_names(document: object) -> tuple[str, ...]:
    """Return the names that a list, a mapping by index, or a number of classes gives.

    Raises:
        ValueError: It is none of these, or a name is no text.
    """
    if isinstance(document, int) and not isinstance(document, bool):
        return tuple(f"class_{index}" for index in range(check_class_count(document)))
    if isinstance(document, Mapping):
        document = _in_order(document)
    if isinstance(document, list):
        check_class_count(len(document))
        return tuple(_name(index, name) for index, name in enumerate(document))
    if isinstance(document, str):
        refuse_numbers_as_text({"classes": document}, ("classes",))
    raise ValueError(f"classes: expected a list of names or their number, got {document!r}")


def palette_colors(document: object, count: int) -> tuple[Color, ...]:
    """Return a colour for every class.

    Raises:
        ValueError: They are no colours of whole numbers in 0-255.
    """
    if document is None:
        return voc_palette(count)
    if not isinstance(document, list):
        raise ValueError(f"palette: expected a list of [r, g, b], got {document!r}")
    colors = tuple(_color(entry) for entry in document)
    if max((level for color in colors for level in color), default=0) == 1:
        raise ValueError(
            "palette: expected levels of 0-255, got none above 1, which are all black: multiply "
            "them by 255"
        )
    return colors


def _in_order(names: Mapping[object, object]) -> list[object]:
    by_index = {_index(key): name for key, name in names.items()}
    if len(by_index) < len(names):
        raise ValueError(f"classes: expected every index once, got {_few(list(names))}")
    expected = range(len(names))
    missing = [index for index in expected if index not in by_index]
    if missing:
        raise ValueError(
            f"classes: expected a name for every index of 0 to {len(names) - 1}, got none for "
            f"{missing[0]}, and keys {_few(list(names))}"
        )
    return [by_index[index] for index in expected]


def _index(key: object) -> int:
    if isinstance(key, int) and not isinstance(key, bool):
        return key
    if isinstance(key, str) and key.isascii() and key.isdigit():
        return int(key)
    raise ValueError(f"classes: expected indices as keys, got {key!r}")


def _name(index: int, name: object) -> str:
    if isinstance(name, str) and name and name.isprintable():
        return name
    if name is None or isinstance(name, (bool, int, float)):
        raise ValueError(
            f"classes: expected text as the name of class {index}, got what YAML reads as "
            f"{name!r}: put it in quotes"
        )
    raise ValueError(f"classes: expected text as the name of class {index}, got {name!r}")


def _color(entry: object) -> Color:
    red, green, blue = levels = number_triple("palette", entry)
    if any(level != int(level) for level in levels):
        in_units = "; multiply them by 255" if max(levels) <= 1 else ""
        raise ValueError(f"palette: expected whole numbers of 0-255, got {entry}{in_units}")
    return int(red), int(green), int(blue)


def _few(keys: Sequence[object], most: int = 4) -> str:
    return ", ".join(map(repr, keys[:most])) + (", ..." if len(keys) > most else "")
