"""What one picture was segmented into."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from ._coco import class_runs
from ._errors import ConfigurationError
from ._metadata import Color, ModelInfo
from ._picture import Picture
from ._tiling import TilingReport

_CLASSES_IN_REPR: Final = 3
_NOTEBOOK_SIDE: Final = 640


# Without slots, for the sake of cached_property; without __eq__, which arrays do not have.
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Segmentation:
    """The class of every pixel of one picture.

    Attributes:
        class_map: (H, W) uint8, read-only; each value is a position in `classes`.
        confidence: (H, W) uint8, read-only: how sure the model is of each pixel's class, 255 for
            certain. It is 255 × the softmax, at that class, of the scores interpolated to the
            picture's size; networks are often surer than they are right. None unless asked for.
        picture: What was sent, pixels or file; `image_hwc` has the pixels of either.
        model: The model, as its server describes it.
        model_version: The version of the model that answered.
        request_id: Identifier of the request in the server's log.
        tiling: How the picture was cut, and whether that changes the mask; None if it was not.
    """

    class_map: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8] | None
    picture: Picture
    model: ModelInfo
    model_version: str
    request_id: str
    tiling: TilingReport | None = None

    @property
    def image_hwc(self) -> npt.NDArray[np.uint8]:
        """The picture in the frame of `class_map`: (H, W, 3) uint8 RGB, 0–255, read-only.

        Where the server decoded the file, it is decoded here on first use, and then remembered.

        Raises:
            InvalidImageError: The server could decode the file, but Pillow here cannot.
        """
        return self.picture.array_hwc

    @property
    def stored_size(self) -> tuple[int, int]:
        """(H, W) of the picture as stored; not `image_size` where EXIF turns it sideways."""
        return self.picture.stored_size

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of the picture as displayed, and of `class_map`, in pixels."""
        height, width = self.class_map.shape
        return height, width

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; the position is the value in `class_map`."""
        return self.model.classes

    @property
    def palette(self) -> tuple[Color, ...]:
        """One RGB colour, 0–255, for each class."""
        return self.model.palette

    @property
    def coverage(self) -> Mapping[str, float]:
        """Share of the picture's pixels, 0–1, for every class of the model, by name."""
        return MappingProxyType(self._shares)

    @property
    def pixel_counts(self) -> Mapping[str, int]:
        """Pixels of the picture, for every class of the model, by name."""
        return MappingProxyType(self._counts)

    @property
    def present_classes(self) -> tuple[str, ...]:
        """Names of the classes that have a pixel, in the order of `classes`."""
        return tuple(name for name, count in self._counts.items() if count)

    @cached_property
    def _shares(self) -> dict[str, float]:
        pixel_count = self.class_map.size
        return {name: count / pixel_count for name, count in self._counts.items()}

    @cached_property
    def _counts(self) -> dict[str, int]:
        # Pillow counts bytes as they are; np.bincount makes 8-byte integers of them first.
        counts = Image.fromarray(self.class_map).histogram()[: len(self.classes)]
        return dict(zip(self.classes, counts, strict=True))

    def mask(self, class_name: str) -> npt.NDArray[np.bool_]:
        """Return where one class is.

        Returns:
            (H, W) bool.

        Raises:
            ConfigurationError: The model has no such class.
        """
        if class_name not in self.classes:
            raise ConfigurationError(
                f"the model has no class {class_name!r}; it has {', '.join(self.classes)}"
            )
        return np.equal(self.class_map, self.classes.index(class_name))

    def overlay(self, alpha: float = 0.5) -> Image.Image:
        """Return the picture with every class in its colour laid over it.

        Args:
            alpha: 0 shows the picture alone, 1 the colours alone.

        Returns:
            Image of mode RGB and the picture's size.

        Raises:
            ConfigurationError: `alpha` is not in [0, 1].
            InvalidImageError: As by `image_hwc`.
        """
        if not 0.0 <= alpha <= 1.0:
            raise ConfigurationError(f"alpha must be in [0, 1], got {alpha!r}")
        return Image.blend(Image.fromarray(self.image_hwc), self.color_map(), alpha)

    def color_map(self) -> Image.Image:
        """Return the class map in the colours of `palette`, to look at.

        Returns:
            Image of mode RGB and the picture's size.
        """
        height, width = self.image_size
        image = Image.frombytes("P", (width, height), self.class_map.tobytes())
        image.putpalette([channel for color in self.palette for channel in color])
        return image.convert("RGB")

    def to_png(self) -> bytes:
        """Return the class map as a grey 8-bit PNG whose pixel values are class indices.

        Every reader gives the indices back (OpenCV would turn a palette into colours). In a viewer
        it is nearly black; `color_map().save(...)` writes one to look at.
        """
        buffer = io.BytesIO()
        self.save(buffer)
        return buffer.getvalue()

    def to_rle(self) -> dict[str, dict[str, Any]]:
        """Return COCO's compressed run-length encoding of every class that is present, by name.

        Each is `{"size": [H, W], "counts": str}`, which `json.dumps` and pycocotools take.
        """
        return {self.classes[runs.index]: runs.to_rle() for runs in class_runs(self.class_map)}

    def to_coco(self, *, image_id: int, first_id: int = 1) -> list[dict[str, Any]]:
        """Return one COCO annotation for every class that is present.

        Args:
            image_id: The picture's in the data set.
            first_id: Of the annotations, which are counted on from there.

        Returns:
            Annotations as `json.dumps` and pycocotools take them: "segmentation" is the run-length
            encoding, "bbox" [left, top, width, height] and "area" are in pixels, and "category_id"
            is the class index, beside its name in "category".
        """
        return [
            {
                "id": first_id + offset,
                "image_id": image_id,
                "category_id": runs.index,
                "category": self.classes[runs.index],
                "segmentation": runs.to_rle(),
                "area": runs.area,
                "bbox": list(runs.box_xywh),
                "iscrowd": 0,
            }
            for offset, runs in enumerate(class_runs(self.class_map))
        ]

    def save(self, path: str | os.PathLike[str] | BinaryIO) -> None:
        """Write what `to_png` returns, to a path or into a file that is open for bytes.

        A file at a path appears whole or not at all.

        Raises:
            ConfigurationError: `path` does not end in .png.
            OSError: The file cannot be written.
        """
        if not isinstance(path, (str, os.PathLike)):
            Image.fromarray(self.class_map).save(path, format="PNG")
            return
        target = Path(path)
        if target.suffix.lower() != ".png":
            raise ConfigurationError(f"path must end in .png, got '{target}'")
        partial = target.with_name(f".{uuid.uuid4().hex}.partial")
        try:
            Image.fromarray(self.class_map).save(partial, format="PNG")
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def to_dict(self) -> dict[str, Any]:
        """Return a summary that `json.dumps` takes: sizes, and the classes that are present."""
        height, width = self.image_size
        stored_height, stored_width = self.stored_size
        return {
            "model": self.model.name,
            "model_version": self.model_version,
            "request_id": self.request_id,
            "image_size": {"height": height, "width": width},
            "stored_size": {"height": stored_height, "width": stored_width},
            "classes": [
                {"index": index, "name": name, "coverage": self.coverage[name]}
                for index, name in enumerate(self.classes)
                if self.coverage[name] > 0.0
            ],
        }

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows: the overlay, `_NOTEBOOK_SIDE` pixels at most."""
        shown = self.overlay()
        shown.thumbnail((_NOTEBOOK_SIDE, _NOTEBOOK_SIDE))
        buffer = io.BytesIO()
        shown.save(buffer, format="PNG")
        return buffer.getvalue()

    def __repr__(self) -> str:
        height, width = self.image_size
        largest = sorted(self.coverage.items(), key=lambda item: -item[1])[:_CLASSES_IN_REPR]
        shares = ", ".join(f"{name} {share:.1%}" for name, share in largest if share > 0.0)
        return (
            f"<Segmentation {height}×{width} by {self.model.name!r} "
            f"version {self.model_version}: {shares}>"
        )
