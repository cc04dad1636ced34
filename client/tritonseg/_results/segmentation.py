"""What one picture was segmented into."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from .._errors import ConfigurationError
from .._pictures.picture import Picture
from .class_map import ClassMap
from .coco import class_runs
from .drawing import LegendEntry, with_legend
from .forms import detections, fiftyone_label, labelled_masks
from .png import png_bytes
from .tiling_report import TilingReport
from .timings import Timings

_CLASSES_IN_REPR: Final = 3
_NOTEBOOK_SIDE: Final = 640


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Segmentation(ClassMap):
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
        timings: Where the time went.
        tiling: How the picture was cut, and whether that changes the mask; None if it was not.
    """

    confidence: npt.NDArray[np.uint8] | None
    picture: Picture
    model_version: str
    request_id: str
    timings: Timings
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

    def overlay(self, alpha: float = 0.5, *, legend: bool = False) -> Image.Image:
        """Return the picture with every class in its colour laid over it.

        Args:
            alpha: 0 shows the picture alone, 1 the colours alone.
            legend: Name the classes that are present with their shares, the largest first, below
                the picture, which stays as it is at the top left.

        Returns:
            Image of mode RGB and the picture's size; larger with a legend.

        Raises:
            ConfigurationError: `alpha` is not in [0, 1], or Pillow has no FreeType for a legend.
            InvalidImageError: As by `image_hwc`.
        """
        if not 0.0 <= alpha <= 1.0:
            raise ConfigurationError(f"alpha must be in [0, 1], got {alpha!r}")
        mixed = Image.blend(Image.fromarray(self.image_hwc), self.color_map(), alpha)
        return self._with_legend(mixed) if legend else mixed

    def _with_legend(self, picture: Image.Image) -> Image.Image:
        entries = [
            LegendEntry(name=name, share=share, color=color)
            for (name, share), color in zip(self._shares.items(), self.palette, strict=True)
            if share > 0.0
        ]
        return with_legend(picture, sorted(entries, key=lambda entry: -entry.share))

    def to_supervision(self) -> Any:
        """Return `supervision.Detections`: one mask and box for every class that is present.

        `class_id` is the class index and `data["class_name"]` its name. `confidence` is the mean
        over the class' pixels, 0–1, where the result has one.

        Raises:
            ConfigurationError: supervision is not installed; the extra `supervision` brings it.
        """
        masks = [self.mask(name) for name in self.present_classes]
        runs = list(class_runs(self.class_map))
        return detections(runs, masks, list(self.present_classes), self.confidence)

    def to_hf(self) -> list[dict[str, Any]]:
        """Return what transformers' pipeline `image-segmentation` returns for semantic models.

        Returns:
            For every class that is present {"score": None, "label": name, "mask": image of mode L,
            255 where the class is and 0 elsewhere}.
        """
        return labelled_masks([*map(self.mask, self.present_classes)], [*self.present_classes])

    def to_fiftyone(self, *, first_value: int = 0) -> Any:
        """Return a `fiftyone.Segmentation` with the class map as its mask.

        A data set names the values by `mask_targets = dict(enumerate(classes, first_value))`.

        Args:
            first_value: Of class 0, the others are counted on. FiftyOne's evaluations take 0 for
                background, which is no class. 1 avoids that; then labels that it is evaluated
                against must be counted from 1, too.

        Raises:
            ConfigurationError: `first_value` is neither 0 nor 1, or fiftyone is not installed; the
                extra `fiftyone` brings it.
        """
        return fiftyone_label(self.class_map, first_value)

    def to_dict(self) -> dict[str, Any]:
        """Return a summary that `json.dumps` takes: sizes, present classes, tiling."""
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
            "tiling": None if self.tiling is None else asdict(self.tiling),
        }

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows: the overlay, `_NOTEBOOK_SIDE` pixels, and a legend."""
        shown = self.overlay()
        shown.thumbnail((_NOTEBOOK_SIDE, _NOTEBOOK_SIDE))
        return png_bytes(self._with_legend(shown))

    def __repr__(self) -> str:
        height, width = self.image_size
        largest = sorted(self.coverage.items(), key=lambda item: -item[1])[:_CLASSES_IN_REPR]
        shares = ", ".join(f"{name} {share:.1%}" for name, share in largest if share > 0.0)
        return (
            f"<Segmentation {height}×{width} by {self.model.name!r} "
            f"version {self.model_version}: {shares}>"
        )
