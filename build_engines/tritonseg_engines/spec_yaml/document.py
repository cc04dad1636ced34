"""YAML as it is written: what PyYAML drops without a word is an error here."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

PLAIN: Final = (Decimal("1e-4"), Decimal("1e7"))
"""From where to where a number is written without an exponent."""
LARGEST: Final = int(sys.float_info.max)
MERGE: Final = "tag:yaml.org,2002:merge"
LONGEST: Final = 60
"""Characters of a value in a message."""
DECIMAL: Final = re.compile(r"[-+]?(0|[1-9][0-9_]*)")


def parse_yaml(text: str) -> object:
    """Return the one document of a text; None where it is empty.

    Raises:
        yaml.YAMLError: It is not YAML, or has a tag that is no plain value's.
        ValueError: A key stands twice in one mapping, of which PyYAML takes the last, or a value
            is not what its tag says, or not what it looks like.
    """
    loader = _Loader(text)
    try:
        document: object = loader.get_single_data()
    except RecursionError as error:
        raise ValueError("expected keys and values, got hundreds of them nested") from error
    finally:
        loader.dispose()
    return document


def yaml_reason(error: yaml.YAMLError) -> str:
    """Return in one line where a text is no YAML, and why."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    place = f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
    within = ""
    if error.context is not None and error.context_mark is not None:
        within = f", {error.context} of line {error.context_mark.line + 1}"
    return " ".join(f"{error.problem} in {place}{within}".split())


def refuse_numbers_as_text(document: Mapping[str, object], keys: Collection[str]) -> None:
    """Refuse text that is a number, which YAML 1.1 makes of `1e9` and of all that is quoted.

    Args:
        document: Parsed YAML, of mappings one within the other at most.
        keys: Of what holds numbers, alone or in lists, in the one or the other.

    Raises:
        ValueError: There is one; the message says how to write it.
    """
    for path, value in _entries(document):
        for text in _texts(value) if path.rpartition(".")[2] in keys else ():
            number = written_number(text)
            if number is not None:
                raise ValueError(
                    f"{path}: expected a number, got {text!r}, which is text in YAML: write "
                    f"{number}"
                )


def _entries(document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in document.items():
        yield key, value
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", entry) for inner, entry in value.items())


def _texts(value: object) -> Iterator[str]:
    """Yield text that stands for a number, or for one in a list, or in a list of lists."""
    for entry in value if isinstance(value, list) else (value,):
        for one in entry if isinstance(entry, list) else (entry,):
            if isinstance(one, str):
                yield one


def written_number(text: str) -> str | None:
    """Return how YAML 1.1 takes a number that it took for text, or None if that is no number.

    It has floats with a point only, and their exponents with a sign only. Integers are written
    without a point where they are short, so that they stay integers.
    """
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite():
        return None
    if number == 0 or PLAIN[0] <= abs(number) < PLAIN[1]:
        whole = number == number.to_integral_value()
        return str(int(number)) if whole else f"{number.normalize():f}"
    sign, digits, exponent = number.normalize().as_tuple()
    first, *others = map(str, digits)
    power = int(exponent) + len(others)
    return f"{'-' if sign else ''}{first}.{''.join(others) or '0'}e{power:+d}"


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice; what a merge (`<<`) brings, a mapping may replace.

    And numbers that YAML 1.1 takes for others than those that one reads, `0100` for 64.
    """

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        if not isinstance(node, ScalarNode):
            return super().construct_object(node, deep=deep)
        try:
            value = super().construct_object(node, deep=deep)
        except (AttributeError, IndexError, KeyError, OverflowError, ValueError) as error:
            kind, text = node.tag.rpartition(":")[2], node.value[:LONGEST]
            raise ValueError(f"{_line(node)}: expected {kind}, got {text!r}") from error
        _check_scalar(node, value)
        return value

    def compose_mapping_node(self, anchor: dict[Any, Node]) -> MappingNode:
        mapping = super().compose_mapping_node(anchor)
        first: dict[object, ScalarNode] = {}
        for key, _ in mapping.value:
            if isinstance(key, ScalarNode):
                other = first.setdefault(self._meant(key), key)
                if other is not key:
                    raise ValueError(_twice(key, other))
        return mapping

    def _meant(self, key: ScalarNode) -> object:
        """Return what a key is in the mapping, where `1` and `+1` are the same."""
        return MERGE if key.tag == MERGE else self.construct_object(key)


def _check_scalar(node: ScalarNode, value: object) -> None:
    text = node.value
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{_line(node)}: expected text, got {text!r}, which has half a character"
            ) from error
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"{_line(node)}: expected a number, got one of {len(text)} digits")
        if ":" in text or (isinstance(value, int) and not DECIMAL.fullmatch(text)):
            raise ValueError(
                f"{_line(node)}: expected a decimal number, got {text!r}, which YAML takes for "
                f"{value}"
            )


def _line(node: Node) -> str:
    return f"line {node.start_mark.line + 1}"


def _twice(key: ScalarNode, other: ScalarNode) -> str:
    line, first = (node.start_mark.line + 1 for node in (key, other))
    place = "in the same line" if line == first else f"in line {first} before"
    return (
        f"line {line}: expected every key of a mapping once, got {key.value!r} twice, "
        f"{place}; remove one of them"
    )
