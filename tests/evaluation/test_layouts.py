"""Data sets as they are distributed, and what is refused where one is not whole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tritonseg_engines.errors import EvaluationError
from tritonseg_engines.evaluation import label_sets
from tritonseg_engines.evaluation.dataset import Dataset
from tritonseg_engines.evaluation.layouts import Place, open_dataset

CITY = "leftImg8bit/val/ulm/ulm_1_leftImg8bit.png"
CITY_IDS = "gtFine/val/ulm/ulm_1_gtFine_labelIds.png"
CITY_TRAIN_IDS = "gtFine/val/ulm/ulm_1_gtFine_labelTrainIds.png"
VOC_LIST = "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"
CASES: dict[str, tuple[str, list[str], str, str]] = {
    "cityscapes": (
        "cityscapes",
        [CITY, CITY_IDS, CITY_TRAIN_IDS, "gtFine/val/ulm/ulm_1_gtFine_color.png"],
        "ulm/ulm_1_leftImg8bit.png",
        CITY_IDS,
    ),
    "cityscapes, train ids": (
        "cityscapes", [CITY, CITY_TRAIN_IDS], "ulm/ulm_1_leftImg8bit.png", CITY_TRAIN_IDS,
    ),
    "ade20k": (
        "ade20k",
        [
            "ADEChallengeData2016/images/validation/a.jpg",
            "ADEChallengeData2016/annotations/validation/a.png",
        ],
        "a.jpg",
        "ADEChallengeData2016/annotations/validation/a.png",
    ),
    "camvid": ("camvid", ["test/a.png", "testannot/a.png"], "a.png", "testannot/a.png"),
    "camvid, as here": ("camvid", ["test/a.png", "test_labels/a.png"], "a.png",
                        "test_labels/a.png"),
    "coco-stuff": (
        "coco-stuff", ["images/val2017/1.jpg", "stuffthingmaps/val2017/1.png"], "1.jpg",
        "stuffthingmaps/val2017/1.png",
    ),
    "coco-stuff, converted": (
        "coco-stuff",
        [
            "images/val2017/1.jpg",
            "annotations/val2017/1.png",
            "annotations/val2017/1_labelTrainIds.png",
        ],
        "1.jpg",
        "annotations/val2017/1_labelTrainIds.png",
    ),
    "folders": ("folders", ["images/a.JPG", "labels/a.png"], "a.JPG", "labels/a.png"),
}  # fmt: skip


def laid_out(root: Path, files: Sequence[str]) -> Path:
    for number, name in enumerate(files):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(bytes([number]))
    return root


def opened(format_name: str, root: Path, split: str | None = None) -> Dataset:
    return open_dataset(format_name, Place(root=root, split=split))


@pytest.mark.parametrize("case", CASES)
def test_pairs_are_found(case: str, tmp_path: Path) -> None:
    format_name, files, name, labels = CASES[case]
    dataset = opened(format_name, laid_out(tmp_path, files))
    (picture,) = dataset.pictures
    assert picture.name == name
    assert picture.image.is_file()
    assert picture.labels == tmp_path / labels
    assert dataset.remarks == ()


def voc(tmp_path: Path, listed: str) -> Path:
    home = "VOCdevkit/VOC2012"
    laid_out(tmp_path, [VOC_LIST, *(f"{home}/JPEGImages/{name}.jpg" for name in "abc"),
                        *(f"{home}/SegmentationClass/{name}.png" for name in "ab")])  # fmt: skip
    (tmp_path / VOC_LIST).write_text(listed)
    return tmp_path


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_voc_goes_by_its_list(below: str, tmp_path: Path) -> None:
    dataset = opened("voc", voc(tmp_path, "b\na\n") / below)
    assert [picture.name for picture in dataset.pictures] == ["b.jpg", "a.jpg"]
    assert dataset.label_set is label_sets.VOC_SET


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ("a\nc\n", "c.jpg: expected its labels at"),
        ("a\nx\n", "expected the picture"),
        ("a\na\n", "expected one picture for each file of labels, got a.jpg and a.jpg"),
        ("", "expected pictures, found none"),
    ],
)
def test_a_list_that_is_not_right(listed: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=told):
        opened("voc", voc(tmp_path, listed))


@pytest.mark.parametrize(
    ("format_name", "files", "told"),
    [
        ("cityscapes", [CITY], "expected a folder gtFine/val"),
        ("cityscapes", [CITY, "gtFine/val/ulm/other_gtFine_labelIds.png"],
         r"ulm_1_leftImg8bit.png: expected its labels at .*ulm_1_gtFine_labelIds.png, found none"),
        ("cityscapes", [CITY_IDS, "leftImg8bit/val/ulm/readme.txt"], "expected pictures, found"),
        ("folders", ["images/a.jpg", "images/b.jpg", "images/c.jpg", "labels/a.png"],
         "b.jpg: expected its labels at .*; 1 more picture has none either"),
        ("folders", ["images/a.jpg", "images/a.png", "labels/a.png"],
         "expected one picture for each file of labels, got a.jpg and a.png"),
        ("folders", ["images/a.jpg"], "expected a folder labels in it, found none"),
        ("ade20k", ["images/validation/a.jpg"], "annotations/validation: expected a folder"),
        ("voc", ["JPEGImages/a.jpg"], "expected a file ImageSets/Segmentation/val.txt"),
        ("coco-stuff", ["val2017/1.jpg"], "expected a folder stuffthingmaps/val2017"),
    ],
)  # fmt: skip
def test_what_is_not_whole_is_refused(
    format_name: str, files: list[str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(EvaluationError, match=told):
        opened(format_name, laid_out(tmp_path, files))


def test_labels_that_are_the_pictures(tmp_path: Path) -> None:
    laid_out(tmp_path, ["a.png"])
    with pytest.raises(EvaluationError, match="got one file for both"):
        open_dataset("folders", Place(root=None, images=tmp_path, labels=tmp_path))


def test_labels_without_a_picture_are_told(tmp_path: Path) -> None:
    files = ["images/a.jpg", *(f"labels/{name}.png" for name in "abcde")]
    assert opened("folders", laid_out(tmp_path, files)).remarks == (
        "4 label files have no picture and are left out: b.png, c.png, d.png, ...",
    )


def test_names_that_are_no_text_are_told_as_one_line(tmp_path: Path) -> None:
    """A name in Latin-1, and one of two lines."""
    dataset = opened("folders", laid_out(tmp_path, ["images/\udce9\n.png", "labels/\udce9\n.png",
                                                    "labels/\udce8\n.png"]))  # fmt: skip
    assert dataset.pictures[0].image.is_file()
    assert dataset.shown(0) == r"\udce9\n.png"
    assert dataset.remarks == (r"1 label file has no picture and is left out: \udce8\n.png",)


def test_pictures_in_folders_below_are_told(tmp_path: Path) -> None:
    files = ["a.jpg", "more/b.jpg", "labels/a.png", "notes/readme.txt"]
    laid_out(tmp_path, files)
    place = Place(root=None, images=tmp_path, labels=tmp_path / "labels")
    assert open_dataset("folders", place).remarks == (
        "pictures in folders below are left out: more",
    )


def test_a_list_in_another_encoding(tmp_path: Path) -> None:
    root = voc(tmp_path, "a\n")
    listed = root / VOC_LIST
    listed.write_bytes(b"\xef\xbb\xbfa\n")
    assert [one.name for one in opened("voc", root).pictures] == ["a.jpg"]
    listed.write_text("a\n", encoding="utf-16")
    with pytest.raises(EvaluationError, match=r"val.txt: expected names in UTF-8"):
        opened("voc", root)


@pytest.mark.parametrize(
    ("format_name", "place", "told"),
    [
        ("folders", {"root": None}, "expected --dataset DIR, or --images DIR with --labels DIR"),
        ("folders", {"root": Path(), "images": Path()}, "--images and --labels go together"),
        ("voc", {"root": Path(), "images": Path(), "labels": Path()}, "with the formats camvid"),
        ("folders", {"root": Path(), "images": Path(), "labels": Path()}, "leave --dataset and"),
        (
            "camvid",
            {"root": None, "split": "val", "images": Path(), "labels": Path()},
            "leave --dataset and --split out",
        ),
        ("cityscapes", {"root": Path(), "split": "test"}, "labels are not published"),
    ],
)
def test_places_that_say_too_little(format_name: str, place: dict[str, object], told: str) -> None:
    with pytest.raises(EvaluationError, match=told):
        open_dataset(format_name, Place(**place))  # type: ignore[arg-type]


def test_the_digest_is_of_names_sizes_and_times(tmp_path: Path) -> None:
    root = laid_out(tmp_path, ["images/a.jpg", "labels/a.png"])
    before = opened("folders", root).digest()
    assert opened("folders", root).digest() == before
    os.utime(root / "labels/a.png", (1, 1))
    touched = opened("folders", root).digest()
    (root / "images/a.jpg").rename(root / "images/A.jpg")
    (root / "labels/a.png").rename(root / "labels/A.png")
    assert len({before, touched, opened("folders", root).digest()}) == 3


def test_label_sets_are_whole() -> None:
    sizes = {
        "ADE20K_SET": 150, "CAMVID_SET": 11, "COCO_STUFF_SET": 171, "COCO_STUFF_TRAIN_IDS_SET": 171,
        "CITYSCAPES_LABEL_IDS_SET": 19, "CITYSCAPES_TRAIN_IDS_SET": 19, "VOC_SET": 21,
    }  # fmt: skip
    for name, size in sizes.items():
        label_set = getattr(label_sets, name)
        assert len(set(label_set.classes)) == size
        assert sorted(label_set.class_of.values()) == list(range(size))
        assert not label_set.ignored & set(label_set.class_of)


def test_values_mean_what_the_data_sets_say() -> None:
    """Values and names from the data sets' own pages, by hand."""
    city = label_sets.CITYSCAPES_LABEL_IDS_SET
    assert {v: city.classes[city.class_of[v]] for v in (7, 8, 11, 21, 26, 31, 33)} == {
        7: "road", 8: "sidewalk", 11: "building", 21: "vegetation", 26: "car", 31: "train",
        33: "bicycle",
    }  # fmt: skip
    assert {0, 1, 4, 9, 10, 14, 18, 29, 30, 255} <= city.ignored
    coco = label_sets.COCO_STUFF_SET
    assert {v: coco.classes[coco.class_of[v]] for v in (0, 10, 12, 89, 91, 95, 181)} == {
        0: "person", 10: "fire hydrant", 12: "stop sign", 89: "toothbrush", 91: "banner",
        95: "building-other", 181: "wood",
    }  # fmt: skip
    assert 11 not in coco.class_of
    assert 11 not in coco.ignored
    ade = label_sets.ADE20K_SET
    assert (ade.classes[ade.class_of[1]], ade.classes[ade.class_of[150]]) == ("wall", "flag")
    assert ade.ignored == {0}
    assert label_sets.VOC_SET.class_of[15] == label_sets.VOC_SET.classes.index("person")
    assert label_sets.CAMVID_SET.ignored == {11}
