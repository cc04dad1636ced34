"""A COCO data set of what was segmented, written as it comes, so that memory stays flat."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from tritonseg import ClassMap
from tritonseg_engines.atomic import replaced_file


class CocoFile:
    """A data set that grows by one picture at a time.

    Source of the format: "Data format" at cocodataset.org; categories are the model's classes, by
    their index.

    Args:
        file: Open for bytes; gets the annotations one by one.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._images: list[dict[str, Any]] = []
        self._annotation_count = 0
        file.write(b'{"annotations": [')

    def add(self, image: Path, class_map: ClassMap) -> None:
        """Add a picture with one annotation for every class that it has."""
        height, width = class_map.image_size
        image_id = len(self._images) + 1
        self.add_entries(
            {"id": image_id, "file_name": str(image), "height": height, "width": width},
            class_map.to_coco(image_id=image_id, first_id=self._annotation_count + 1),
        )

    def add_entries(self, image: dict[str, Any], annotations: Sequence[Mapping[str, Any]]) -> None:
        """Add a picture's entries as they shall stand in the file, numbers and all."""
        self._images.append(image)
        for annotation in annotations:
            separator = ",\n" if self._annotation_count else "\n"
            self._file.write((separator + json.dumps(annotation)).encode())
            self._annotation_count += 1

    def end(self, classes: Sequence[str]) -> None:
        """Write what comes behind the annotations."""
        rest = {
            "images": self._images,
            "categories": [{"id": index, "name": name} for index, name in enumerate(classes)],
        }
        self._file.write(("\n], " + json.dumps(rest)[1:]).encode())


@contextmanager
def coco_file(path: Path, classes: Sequence[str]) -> Iterator[CocoFile]:
    """Yield a data set that is at `path` once the block ends, and not if it raises."""
    with replaced_file(path) as file:
        data_set = CocoFile(file)
        yield data_set
        data_set.end(classes)
