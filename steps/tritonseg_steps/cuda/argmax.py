"""The argmax step's arithmetic on a GPU: scores are there, class maps come down as bytes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tritonseg_steps.confidence_kernel import NEGLIGIBLE
from tritonseg_steps.cuda.device import Device, DeviceArray
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.upsampling import (
    NOT_FINITE,
    OTHER_CLASS,
    Upsampling,
    mark_outside,
    nearest_cells,
    score_cells,
)

KEPT_GEOMETRIES: Final = 16
"""Sizes of pictures whose cells stay on the GPU; a camera has one, 8 bytes a row and column."""


class CudaUpsampler:
    """The functions of `tritonseg_steps.upsampling` for scores in a GPU's memory.

    Class maps equal the CPU's in every bit. Confidences differ by 1 at the few pixels where the
    two `exp` round differently just at the border between two bytes.

    Args:
        device: Where the scores are.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._cells = lru_cache(KEPT_GEOMETRIES)(self._upload_cells)
        self._nearest = lru_cache(KEPT_GEOMETRIES)(self._upload_nearest)

    def flaw(self, output: DeviceArray, upsampling: Upsampling, class_count: int) -> str | None:
        """Return why what a network gave for one picture means nothing, or None if it does.

        Args:
            output: `(C, h, w)` float32 scores, or an `(h, w)` uint8 class map.
            upsampling: Which of the two.
            class_count: Of the model.

        Raises:
            ValueError: It is neither.
        """
        found = self._device.upload(np.zeros(1, np.uint8))
        if upsampling.kind == "class_map":
            _expect(output, 2, np.uint8)
            classes = (output, *map(np.int32, output.shape), np.int32(class_count))
            self._device.launch("find_other_class", output.shape, *classes, found)
        else:
            _expect(output, 3, np.float32)
            scores = (output, *map(np.int32, output.shape))
            self._device.launch("find_not_finite", output.shape[1:], *scores, found)
        if not self._device.download(found)[0]:
            return None
        return OTHER_CLASS if upsampling.kind == "class_map" else NOT_FINITE

    def class_map_from_scores(
        self, scores_chw: DeviceArray, geometry: Geometry, *, align_corners: bool = False
    ) -> NDArray[np.uint8]:
        """Return the argmax of the scores, bilinearly interpolated at the picture's pixels.

        Args:
            scores_chw: `(C, h, w)` float32, 1 <= C <= 256, over the whole network input.
            geometry: Where the picture lies in the network input.
            align_corners: As in `Upsampling`.

        Returns:
            `(H, W)` uint8 class indices at `geometry.image_hw`, in host memory.

        Raises:
            ValueError: The scores are not three-dimensional float32.
        """
        _expect(scores_chw, 3, np.float32)
        scores_hw = scores_chw.shape[1:]
        classes_hw = self._device.empty(scores_hw, np.uint8)
        scores = (scores_chw, *map(np.int32, scores_chw.shape))
        self._device.launch("lowest_argmax", scores_hw, *scores, classes_hw)
        cells = self._cells(scores_hw, geometry, align_corners)
        class_map_hw = self._picture("upsample_argmax", geometry, *scores, classes_hw, *cells)
        return mark_outside(class_map_hw, geometry, geometry.outside)

    def confidence_from_scores(
        self,
        scores_chw: DeviceArray,
        geometry: Geometry,
        *,
        align_corners: bool = False,
        are_probabilities: bool = False,
    ) -> NDArray[np.uint8]:
        """Return 255 times the highest interpolated score, or the softmax there, rounded.

        Args:
            scores_chw: `(C, h, w)` float32 over the whole network input.
            geometry: Where the picture lies in the network input.
            align_corners: As in `Upsampling`.
            are_probabilities: Whether scores are, or else logits.

        Returns:
            `(H, W)` uint8 at `geometry.image_hw`, in host memory.

        Raises:
            ValueError: The scores are not three-dimensional float32.
        """
        _expect(scores_chw, 3, np.float32)
        scores = (scores_chw, *map(np.int32, scores_chw.shape))
        cells = self._cells(scores_chw.shape[1:], geometry, align_corners)
        how = (np.int32(are_probabilities), NEGLIGIBLE)
        confidence_hw = self._picture("upsample_confidence", geometry, *scores, *cells, *how)
        return mark_outside(confidence_hw, geometry, 0)

    def class_map_at_image_size(
        self, classes_hw: DeviceArray, geometry: Geometry
    ) -> NDArray[np.uint8]:
        """Return class indices taken from the nearest cell of a map over the network input.

        Args:
            classes_hw: `(h, w)` uint8.
            geometry: Where the picture lies in the network input.

        Returns:
            `(H, W)` uint8 at `geometry.image_hw`, in host memory.

        Raises:
            ValueError: The classes are not two-dimensional uint8.
        """
        _expect(classes_hw, 2, np.uint8)
        classes = (classes_hw, *map(np.int32, classes_hw.shape))
        nearest = self._nearest(classes_hw.shape, geometry)
        class_map_hw = self._picture("take_nearest", geometry, *classes, *nearest)
        return mark_outside(class_map_hw, geometry, geometry.outside)

    def _picture(
        self, kernel: str, geometry: Geometry, *arguments: DeviceArray | np.generic
    ) -> NDArray[np.uint8]:
        """Run a kernel that writes a byte per pixel of the picture, and fetch what it wrote."""
        image_hw = geometry.image_hw
        written = self._device.empty(image_hw, np.uint8)
        size = map(np.int32, image_hw)
        self._device.launch(kernel, image_hw, *arguments, written, *size)
        return self._device.download(written)

    def _upload_cells(
        self, scores_hw: tuple[int, ...], geometry: Geometry, align_corners: bool
    ) -> tuple[DeviceArray | np.generic, ...]:
        """Return cell and weight of every row, of every column, and the last row and column."""
        axes = score_cells(scores_hw, geometry, align_corners=align_corners)
        arrays = []
        for starts, weights in axes:
            cells = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))
            arrays += [self._device.upload(cells), self._device.upload(weights)]
        self._device.synchronize()
        return (*arrays, *(np.int32(len(starts) - 2) for starts, _ in axes))

    def _upload_nearest(
        self, classes_hw: tuple[int, ...], geometry: Geometry
    ) -> tuple[DeviceArray, ...]:
        """Return the cell of every row and of every column."""
        arrays = tuple(
            self._device.upload(nearest_cells(cells, axis).astype(np.int32))
            for cells, axis in zip(classes_hw, geometry.axes(), strict=True)
        )
        self._device.synchronize()
        return arrays


def _expect(array: Any, dimensions: int, dtype: DTypeLike) -> None:
    """Refuse what a kernel would read as something else."""
    if array.ndim != dimensions or array.dtype != dtype:
        raise ValueError(
            f"expected {dimensions} dimensions of {np.dtype(dtype)}, "
            f"got {array.dtype} of shape {array.shape}"
        )
