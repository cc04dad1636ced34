"""fastseg: MobileNetV3-small with a lite reduced atrous spatial pyramid (LR-ASPP) head.

Module names are upstream's own. Source: ekzhang/fastseg, commit 91238cdf, `model/lraspp.py`.
Of its bilinear upsamplings only the gate's has `align_corners=True`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tritonseg_engines.zoo.mobilenet_v3 import STEM_CHANNELS, TRUNK_CHANNELS, MobileNetV3Small
from tritonseg_engines.zoo.network import SegmentationNetwork

DEFAULT_NUM_FILTERS = 128
GATE_WINDOW = 49
GATE_STRIDE = (16, 20)
"""Window and stride, in cells of the 1/8 map, of the means from which the gate is computed."""
HALF_CHANNELS = 32
QUARTER_CHANNELS = 64


class ConvBnRelu(nn.Module):
    """1x1 convolution, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, out_channels, H, W)`."""
        return F.relu(self.bn(self.conv(x)))


def _upsample(x: Tensor, reference: Tensor, *, align_corners: bool = False) -> Tensor:
    return F.interpolate(x, size=reference.shape[-2:], mode="bilinear", align_corners=align_corners)


class FastSegSmall(SegmentationNetwork):
    """fastseg's `MobileV3Small`: scores at 1/2 of the input's resolution."""

    minimum_side: ClassVar[int] = 8 * (GATE_WINDOW - 1) + 1

    def __init__(self, *, num_classes: int, num_filters: int = DEFAULT_NUM_FILTERS) -> None:
        super().__init__()
        self.trunk = MobileNetV3Small()
        self.aspp_conv1 = nn.Sequential(
            nn.Conv2d(TRUNK_CHANNELS, num_filters, 1, bias=False),
            nn.BatchNorm2d(num_filters),
            nn.ReLU(),
        )
        self.aspp_conv2 = nn.Sequential(
            nn.AvgPool2d(GATE_WINDOW, GATE_STRIDE),
            nn.Conv2d(TRUNK_CHANNELS, num_filters, 1, bias=False),
            nn.Sigmoid(),
        )
        self.convs2 = nn.Conv2d(STEM_CHANNELS, HALF_CHANNELS, 1, bias=False)
        self.convs4 = nn.Conv2d(STEM_CHANNELS, QUARTER_CHANNELS, 1, bias=False)
        self.conv_up1 = nn.Conv2d(num_filters, num_filters, 1)
        self.conv_up2 = ConvBnRelu(num_filters + QUARTER_CHANNELS, num_filters)
        self.conv_up3 = ConvBnRelu(num_filters + HALF_CHANNELS, num_filters)
        self.last = nn.Conv2d(num_filters, num_classes, 1)

    def forward(self, x_nchw: Tensor) -> Tensor:
        """Return the scores.

        Args:
            x_nchw: `(N, 3, H, W)` float, normalised RGB; both sides at least 385.

        Returns:
            `(N, num_classes, ceil(H/2), ceil(W/2))` float scores, not softmaxed.
        """
        half, quarter, eighth = self.trunk(x_nchw)
        gate = _upsample(self.aspp_conv2(eighth), eighth, align_corners=True)
        y = self.conv_up1(self.aspp_conv1(eighth) * gate)
        y = self.conv_up2(torch.cat([_upsample(y, quarter), self.convs4(quarter)], dim=1))
        y = self.conv_up3(torch.cat([_upsample(y, half), self.convs2(half)], dim=1))
        scores: Tensor = self.last(y)
        return scores
