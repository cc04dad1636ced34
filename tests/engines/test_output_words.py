"""What is said of an output of the wrong shape is true of that shape, whatever it is."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny_models import tiny_spec
from tritonseg_engines.build.output_check import check_output
from tritonseg_engines.errors import OnnxModelError

NAMED = re.compile(r", (\d+) (?:classes|scores a pixel) where (?:the specification names (\d+)|.*)")
BOTH = re.compile(r"(\d+) classes as \(N, C, h, w\) and (\d+) as \(N, h, w, C\)")


def said(output: np.ndarray, *, kind: str, classes: int, size_hw: tuple[int, int]) -> str | None:
    spec = tiny_spec(kind=kind, classes=classes)
    outputs = {"output": output.shape}
    try:
        check_output(spec, kind, output, size_hw=size_hw, outputs=outputs)
    except OnnxModelError as error:
        return str(error).removeprefix("output 'output' ")
    return None


def scores(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


WORDS = {
    "as many columns as classes of the other layout": (
        scores(1, 5, 7, 40), "scores", 5,
        "is (1, 5, 7, 40) of float32, 40 classes where the specification names 5: name all 40 "
        "under classes, in the network's order",
    ),
    "classes last, at a coarse stride": (
        scores(1, 8, 12, 19), "scores", 5,
        "is (1, 8, 12, 19) of float32, 19 classes where the specification names 5: name all 19 "
        "under classes, in the network's order",
    ),
    "a few channels, at a fine stride": (
        scores(1, 7, 16, 24), "scores", 5,
        "is (1, 7, 16, 24) of float32, 7 classes where the specification names 5: name all 7 under "
        "classes, in the network's order",
    ),
    "either layout": (
        scores(1, 6, 7, 8), "scores", 5,
        "is (1, 6, 7, 8) of float32, 6 classes as (N, C, h, w) and 8 as (N, h, w, C), where the "
        "specification names 5: say what it has by output.kind and classes; another output may "
        "be meant by output.name",
    ),
    "one score, in columns": (
        scores(1, 1, 1, 40), "binary", 2,
        "is (1, 1, 1, 40) of float32, 40 scores a pixel where kind binary has one, (N, 1, h, w): "
        "write output.kind: scores and name 40 classes",
    ),
    "features": (
        scores(1, 512, 16, 24), "scores", 5,
        "is (1, 512, 16, 24) of float32, 512 numbers a pixel, more than the 256 classes that there "
        "can be; another output may be meant by output.name",
    ),
    "one row": (
        scores(1, 5), "class_map", 5,
        "is (1, 5) of float32, expected a class map (N, h, w); another output may be meant by "
        "output.name",
    ),
    "five axes": (
        scores(1, 1, 5, 16, 24), "class_map", 5,
        "is (1, 1, 5, 16, 24) of float32, expected a class map (N, h, w); another output may be "
        "meant by output.name",
    ),
    "nothing": (
        scores(1, 0, 16, 24), "scores", 5,
        "is (1, 0, 16, 24), which holds nothing; another output may be meant by output.name",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("output", "kind", "classes", "words"), WORDS.values(), ids=WORDS)
def test_words(output: np.ndarray, kind: str, classes: int, words: str) -> None:
    assert said(output, kind=kind, classes=classes, size_hw=(64, 96)) == words


@settings(max_examples=300, deadline=None)
@given(
    shape=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    kind=st.sampled_from(["scores", "class_map", "binary"]),
    classes=st.integers(2, 40),
    whole=st.booleans(),
)
def test_a_number_that_is_expected_is_not_said_to_have_come(
    shape: list[int], kind: str, classes: int, whole: bool
) -> None:
    output = np.rint(scores(*shape)) if whole else scores(*shape)
    classes = 2 if kind == "binary" else classes
    words = said(output, kind=kind, classes=classes, size_hw=(64, 96)) or ""
    expected = 1 if kind == "binary" else classes
    assert "\n" not in words
    both, named = BOTH.search(words), NAMED.search(words)
    if both is not None:
        assert [int(number) for number in both.groups()] == [shape[1], shape[3]]
        assert expected not in (shape[1], shape[3])
    elif named is not None:
        assert int(named[1]) in (shape[1], shape[3])
        assert int(named[1]) != expected
        assert named[2] in (None, str(expected))
