"""Where published data sets have their pictures and labels, as they are distributed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tritonseg_engines.errors import EvaluationError
from tritonseg_engines.evaluation import label_sets
from tritonseg_engines.evaluation.dataset import (
    Dataset,
    LabelledPicture,
    checked_pictures,
    folders_of_pictures,
    is_picture,
    not_looked_into,
    without_picture,
)
from tritonseg_engines.evaluation.label_sets import LabelSet

CITY_PICTURE: Final = "_leftImg8bit"
LABEL_IDS: Final = "_gtFine_labelIds.png"
TRAIN_IDS: Final = "_gtFine_labelTrainIds.png"
COCO_TRAIN_IDS: Final = "_labelTrainIds"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a user says that a data set lies.

    Attributes:
        root: Its folder; None if the two below say where everything is.
        split: Which part of it; None for the one that is usually evaluated.
        images: Folder of the pictures, in place of the layout's.
        labels: Folder of the labels, likewise; both or none.
    """

    root: Path | None
    split: str | None = None
    images: Path | None = None
    labels: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a layout has at a place.

    Attributes:
        split: Which part was taken.
        images: Folder of the pictures, below which they are named.
        files: The pictures.
        labels_of: Where the labels of a picture must lie.
        label_set: What label values mean; None for the model's own class indices.
        label_files: All that lies where labels lie; empty where a list says which are meant.
        unseen: Folders with pictures that the layout does not look into.
    """

    split: str | None
    images: Path
    files: Sequence[Path]
    labels_of: Callable[[Path], Path]
    label_set: LabelSet | None
    label_files: Sequence[Path] = ()
    unseen: Sequence[Path] = ()


def open_dataset(format_name: str, place: Place) -> Dataset:
    """Find the pictures of a data set and their labels; no picture is read.

    Args:
        format_name: One of `FORMATS`.
        place: Where it lies.

    Raises:
        EvaluationError: It is not laid out so, a picture has no labels, or there is none.
    """
    found = FORMATS[format_name](place)
    pictures = checked_pictures(
        (
            LabelledPicture(
                name=file.relative_to(found.images).as_posix(),
                image=file,
                labels=found.labels_of(file),
            )
            for file in found.files
        ),
        found.images,
    )
    return Dataset(
        format=format_name,
        split=found.split,
        root=place.root or found.images,
        pictures=pictures,
        label_set=found.label_set,
        remarks=(*without_picture(found.label_files, pictures), *not_looked_into(found.unseen)),
    )


def _cityscapes(place: Place) -> Found:
    root, split = _root(place), place.split or "val"
    if split == "test":
        raise EvaluationError(
            "cityscapes: expected a split with labels, got test, whose labels are not published; "
            "take --split val"
        )
    images = _folder(root, f"leftImg8bit/{split}")
    labels = _folder(root, f"gtFine/{split}")
    ending, label_set = LABEL_IDS, label_sets.CITYSCAPES_LABEL_IDS_SET
    if not any(labels.glob(f"*/*{LABEL_IDS}")) and any(labels.glob(f"*/*{TRAIN_IDS}")):
        ending, label_set = TRAIN_IDS, label_sets.CITYSCAPES_TRAIN_IDS_SET

    def labels_of(image: Path) -> Path:
        return labels / image.parent.name / f"{image.stem.removesuffix(CITY_PICTURE)}{ending}"

    return Found(
        split=split,
        images=images,
        files=sorted(images.glob(f"*/*{CITY_PICTURE}.png")),
        labels_of=labels_of,
        label_set=label_set,
        label_files=sorted(labels.glob(f"*/*{ending}")),
    )


def _voc(place: Place) -> Found:
    root, split = _root(place), place.split or "val"
    homes = [root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"]
    listed = Path("ImageSets", "Segmentation", f"{split}.txt")
    home = next((home for home in homes if (home / listed).is_file()), None)
    if home is None:
        raise EvaluationError(f"{root}: expected a file {listed} in it or in VOC2012, found none")
    names = _listed(home / listed)
    images = home / "JPEGImages"
    files = [images / f"{name}.jpg" for name in names]
    for file in files:
        if not file.is_file():
            raise EvaluationError(f"{home / listed}: expected the picture {file}, found none")
    return Found(
        split=split,
        images=images,
        files=files,
        labels_of=lambda image: home / "SegmentationClass" / f"{image.stem}.png",
        label_set=label_sets.VOC_SET,
    )


def _listed(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").split()
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{file}: expected names in UTF-8, got {error}") from error


def _ade20k(place: Place) -> Found:
    root, split = _root(place), place.split or "validation"
    split = "validation" if split == "val" else split
    images = _folder(root, f"images/{split}", f"ADEChallengeData2016/images/{split}")
    labels = images.parents[1] / "annotations" / split
    return _by_stem(split, images, labels, label_sets.ADE20K_SET)


def _camvid(place: Place) -> Found:
    if place.images is not None and place.labels is not None:
        _check_alone(place)
        return _by_stem(None, place.images, place.labels, label_sets.CAMVID_SET)
    root, split = _root(place), place.split or "test"
    images = _folder(root, split, f"CamVid/{split}")
    labels = _folder(images.parent, f"{split}annot", f"{split}_labels")
    return _by_stem(split, images, labels, label_sets.CAMVID_SET)


def _folders(place: Place) -> Found:
    if place.images is not None and place.labels is not None:
        _check_alone(place)
        return _by_stem(None, place.images, place.labels, None)
    root, part = _root(place), "" if place.split is None else f"/{place.split}"
    images, labels = _folder(root, f"images{part}"), _folder(root, f"labels{part}")
    return _by_stem(place.split, images, labels, None)


def _coco_stuff(place: Place) -> Found:
    root, split = _root(place), place.split or "val2017"
    images = _folder(root, f"images/{split}", split)
    kinds = ("stuffthingmaps", "stuffthingmaps_trainval2017", "annotations")
    labels = _folder(root, *(f"{kind}/{split}" for kind in kinds))
    if any(labels.glob(f"*{COCO_TRAIN_IDS}.png")):
        converted = label_sets.COCO_STUFF_TRAIN_IDS_SET
        return _by_stem(split, images, labels, converted, ending=COCO_TRAIN_IDS)
    return _by_stem(split, images, labels, label_sets.COCO_STUFF_SET)


FORMATS: Final[dict[str, Callable[[Place], Found]]] = {
    "cityscapes": _cityscapes,
    "voc": _voc,
    "ade20k": _ade20k,
    "camvid": _camvid,
    "coco-stuff": _coco_stuff,
    "folders": _folders,
}


def _by_stem(
    split: str | None, images: Path, labels: Path, label_set: LabelSet | None, *, ending: str = ""
) -> Found:
    """Return pictures whose labels have their stem and `ending`."""
    for folder, content in ((images, "pictures"), (labels, "labels")):
        if not folder.is_dir():
            raise EvaluationError(f"{folder}: expected a folder of {content}, found none")
    beside = sorted(images.iterdir())
    return Found(
        split=split,
        images=images,
        files=[file for file in beside if is_picture(file)],
        labels_of=lambda image: labels / f"{image.stem}{ending}.png",
        label_set=label_set,
        label_files=sorted(labels.glob(f"*{ending}.png")),
        unseen=folders_of_pictures(beside, labels),
    )


def _check_alone(place: Place) -> None:
    """Refuse what would be in a report's title and chose nothing."""
    if place.root is not None or place.split is not None:
        raise EvaluationError(
            "--images and --labels say where everything is: leave --dataset and --split out"
        )


def _root(place: Place) -> Path:
    if place.images is not None or place.labels is not None:
        raise EvaluationError(
            "--images and --labels go together, and with the formats camvid and folders; for "
            "others give --dataset"
        )
    if place.root is None:
        raise EvaluationError("expected --dataset DIR, or --images DIR with --labels DIR")
    return place.root


def _folder(root: Path, *names: str) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise EvaluationError(f"{root}: expected a folder {' or '.join(names)} in it, found none")
