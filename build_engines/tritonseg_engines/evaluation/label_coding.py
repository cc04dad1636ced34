"""From a value in a label picture to one of the model's classes, or to nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import yaml
from numpy.typing import NDArray

from tritonseg_engines.errors import EvaluationError
from tritonseg_engines.evaluation.class_names import matched_classes
from tritonseg_engines.evaluation.dataset import one_line
from tritonseg_engines.evaluation.label_sets import LabelSet
from tritonseg_engines.spec_yaml.document import parse_yaml, yaml_reason

IGNORED: Final = -1
UNKNOWN: Final = -2
VALUES: Final = 256
NAMED_VALUES: Final = 8
IGNORE_WORD: Final = "ignore"


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelCoding:
    """Which class each label value is.

    Attributes:
        table: (256,) int16, a class index, `IGNORED` or `UNKNOWN` by label value.
        classes: The model's class names.
        origin: Where that comes from, in words.
    """

    table: NDArray[np.int16] = field(repr=False)
    classes: tuple[str, ...]
    origin: str

    def applied(self, values_hw: NDArray[np.uint8], file: Path) -> NDArray[np.int16]:
        """Return the class of every pixel.

        Args:
            values_hw: (H, W) uint8, as in the file.
            file: For messages.

        Returns:
            (H, W) int16: class indices, `IGNORED` where the label says nothing.

        Raises:
            EvaluationError: A value is neither a class nor to be ignored.
        """
        coded: NDArray[np.int16] = self.table[values_hw]
        if int(coded.min()) == UNKNOWN:
            raise EvaluationError(f"{file}: {self._strange(values_hw)}")
        return coded

    def _strange(self, values_hw: NDArray[np.uint8]) -> str:
        histogram = np.bincount(values_hw.ravel(), minlength=VALUES)
        strange = [int(one) for one in np.flatnonzero(histogram) if self.table[one] == UNKNOWN]
        seen = ", ".join(f"{one} ({histogram[one]} pixels)" for one in strange[:NAMED_VALUES])
        more = f" and {len(strange) - NAMED_VALUES} more" if strange[NAMED_VALUES:] else ""
        return (
            f"expected label values {self.known} ({self.origin}), got {seen}{more}; --ignore-index "
            "leaves one out, --label-map says what each value is"
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader has to know of classes that no label can be, as sentences."""
        lost = [name for index, name in enumerate(self.classes) if not (self.table == index).any()]
        if not lost:
            return ()
        named = ", ".join(lost[:NAMED_VALUES])
        more = f" and {len(lost) - NAMED_VALUES} more" if lost[NAMED_VALUES:] else ""
        return (
            f"no label value is {named}{more}: where that is predicted, it is wrong, and an IoU of "
            "0 is in the mean",
        )

    @property
    def known(self) -> str:
        """Which values are classes, and which are ignored."""
        classes = _ranges([value for value in range(VALUES) if self.table[value] >= 0])
        ignored = _ranges([value for value in range(VALUES) if self.table[value] == IGNORED])
        return f"{classes or 'none'}" + (f", or {ignored} to be ignored" if ignored else "")


def coding_of(
    label_set: LabelSet | None,
    classes: Sequence[str],
    *,
    ignored: Sequence[int] = (),
    match: str = "name",
) -> LabelCoding:
    """Return which of a model's classes the label values of a data set are.

    Args:
        label_set: The data set's; None if values are the model's class indices.
        classes: The model's class names.
        ignored: Further values that say nothing.
        match: "name" finds classes by name, "index" trusts that both count them alike.

    Raises:
        EvaluationError: The model's classes are not the data set's.
    """
    table = np.full(VALUES, UNKNOWN, np.int16)
    if label_set is None:
        table[: len(classes)] = np.arange(len(classes))
        origin = "taken as the model's own class indices"
    else:
        matched = matched_classes(label_set.classes, classes, match)
        for value, position in label_set.class_of.items():
            table[value] = matched.index_of[position]
        table[sorted(label_set.ignored)] = IGNORED
        origin = matched.how
    if ignored:
        table[list(ignored)] = IGNORED
    return LabelCoding(table=table, classes=tuple(classes), origin=origin)


def coding_from_file(path: Path, classes: Sequence[str], ignored: Sequence[int]) -> LabelCoding:
    """Return the coding that a user wrote down: label values to class names, indices or "ignore".

    Args:
        path: YAML or JSON, a mapping.
        classes: The model's class names.
        ignored: Further values that say nothing.

    Raises:
        EvaluationError: It is no such mapping, or names what the model does not have.
    """
    try:
        document = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = yaml_reason(error) if isinstance(error, yaml.YAMLError) else str(error)
        raise EvaluationError(f"{path}: expected YAML or JSON, cannot be read: {reason}") from error
    if not isinstance(document, Mapping) or not document:
        raise EvaluationError(
            f"{path}: expected a mapping from label values to class names, indices or "
            f'"{IGNORE_WORD}"'
        )
    table = np.full(VALUES, UNKNOWN, np.int16)
    for key, meaning in document.items():
        value = _value(path, key)
        if table[value] != UNKNOWN:  # as a number and as text, which YAML holds for two
            raise EvaluationError(f"{path}: expected every label value once, got {value} twice")
        table[value] = _class_index(path, meaning, classes)
    if ignored:
        table[list(ignored)] = IGNORED
    if not (table >= 0).any():
        raise EvaluationError(f"{path}: expected at least one label value that is a class")
    return LabelCoding(table=table, classes=tuple(classes), origin=f"by {one_line(path.name)}")


def _value(path: Path, key: object) -> int:
    text = str(key)
    if isinstance(key, bool) or not text.isascii() or not text.isdigit() or int(text) >= VALUES:
        raise EvaluationError(f"{path}: expected label values of 0 to {VALUES - 1}, got {key!r}")
    return int(text)


def _class_index(path: Path, meaning: object, classes: Sequence[str]) -> int:
    if meaning == IGNORE_WORD and IGNORE_WORD not in classes:
        return IGNORED
    if isinstance(meaning, str) and meaning in classes:
        return list(classes).index(meaning)
    if isinstance(meaning, int) and not isinstance(meaning, bool) and 0 <= meaning < len(classes):
        return meaning
    raise EvaluationError(
        f'{path}: expected a class of the model, its index below {len(classes)}, or "{IGNORE_WORD}"'
        f", got {meaning!r}; its classes are {', '.join(classes)}"
    )


def _ranges(values: Sequence[int]) -> str:
    """Return numbers as text, e.g. "0-18, 255"."""
    parts: list[list[int]] = []
    for value in values:
        if parts and value == parts[-1][1] + 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
