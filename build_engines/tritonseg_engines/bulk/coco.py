"""COCO's data set out of the parts', whose numbers are given beforehand: none waits for another."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tritonseg import Segmentation
from tritonseg_engines.bulk.parts import Part
from tritonseg_engines.bulk.storage import Storage
from tritonseg_engines.coco_file import coco_file

FOLDER: Final = "coco"
DATA_SET: Final = "coco.json"
ANNOTATIONS_PER_PICTURE: Final = 256
"""Numbers that are set aside for each picture: one a class, of which a model has 256 at most."""


def coco_name(part: Part) -> str:
    """Return the file of a part's entries."""
    return f"{FOLDER}/{part.name}.json"


def image_id_of(part: Part, position: int) -> int:
    """Return the number of a picture by its place in the part: its place in the listing, from 1."""
    return part.first + position + 1


def entries_of(name: str, image_id: int, result: Segmentation) -> dict[str, Any]:
    """Return a picture's entries of all lists of a data set."""
    height, width = result.image_size
    first_id = (image_id - 1) * ANNOTATIONS_PER_PICTURE + 1
    return {
        "image": {"id": image_id, "file_name": name, "height": height, "width": width},
        "annotations": result.to_coco(image_id=image_id, first_id=first_id),
    }


def part_json(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the entries of a part's pictures as a file."""
    return json.dumps(entries).encode()


def write_data_set(storage: Storage, parts: Iterable[Part], classes: Sequence[str]) -> None:
    """Put the parts together; memory is that of one part and of the list of pictures.

    Raises:
        OSError: A file cannot be read or written; object stores have errors of their own.
    """
    with tempfile.TemporaryDirectory(prefix="tritonseg_bulk_") as folder:
        path = Path(folder) / DATA_SET
        with coco_file(path, classes) as data_set:
            for part in parts:
                for entry in json.loads(storage.read(coco_name(part))):
                    data_set.add_entries(entry["image"], entry["annotations"])
        storage.put(DATA_SET, path)
