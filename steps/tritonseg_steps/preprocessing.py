"""From a picture's pixels to what the network takes: resize, scale, pad, NCHW.

Or scale and then resize, where the network's trainer did that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonseg_steps.compiled import read_only
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.kernels import scale_to_chw
from tritonseg_steps.resampling import Resampling
from tritonseg_steps.resize_policy import Native, ResizePolicy, resize_from_json, resize_to_json
from tritonseg_steps.validation import exact_keys, number_triple, one_of

COLOR_ORDERS = ("RGB", "BGR")
ADDED = ("resampling",)
"""Keys that the documents of older models have not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """What happens to a picture before the network.

    Attributes:
        mean: Per channel R, G, B in units of 0-255; subtracted.
        scale: Per channel R, G, B in units of 0-255; divided by, after the mean.
        color_order: Order of the channels that the network takes, "RGB" or "BGR".
        resize: Policy that leads to the network's input size.
        padding: R, G, B in units of 0-255 of the pixels that the policy adds, before scaling; None
            for zeros after it.
        resampling: What the pixels of the resized picture are made of.
    """

    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    color_order: str = "RGB"
    resize: ResizePolicy = Native()  # noqa: RUF009 - frozen and without state
    padding: tuple[float, float, float] | None = None
    resampling: Resampling = Resampling()  # noqa: RUF009 - likewise

    def __post_init__(self) -> None:
        number_triple("mean", self.mean)
        if 0.0 in number_triple("scale", self.scale):
            raise ValueError(f"scale: expected numbers other than 0, got {self.scale}")
        one_of("color_order", self.color_order, COLOR_ORDERS)
        if self.padding is not None:
            number_triple("padding", self.padding)

    def channel_order(self) -> NDArray[np.int64]:
        """Return which channel of an RGB picture each channel of the network's input is, `(3,)`."""
        return np.array([2, 1, 0] if self.color_order == "BGR" else [0, 1, 2], np.int64)

    def table(self) -> NDArray[np.float32]:
        """Return the normalised value of every byte, `(3, 256)` float32, channels R, G, B."""
        values = np.arange(256, dtype=np.float64)
        mean, scale = (np.asarray(v, np.float64)[:, None] for v in (self.mean, self.scale))
        table: NDArray[np.float32] = ((values - mean) / scale).astype(np.float32)
        return table

    def padding_values(self) -> NDArray[np.float32]:
        """Return the normalised padding, `(3,)` float32, channels R, G, B; 0 unless given."""
        if self.padding is None:
            return np.zeros(3, np.float32)
        mean, scale, padding = map(np.asarray, (self.mean, self.scale, self.padding))
        values: NDArray[np.float32] = ((padding - mean) / scale).astype(np.float32)
        return values

    def to_json(self) -> dict[str, Any]:
        """Return a document that `from_json` reads back to an equal value."""
        document = {
            "mean": list(self.mean),
            "scale": list(self.scale),
            "color_order": self.color_order,
            "resize": resize_to_json(self.resize),
            "padding": None if self.padding is None else list(self.padding),
        }
        if self.resampling != Resampling():  # which older steps would not know
            document["resampling"] = self.resampling.to_json()
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Preprocessing:
        """Read what `to_json` wrote.

        Raises:
            ValueError: A key is unknown, missing, or holds something else than documented. Models
                that were built before there was `resampling` are resized as they were.
        """
        required = [field.name for field in fields(cls) if field.name not in ADDED]
        exact_keys("preprocessing", document, required, ADDED)
        padding = document["padding"]
        return cls(
            mean=number_triple("mean", document["mean"]),
            scale=number_triple("scale", document["scale"]),
            color_order=one_of("color_order", document["color_order"], COLOR_ORDERS),
            resize=resize_from_json(document["resize"]),
            padding=None if padding is None else number_triple("padding", padding),
            resampling=Resampling.from_json(document.get("resampling", Resampling().to_json())),
        )


class Normalizer:
    """Applies one `Preprocessing` to pictures; the table is computed once."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._resize, self._resampling = preprocessing.resize, preprocessing.resampling
        self._order = preprocessing.channel_order()
        self._table = np.ascontiguousarray(preprocessing.table()[self._order])
        self._padding = preprocessing.padding_values()[self._order]

    def geometry(self, image_hw: tuple[int, int]) -> Geometry:
        """Return where a picture of this size goes."""
        return self._resize.geometry(image_hw)

    def batch(self, images_nhwc: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Normalise pictures of one size.

        Args:
            images_nhwc: `(N, H, W, 3)` uint8 RGB.

        Returns:
            `(N, 3, h, w)` float32, where `(h, w)` is the geometry's `network_hw`.
        """
        geometry = self.geometry((images_nhwc.shape[1], images_nhwc.shape[2]))
        batch_nchw = np.empty((len(images_nhwc), 3, *geometry.network_hw), np.float32)
        self._pad(batch_nchw, geometry)
        rows, columns = geometry.axes()
        seen = (rows.in_content(), columns.in_content())
        corner = (rows.in_network().start, columns.in_network().start)
        resizes = geometry.content_hw != geometry.image_hw
        for image_hwc, output_chw in zip(images_nhwc, batch_nchw, strict=True):
            if resizes and self._resampling.after_normalization:
                self._resize_floats(image_hwc, geometry, output_chw)
                continue
            if resizes:
                image_hwc = self._resampling.resized(image_hwc, geometry.content_hw)
            # A copy of what is cropped alone.
            image_hwc = read_only(np.ascontiguousarray(image_hwc[seen]))
            scale_to_chw(image_hwc, self._order, self._table, output_chw, *corner)
        return batch_nchw

    def _resize_floats(
        self, image_hwc: NDArray[np.uint8], geometry: Geometry, output_chw: NDArray[np.float32]
    ) -> None:
        """Normalise all of a picture, then resize, crop and place it.

        One channel after the other: the floats of a picture take four times its memory.
        """
        rows, columns = geometry.axes()
        image_hwc = read_only(np.ascontiguousarray(image_hwc))
        plane_chw = np.empty((1, *geometry.image_hw), np.float32)
        for channel, output_hw in enumerate(output_chw):
            only = slice(channel, channel + 1)
            scale_to_chw(image_hwc, self._order[only], self._table[only], plane_chw, 0, 0)
            resized_hw = self._resampling.resized_floats(plane_chw[0], geometry.content_hw)
            output_hw[rows.in_network(), columns.in_network()] = resized_hw[
                rows.in_content(), columns.in_content()
            ]

    def _pad(self, batch_nchw: NDArray[np.float32], geometry: Geometry) -> None:
        """Fill what the content leaves, above and below it and at its sides."""
        rows, columns = (axis.in_network() for axis in geometry.axes())
        padding = self._padding[:, None, None]
        batch_nchw[:, :, : rows.start] = padding
        batch_nchw[:, :, rows.stop :] = padding
        batch_nchw[:, :, rows, : columns.start] = padding
        batch_nchw[:, :, rows, columns.stop :] = padding
