"""The specification and its YAML form: what is accepted, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tiny_models import tiny_spec
from tritonseg_engines import zoo
from tritonseg_engines.errors import SpecificationError
from tritonseg_engines.spec import check_model_name, voc_palette
from tritonseg_engines.spec_yaml import read_spec
from tritonseg_engines.zoo.label_sets import CITYSCAPES_CLASSES, CITYSCAPES_PALETTE
from tritonseg_engines.zoo.street_demo import DEMO_SPEC
from tritonseg_steps.resize_policy import FitPad, Native

MINIMAL = {
    "name": "mine",
    "input": {"name": "image"},
    "mean": [1, 2, 3],
    "scale": [4, 5, 6],
    "output": {"name": "logits"},
    "classes": ["road", "sky"],
}


def write(path: Path, document: object) -> Path:
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return path


def test_a_minimal_file_gets_documented_defaults(tmp_path: Path) -> None:
    spec = read_spec(write(tmp_path / "mine.yaml", MINIMAL))
    assert spec.preprocessing.mean == (1.0, 2.0, 3.0)
    assert spec.preprocessing.resize == Native()
    assert spec.preprocessing.color_order == "RGB"
    assert spec.input.size_hw is None
    assert spec.output.kind == "scores"
    assert spec.palette == ((0, 0, 0), (128, 0, 0))
    assert spec.ignore_index is None


def test_the_demo_model_is_described_like_any_other() -> None:
    spec = read_spec(DEMO_SPEC)
    assert spec.classes == CITYSCAPES_CLASSES
    assert spec.palette == CITYSCAPES_PALETTE
    assert spec.preprocessing.resize == FitPad(height=512, width=1024)


def test_classes_may_be_a_number(tmp_path: Path) -> None:
    spec = read_spec(write(tmp_path / "mine.yaml", {**MINIMAL, "classes": 3}))
    assert spec.classes == ("class_0", "class_1", "class_2")


BAD_DOCUMENTS = {
    "unknown key": ({"gamma": 2}, "unknown key 'gamma'; known: card, classes"),
    "unknown key of the input": ({"input": {"name": "x", "hight": 2}}, "unknown key 'hight'"),
    "one side": ({"input": {"name": "x", "height": 2}}, "both height and width or neither"),
    "dtype": ({"input": {"name": "x", "dtype": "int64"}}, "input.dtype: expected one of"),
    "policy without size": ({"resize": {"policy": "stretch"}}, "needs resize.height"),
    "short mean": ({"mean": [1, 2]}, "mean: expected three numbers"),
    "zero scale": ({"scale": [1, 0, 2]}, "scale: expected numbers other than 0"),
    "no classes": ({"classes": []}, "expected 1 to 256"),
    "too many classes": ({"classes": 257}, "expected 1 to 256"),
    "a class twice": ({"classes": ["sky", "sky"]}, "expected distinct names"),
    "short palette": ({"palette": [[0, 0, 0]]}, "one colour for each of 2 classes, got 1"),
    "bright palette": ({"palette": [[0, 0, 0], [0, 0, 256]]}, "0-255 each"),
    "name with a path": ({"name": "../mine"}, "model name: expected"),
    "name of another type": ({"name": 7}, "model name: expected"),
    "size and policy differ": (
        {
            "input": {"name": "x", "height": 2, "width": 2},
            "resize": {"policy": "stretch", "height": 4, "width": 4},
        },
        "leads to 4x4, but the input is 2x2",
    ),
    "text for a number": ({"ignore_index": "none"}, "ignore_index: expected an integer"),
}


@pytest.mark.parametrize(("change", "message"), BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS)
def test_bad_documents_name_the_file_and_what_was_expected(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = write(tmp_path / "mine.yaml", {**MINIMAL, **change})
    with pytest.raises(SpecificationError, match=message) as caught:
        read_spec(path)
    assert "mine.yaml" in str(caught.value)


@pytest.mark.parametrize("key", MINIMAL)
def test_missing_keys_are_named(tmp_path: Path, key: str) -> None:
    document = {name: value for name, value in MINIMAL.items() if name != key}
    with pytest.raises(SpecificationError, match=f"missing key '{key}'"):
        read_spec(write(tmp_path / "mine.yaml", document))


@pytest.mark.parametrize("text", ["[1, 2", "- a\n- b", "", "name: !!python/object:os.system {}"])
def test_what_is_no_mapping_of_plain_values_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecificationError):
        read_spec(write(tmp_path / "mine.yaml", text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match="No such file"):
        read_spec(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    "name",
    ["", "Road", "1st", "-a", "a/b", "..", "../a", "a\\b", "a\n", "a\0", "a" * 64, "ä", "%2e"],
)
def test_names_that_could_leave_their_folder_are_refused(name: str) -> None:
    with pytest.raises(SpecificationError, match="model name"):
        check_model_name(name)


def test_unknown_zoo_models_are_refused_with_the_known_ones() -> None:
    with pytest.raises(SpecificationError, match="hrnetv2-w18-small-v1-cityscapes"):
        zoo.get_spec("hrnet")


def test_voc_palette_is_the_published_one() -> None:
    """The first and the last three of the 21 colours, from the VOC 2012 devkit."""
    palette = voc_palette(21)
    assert palette[:3] == ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    assert palette[-3:] == ((0, 192, 0), (128, 192, 0), (0, 64, 128))
    assert len(set(voc_palette(256))) == 256


def test_specs_are_values() -> None:
    assert tiny_spec() == tiny_spec()
    assert tiny_spec() != tiny_spec(name="other")
