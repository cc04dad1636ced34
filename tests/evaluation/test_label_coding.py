"""Label values to classes: by name, by index, by a file, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tritonseg_engines.errors import EvaluationError
from tritonseg_engines.evaluation.class_names import matched_classes
from tritonseg_engines.evaluation.label_coding import (
    IGNORED,
    UNKNOWN,
    coding_from_file,
    coding_of,
)
from tritonseg_engines.evaluation.label_sets import ADE20K_SET, CITYSCAPES_LABEL_IDS_SET, LabelSet

SMALL = LabelSet(
    classes=("traffic light", "car", "sky"),
    class_of={5: 0, 6: 1, 9: 2},
    ignored=frozenset({0, 255}),
)
FILE = Path("somewhere/labels.png")


def test_classes_of_the_same_names() -> None:
    coding = coding_of(SMALL, ("Traffic-Light", "CAR", "sky"))
    values = np.array([[5, 6, 9], [0, 255, 5]], np.uint8)
    assert coding.applied(values, FILE).tolist() == [[0, 1, 2], [IGNORED, IGNORED, 0]]
    assert coding.origin == "classes of the same names"
    assert coding.known == "5-6, 9, or 0, 255 to be ignored"


def test_another_order_is_found_by_name_and_told() -> None:
    coding = coding_of(SMALL, ("sky", "traffic_light", "car"))
    assert coding.applied(np.array([[5, 6, 9]], np.uint8), FILE).tolist() == [[1, 2, 0]]
    assert "in another order than the data set" in coding.origin


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (("traffic light", "car", "tree"), "data set alone has sky; the model alone has tree"),
        (("traffic light", "car"), "the 3 classes of the data set, got a model with 2"),
        (("car", "Car", "sky"), "the data set alone has traffic light"),
        (("traffic light", "car", "sky", "SKY"), "a name comes more than once"),
    ],
)
def test_other_classes_are_refused(classes: tuple[str, ...], told: str) -> None:
    with pytest.raises(EvaluationError, match=told) as caught:
        coding_of(SMALL, classes)
    assert "--label-map" in str(caught.value)


def test_many_other_classes_are_not_all_named() -> None:
    with pytest.raises(EvaluationError, match=r"and 145 more") as caught:
        coding_of(ADE20K_SET, ("a", "b"))
    assert len(str(caught.value)) < 500


def test_by_index_only_of_as_many() -> None:
    coding = coding_of(SMALL, ("a", "b", "c"), match="index")
    assert coding.applied(np.array([[5, 6, 9]], np.uint8), FILE).tolist() == [[0, 1, 2]]
    assert coding.origin == "classes by index, as --match index says"
    with pytest.raises(EvaluationError, match="as many classes as the data set has, 3"):
        coding_of(SMALL, ("a", "b"), match="index")


def test_a_value_that_is_nothing_is_refused_with_the_file() -> None:
    coding = coding_of(SMALL, SMALL.classes)
    with pytest.raises(EvaluationError, match=r"labels.png: .* got 7 \(2 pixels\), 8 \(1 pixels\)"):
        coding.applied(np.array([[5, 7, 7, 8]], np.uint8), FILE)
    more = coding_of(SMALL, SMALL.classes, ignored=(7, 8))
    assert more.applied(np.array([[5, 7, 7, 8]], np.uint8), FILE).tolist() == [[0, -1, -1, -1]]


def test_values_are_the_models_own_indices_without_a_label_set() -> None:
    coding = coding_of(None, ("a", "b"), ignored=(255,))
    assert coding.applied(np.array([[0, 1, 255]], np.uint8), FILE).tolist() == [[0, 1, -1]]
    assert coding.table[2] == UNKNOWN
    assert coding.origin == "taken as the model's own class indices"


def test_every_cityscapes_id_is_a_class_or_ignored() -> None:
    coding = coding_of(CITYSCAPES_LABEL_IDS_SET, CITYSCAPES_LABEL_IDS_SET.classes)
    known = [value for value in range(256) if coding.table[value] != UNKNOWN]
    assert known == [*range(34), 255]


def test_256_classes_leave_no_value_over() -> None:
    coding = coding_of(None, [f"c{index}" for index in range(256)])
    values = np.arange(256, dtype=np.uint8)[None]
    assert coding.applied(values, FILE).tolist() == [list(range(256))]


@pytest.mark.parametrize(
    "text",
    ['{"3": "road", "4": 1, "0": "ignore"}', "3: road\n4: 1\n0: ignore\n"],
    ids=["JSON", "YAML"],
)
def test_a_map_of_the_users(text: str, tmp_path: Path) -> None:
    (tmp_path / "map").write_text(text)
    coding = coding_from_file(tmp_path / "map", ("road", "car"), (9,))
    assert coding.applied(np.array([[3, 4, 0, 9]], np.uint8), FILE).tolist() == [[0, 1, -1, -1]]
    assert coding.origin == "by map"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("3: rod\n", "expected a class of the model, its index below 2"),
        ("3: 2\n", "its index below 2"),
        ("3: true\n", "got True"),
        ("300: road\n", "expected label values of 0 to 255, got 300"),
        ("-1: road\n", "expected label values of 0 to 255, got -1"),
        ("a: road\n", "expected label values of 0 to 255, got 'a'"),
        ("3: road\n3: car\n", "twice|3"),
        ('3: road\n"3": car\n', "every label value once, got 3 twice"),
        ("3: ignore\n", "at least one label value that is a class"),
        ("[road, car]", "expected a mapping"),
        ("", "expected a mapping"),
        ("{", "cannot be read"),
    ],
)
def test_a_map_that_cannot_be_right(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(EvaluationError, match=told) as caught:
        coding_from_file(tmp_path / "map.yaml", ("road", "car"), ())
    assert "\n" not in str(caught.value)


def test_classes_that_no_label_can_be_are_told() -> None:
    assert coding_of(None, ("a", "b")).remarks == ()
    (remark,) = coding_of(None, ("a", "b", "c"), ignored=(1,)).remarks
    assert remark.startswith("no label value is b: where that is predicted, it is wrong")
    (remark,) = coding_of(None, [f"c{n}" for n in range(20)], ignored=range(9)).remarks
    assert "c0, c1, c2, c3, c4, c5, c6, c7 and 1 more:" in remark


def test_names_are_found_whatever_their_spelling() -> None:
    matched = matched_classes(["dining table", "tv"], ["TV", "diningtable"])
    assert matched.index_of == (1, 0)
