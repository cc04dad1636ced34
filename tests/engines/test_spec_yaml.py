"""What YAML, or PyYAML, would make of a specification without a word."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tritonseg_engines.errors import SpecificationError
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.spec_yaml import read_spec
from tritonseg_engines.spec_yaml.document import parse_yaml, written_number

LINES = """\
name: mine
input: {name: image, height: 64, width: 96}
mean: [127.5, 127.5, 127.5]
scale: [127.5, 127.5, 127.5]
output: {name: logits}
classes: 5
"""


def read(folder: Path, text: str) -> ModelSpec:
    (folder / "mine.yaml").write_text(text)
    return read_spec(folder / "mine.yaml")


TWICE = {
    "at the top": (
        LINES + "mean: [0, 0, 0]\n",
        "line 7: expected every key of a mapping once, got 'mean' twice, in line 3 before; remove "
        "one of them",
    ),
    "within a mapping": (
        LINES.replace("height: 64", "height: 64, width: 64"),
        "line 2: expected every key of a mapping once, got 'width' twice, in the same line; remove "
        "one of them",
    ),
    "of which one is quoted": (
        LINES + '"name": other\n',
        "line 7: expected every key of a mapping once, got 'name' twice, in line 1 before; remove "
        "one of them",
    ),
    "in a mapping of blocks": (
        LINES + "resize:\n  policy: native\n  size_divisor: 8\n  policy: stretch\n",
        "line 10: expected every key of a mapping once, got 'policy' twice, in line 8 before; "
        "remove one of them",
    ),
}


@pytest.mark.parametrize(("text", "message"), TWICE.values(), ids=TWICE)
def test_a_key_that_stands_twice_is_refused(text: str, message: str, tmp_path: Path) -> None:
    assert isinstance(yaml.safe_load(text), dict)  # PyYAML takes the last
    with pytest.raises(SpecificationError) as caught:
        read(tmp_path, text)
    assert str(caught.value) == f"{tmp_path / 'mine.yaml'}: {message}"


def test_a_merge_may_be_overridden(tmp_path: Path) -> None:
    """As in PyYAML, and as the YAML 1.1 type `merge` has it: the mapping's own keys win."""
    text = LINES.replace("input: {", "input: &image {").replace(
        "output: {name: logits}", "output: {<<: {name: other, kind: scores}, name: logits}"
    )
    assert read(tmp_path, text).output.name == "logits"
    aliased = "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: *a\nd: {<<: [*a, {y: 5, z: 6}]}\n"
    assert parse_yaml(aliased) == yaml.safe_load(aliased)


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(document=documents)
def test_everything_else_is_as_pyyaml_reads_it(document: object) -> None:
    text = yaml.safe_dump(document)
    assert parse_yaml(text) == yaml.safe_load(text)


AS_TEXT = {
    "padding: [1e9, 0, 0]": "padding: expected a number, got '1e9', which is text in YAML: write "
    "1.0e+9",
    "resize: {policy: native, size_divisor: 1e1}": "resize.size_divisor: expected a number, got "
    "'1e1', which is text in YAML: write 10",
    "padding: [-.5, 0, 0]": "padding: expected a number, got '-.5', which is text in YAML: write "
    "-0.5",
    'ignore_index: "255"': "ignore_index: expected a number, got '255', which is text in YAML: "
    "write 255",
    "palette: [[1_0e0, 0, 0]]": "palette: expected a number, got '1_0e0', which is text in YAML: "
    "write 10",
    "card: {mparams: 1e-3}": "card.mparams: expected a number, got '1e-3', which is text in YAML: "
    "write 0.001",
}


@pytest.mark.parametrize(("line", "message"), AS_TEXT.items(), ids=AS_TEXT)
def test_a_number_that_yaml_takes_for_text_is_told(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecificationError) as caught:
        read(tmp_path, LINES + line)
    assert str(caught.value) == f"{tmp_path / 'mine.yaml'}: {message}"


def test_a_number_of_classes_may_be_taken_for_text_and_a_class_is_text(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match="classes: expected a number, got '1e1', which"):
        read(tmp_path, LINES.replace("classes: 5", "classes: 1e1"))
    names = "classes: [1e1, '2']"
    assert read(tmp_path, LINES.replace("classes: 5", names)).classes == ("1e1", "2")


@pytest.mark.parametrize("line", ["padding: &a [*a, 0, 0]", "resize: &a {policy: *a}"])
def test_what_holds_itself_is_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match="expected"):
        read(tmp_path, LINES + line)


def test_text_that_is_no_number_is_told_as_before(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match=r"padding: expected three numbers, got \['grey'"):
        read(tmp_path, LINES + "padding: [grey, 0, 0]")


@given(
    number=st.decimals(allow_nan=False, allow_infinity=False, places=None).filter(
        lambda number: -300 < number.adjusted() < 300
    )
)
def test_what_is_recommended_is_that_number_in_yaml(number: Decimal) -> None:
    written = written_number(str(number))
    assert written is not None
    read_back = yaml.safe_load(written)
    assert isinstance(read_back, (int, float))
    assert read_back == pytest.approx(float(number), rel=1e-12, abs=0)


NO_SUCH_VALUE = {
    "a timestamp that is none": ("name: mine", 'name: !!timestamp "abc"', "line 1: expected times"),
    "a date that is none": ("name: mine", "name: 2020-13-45", "line 1: expected timestamp, got '2"),
    "a bool that is none": ("classes: 5", "classes: !!bool x", "line 6: expected bool, got 'x'"),
    "an empty integer": ("classes: 5", 'classes: !!int ""', "line 6: expected int, got ''"),
    "lists without end": ("classes: 5", "classes: " + "[" * 3000 + "]" * 3000, "hundreds of them"),
    "maps without end": ("classes: 5", "classes: " + "{a: " * 3000 + "}" * 3000, "hundreds of th"),
    "too large for a float": ("[127.5, 127.5", "[1" + "0" * 400 + ", 127.5", "of 401 digits"),
    "too large for Python": ("classes: 5", "classes: " + "9" * 5000, "line 6: expected int, got"),
    "classes without end": (
        "classes: 5",
        "classes: 400000000",
        "expected 1 to 256 .*, got 400000",
    ),
    "fewer than no classes": ("classes: 5", "classes: -5", "expected 1 to 256 .*, got -5"),
    "octal": ("height: 64", "height: 0100", "line 2: expected a decimal number, got '0100', which"),
    "of base 60": ("height: 64", "height: 1:04", "got '1:04', which YAML takes for 64"),
    "half a character": ("classes: 5", 'classes: ["\\ud800"]', "which has half a character"),
    "a number on the card": (
        "classes: 5",
        "classes: 5\ncard: {mparams: abc}",
        "card.mparams: expe",
    ),
}


@pytest.mark.parametrize(("before", "after", "words"), NO_SUCH_VALUE.values(), ids=NO_SUCH_VALUE)
def test_what_yaml_cannot_mean_is_told_in_a_line(
    before: str, after: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecificationError, match=words) as caught:
        read(tmp_path, LINES.replace(before, after))
    assert len(str(caught.value).removeprefix(str(tmp_path))) < 250
