"""ResNet-50-V1c-D8: three 3x3 convolutions as stem, dilated so that the last features are at 1/8.

Module names are upstream's own. Source: open-mmlab/mmsegmentation 0.30.0,
`mmseg/models/backbones/resnet.py` and `utils/res_layer.py` as configured by
`configs/_base_/models/pspnet_r50-d8.py` (`strides=(1, 2, 1, 1)`, `dilations=(1, 1, 2, 4)`,
`contract_dilation=True`, `style='pytorch'`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

EXPANSION = 4
STEM_CHANNELS = 64
OUT_CHANNELS = 2048


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One of `layer1` to `layer4`."""

    channels: int
    blocks: int
    stride: int
    dilation: int

    @property
    def first_dilation(self) -> int:
        """Dilation of the first block: half of the others' (`contract_dilation`)."""
        return max(1, self.dilation // 2)


LAYERS = (
    Layer(channels=64, blocks=3, stride=1, dilation=1),
    Layer(channels=128, blocks=4, stride=2, dilation=1),
    Layer(channels=256, blocks=6, stride=1, dilation=2),
    Layer(channels=512, blocks=3, stride=1, dilation=4),
)


class Bottleneck(nn.Module):
    """1x1, 3x3 (which carries stride and dilation), 1x1, and a residual."""

    def __init__(self, in_channels: int, channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        out_channels = channels * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(
            channels, channels, 3, stride, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, 4 * channels, ceil(H/stride), ceil(W/stride))`."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + shortcut)


def _stem() -> nn.Sequential:
    half = STEM_CHANNELS // 2
    return nn.Sequential(
        nn.Conv2d(3, half, 3, 2, padding=1, bias=False),
        nn.BatchNorm2d(half),
        nn.ReLU(),
        nn.Conv2d(half, half, 3, padding=1, bias=False),
        nn.BatchNorm2d(half),
        nn.ReLU(),
        nn.Conv2d(half, STEM_CHANNELS, 3, padding=1, bias=False),
        nn.BatchNorm2d(STEM_CHANNELS),
        nn.ReLU(),
    )


def _layer(in_channels: int, layer: Layer) -> nn.Sequential:
    out_channels = layer.channels * EXPANSION
    rest = (
        Bottleneck(out_channels, layer.channels, 1, layer.dilation) for _ in range(layer.blocks - 1)
    )
    first = Bottleneck(in_channels, layer.channels, layer.stride, layer.first_dilation)
    return nn.Sequential(first, *rest)


class ResNet50V1cD8(nn.Module):
    """The backbone without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _stem()
        widths = (STEM_CHANNELS, *(layer.channels * EXPANSION for layer in LAYERS))
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _layer(width, layer) for width, layer in zip(widths, LAYERS, strict=False)
        )

    def forward(self, x_nchw: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to `(N, 2048, h, w)` at 1/8, rounded up at every halving."""
        x = F.max_pool2d(self.stem(x_nchw), kernel_size=3, stride=2, padding=1)
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features
