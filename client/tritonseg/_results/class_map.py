"""Where the classes of one picture are, and the forms in which that is handed on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from .._errors import ConfigurationError
from .._model.metadata import Color, ModelInfo
from .coco import class_runs
from .drawing import paletted
from .geojson import checked_transform, collection, feature, simplified
from .png import png_bytes, write_png
from .shapes import Polygon, trace_polygons


# Without slots, for the sake of cached_property; without __eq__, which arrays do not have.
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ClassMap:
    """The class of every pixel, and what follows from it alone.

    Attributes:
        class_map: (H, W) uint8, read-only; each value is a position in `classes`.
        model: The model, as its server describes it.
    """

    class_map: npt.NDArray[np.uint8]
    model: ModelInfo

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

    def polygons(self, class_name: str, simplify_px: float = 0.0) -> list[Polygon]:
        """Return the outlines of one class, along the edges of its pixels.

        Filled, they are the mask again, and their areas its pixels: the pixel in column x and row y
        is the square from (x, y) to (x + 1, y + 1). Pixels that touch at a corner alone are two
        polygons.

        Args:
            class_name: The class.
            simplify_px: Leave out points that keep outlines where they are by about so many pixels
                (now and then twice as many); holes stay, small pieces become triangles, and
                neighbouring classes come to overlap or leave gaps. Above 0 it needs shapely, from
                the extra `shapes`.

        Raises:
            ConfigurationError: The model has no such class, `simplify_px` is below 0, or shapely is
                not installed.
        """
        return simplified(trace_polygons(self.mask(class_name)), simplify_px)

    def to_geojson(
        self,
        transform: Sequence[float] | None = None,
        *,
        simplify_px: float = 0.0,
        crs: str | None = None,
    ) -> dict[str, Any]:
        """Return a GeoJSON FeatureCollection: a MultiPolygon for every class that is present.

        Each has the properties "class", "index" and "area_px", the pixels of the class.

        Args:
            transform: From pixels to the map, in the order of rasterio's `dataset.transform`:
                (a, b, c, d, e, f) with x = a·column + b·row + c and y = d·column + e·row + f.
                GDAL's `GetGeoTransform()` has another order: `Affine.from_gdal(*it)`. None leaves
                pixels, whose y points down. Pixels are those of `class_map`, so of the picture as
                EXIF turns it.
            simplify_px: As by `polygons`.
            crs: What the map's coordinates are, as "EPSG:32633"; GDAL, QGIS and geopandas read it.
                None for longitude and latitude, for which readers take GeoJSON.

        Raises:
            ConfigurationError: As by `polygons`, or `transform` or `crs` is not of that form.
        """
        placed = None if transform is None else checked_transform(transform)
        features = []
        for index, (name, count) in enumerate(self._counts.items()):
            if count:
                properties = {"class": name, "index": index, "area_px": count}
                features.append(feature(self.polygons(name, simplify_px), placed, properties))
        return collection(features, crs)

    def color_map(self) -> Image.Image:
        """Return the class map in the colours of `palette`, to look at.

        Returns:
            Image of mode RGB and the picture's size.
        """
        return paletted(self.class_map, self.palette).convert("RGB")

    def to_png(self, *, palette: bool = False) -> bytes:
        """Return the class map as a PNG whose pixel values are class indices.

        Args:
            palette: False for grey of 8 bits, of which every reader gives the indices back; in a
                viewer it is nearly black. True for one with the colours of `palette`, which viewers
                show: Pillow reads indices, but OpenCV and torchvision read colours.
        """
        return png_bytes(self._indexed(palette=palette))

    def save(self, path: str | os.PathLike[str] | BinaryIO, *, palette: bool = False) -> None:
        """Write what `to_png` returns, to a path or into a file that is open for bytes.

        A file at a path appears whole or not at all.

        Raises:
            ConfigurationError: `path` does not end in .png.
            OSError: The file cannot be written.
        """
        write_png(self._indexed(palette=palette), path)

    def _indexed(self, *, palette: bool) -> Image.Image:
        return (
            paletted(self.class_map, self.palette) if palette else Image.fromarray(self.class_map)
        )

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
            runs.to_annotation(
                self.classes[runs.index], image_id=image_id, annotation_id=first_id + offset
            )
            for offset, runs in enumerate(class_runs(self.class_map))
        ]
