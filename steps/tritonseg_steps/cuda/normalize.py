"""The normalize step on a GPU: pictures go up as bytes, the network's input stays there.

Pictures that are resized after they are normalised go up as floats: the host resizes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tritonseg_steps.cuda.device import Device, DeviceArray
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.preprocessing import Normalizer, Preprocessing


class CudaNormalizer:
    """Applies one `Preprocessing` to pictures, bit for bit as `Normalizer` does.

    Args:
        preprocessing: What to apply.
        device: Where to.
    """

    def __init__(self, preprocessing: Preprocessing, device: Device) -> None:
        self._device = device
        self._resize, self._resampling = preprocessing.resize, preprocessing.resampling
        self._on_host = Normalizer(preprocessing)
        order = preprocessing.channel_order().astype(np.int32)
        self._order = device.upload(order)
        self._table = device.upload(preprocessing.table()[order])
        self._padding = device.upload(preprocessing.padding_values()[order])
        device.synchronize()

    def geometry(self, image_hw: tuple[int, int]) -> Geometry:
        """Return where a picture of this size goes."""
        return self._resize.geometry(image_hw)

    def batch(self, images_nhwc: NDArray[np.uint8]) -> DeviceArray:
        """Normalise pictures of one size.

        Args:
            images_nhwc: `(N, H, W, 3)` uint8 RGB in host memory.

        Returns:
            `(N, 3, h, w)` float32 in the GPU's memory, computed; `(h, w)` is the geometry's
            `network_hw`.
        """
        geometry = self.geometry((images_nhwc.shape[1], images_nhwc.shape[2]))
        if self._resampling.after_normalization and geometry.content_hw != geometry.image_hw:
            return self._uploaded(self._on_host.batch(images_nhwc))
        count, network_hw = len(images_nhwc), geometry.network_hw
        rows, columns = geometry.axes()
        staged = self._resized(images_nhwc, geometry)
        batch_nchw = self._device.empty((count, 3, *network_hw), np.float32)
        self._device.launch(
            "scale_to_chw",
            (count, *network_hw),
            self._device.upload(staged),
            *map(np.int32, staged.shape[1:3]),
            self._order,
            self._table,
            self._padding,
            batch_nchw,
            *map(np.int32, network_hw),
            np.int32(rows.in_network().start),
            np.int32(columns.in_network().start),
        )
        # Triton reads the result from another process, and `staged` goes back to the pool.
        self._device.synchronize()
        return batch_nchw

    def _uploaded(self, batch_nchw: NDArray[np.float32]) -> DeviceArray:
        array = self._device.upload(batch_nchw)
        self._device.synchronize()
        return array

    def _resized(self, images_nhwc: NDArray[np.uint8], geometry: Geometry) -> NDArray[np.uint8]:
        """Return what the network sees of the pictures, `(N, h, w, 3)`, ready for the upload."""
        rows, columns = (axis.in_content() for axis in geometry.axes())
        height, width = rows.stop - rows.start, columns.stop - columns.start
        staged = self._device.staging((len(images_nhwc), height, width, 3))
        for image_hwc, target_hwc in zip(images_nhwc, staged, strict=True):
            if geometry.content_hw != geometry.image_hw:
                image_hwc = self._resampling.resized(image_hwc, geometry.content_hw)
            target_hwc[...] = image_hwc[rows, columns]
        return staged
