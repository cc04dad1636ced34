"""PSPNet: means over 1, 4, 9 and 36 regions of the image beside the features themselves.

Module names are upstream's own; the auxiliary head serves training only and is left out.
Source: open-mmlab/mmsegmentation 0.30.0, `mmseg/models/decode_heads/psp_head.py`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tritonseg_engines.zoo.network import SegmentationNetwork
from tritonseg_engines.zoo.resnet import OUT_CHANNELS, ResNet50V1cD8

POOL_SCALES = (1, 2, 3, 6)
HEAD_CHANNELS = 512


def bin_matrix(size: int, bins: int) -> NDArray[np.float32]:
    """Return the matrix that averages an axis of `size` cells into `bins`, `(size, bins)`.

    Bins overlap where the size is no multiple of them. ONNX has no such pooling, and an
    AveragePool of one window and stride, by which exporters replace it, is another function.

    Source: torch, `aten/native/AdaptiveAveragePooling`: bin `i` covers the cells from
    `floor(i * size / bins)` up to `ceil((i + 1) * size / bins)`.
    """
    matrix = np.zeros((size, bins), np.float32)
    for index in range(bins):
        start, end = index * size // bins, -(-(index + 1) * size // bins)
        matrix[start:end, index] = 1 / (end - start)
    return matrix


class AdaptiveAveragePool(nn.Module):
    """Means over `bins` x `bins` regions; exported as products with constant matrices."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, C, bins, bins)`."""
        if not torch.onnx.is_in_onnx_export():
            return F.adaptive_avg_pool2d(x, self.bins)
        rows = torch.from_numpy(bin_matrix(int(x.shape[-2]), self.bins).T.copy())
        columns = torch.from_numpy(bin_matrix(int(x.shape[-1]), self.bins))
        return rows @ (x @ columns)


class ConvModule(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, out_channels, H, W)`."""
        return F.relu(self.bn(self.conv(x)))


class PSPHead(nn.Module):
    """Pyramid pooling and the classifier."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(HEAD_CHANNELS, num_classes, 1)
        self.psp_modules = nn.ModuleList(
            nn.Sequential(AdaptiveAveragePool(scale), ConvModule(in_channels, HEAD_CHANNELS, 1))
            for scale in POOL_SCALES
        )
        self.bottleneck = ConvModule(
            in_channels + len(POOL_SCALES) * HEAD_CHANNELS, HEAD_CHANNELS, 3
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, num_classes, H, W)`."""
        pyramid = (
            F.interpolate(pool(x), size=x.shape[-2:], mode="bilinear", align_corners=False)
            for pool in self.psp_modules
        )
        scores: Tensor = self.conv_seg(self.bottleneck(torch.cat([x, *pyramid], dim=1)))
        return scores


class PSPNet(SegmentationNetwork):
    """PSPNet on ResNet-50-V1c-D8: scores at 1/8 of the input's resolution."""

    training_only: ClassVar[tuple[str, ...]] = ("auxiliary_head.",)
    fixed_size_reason: ClassVar[str | None] = (
        "its pooling regions depend on the size and are constants of the graph, because ONNX has "
        "no adaptive pooling"
    )

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.backbone = ResNet50V1cD8()
        self.decode_head = PSPHead(OUT_CHANNELS, num_classes)

    def forward(self, x_nchw: Tensor) -> Tensor:
        """Return the scores.

        Args:
            x_nchw: `(N, 3, H, W)` float, normalised RGB; any size from 1x1.

        Returns:
            `(N, num_classes, h, w)` float scores at 1/8, not softmaxed.
        """
        scores: Tensor = self.decode_head(self.backbone(x_nchw))
        return scores
