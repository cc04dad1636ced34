"""MobileNetV3-small as fastseg's trunk: stride 8 at the end, dilated where strides were removed.

Module names are upstream's own. Source: ekzhang/fastseg, commit 91238cdf, `model/mobilenetv3.py`
(strides, dilations, where features are taken) over geffnet 1.0.2, `tf_mobilenetv3_small_100`
(widths, TensorFlow's SAME padding and batch-norm epsilon).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from tritonseg_engines.zoo.same_conv import SameConv2d

TRUNK_EPSILON = 1e-3  # TensorFlow's; torch's own default is a hundredth of it
STEM_CHANNELS = 16
TRUNK_CHANNELS = 576


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """One inverted residual block.

    Attributes:
        expanded: Channels between the pointwise convolutions.
        channels: Channels at the end.
        kernel_size: Of the depthwise convolution.
        squeezed: Channels inside squeeze-and-excite; 0 for none.
        stride: Of the depthwise convolution.
        dilation: Of the depthwise convolution.
        hard_swish: Activation; ReLU if False.
    """

    expanded: int
    channels: int
    kernel_size: int = 5
    squeezed: int = 0
    stride: int = 1
    dilation: int = 1
    hard_swish: bool = True


STAGES = (
    (
        Block(expanded=72, channels=24, kernel_size=3, stride=2, hard_swish=False),
        Block(expanded=88, channels=24, kernel_size=3, hard_swish=False),
    ),
    (
        Block(expanded=96, channels=40, squeezed=24, dilation=2),
        Block(expanded=240, channels=40, squeezed=64, dilation=2),
        Block(expanded=240, channels=40, squeezed=64, dilation=2),
    ),
    (
        Block(expanded=120, channels=48, squeezed=32, dilation=2),
        Block(expanded=144, channels=48, squeezed=40, dilation=2),
    ),
    (
        Block(expanded=288, channels=96, squeezed=72, dilation=4),
        Block(expanded=576, channels=96, squeezed=144, dilation=4),
        Block(expanded=576, channels=96, squeezed=144, dilation=4),
    ),
)
"""`block1` to `block4`. The first blocks of the second and the fourth stage have stride 2 in the
classifier; here they have the stage's dilation instead (libraries that derive it give less)."""


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=TRUNK_EPSILON)


def _pointwise(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 1, bias=False)


def _depthwise(channels: int, kernel_size: int, stride: int, dilation: int = 1) -> nn.Module:
    if stride > 1:
        return SameConv2d(channels, channels, kernel_size, stride, groups=channels)
    return nn.Conv2d(
        channels,
        channels,
        kernel_size,
        padding=dilation * (kernel_size // 2),
        dilation=dilation,
        groups=channels,
        bias=False,
    )


class SqueezeExcite(nn.Module):
    """Scale every channel by a gate computed from the means of all."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, squeezed, 1)
        self.conv_expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape `(N, channels, H, W)`."""
        means = F.adaptive_avg_pool2d(x, 1)
        return x * F.hardsigmoid(self.conv_expand(F.relu(self.conv_reduce(means))))


class DepthwiseSeparable(nn.Module):
    """The first block: depthwise at stride 2, squeeze-and-excite, project."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv_dw = _depthwise(channels, 3, stride=2)
        self.bn1 = _batch_norm(channels)
        self.se = SqueezeExcite(channels, squeezed)
        self.conv_pw = _pointwise(channels, channels)
        self.bn2 = _batch_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, channels, H, W)` to half the size."""
        y = self.se(F.relu(self.bn1(self.conv_dw(x))))
        projected: Tensor = self.bn2(self.conv_pw(y))
        return projected


class InvertedResidual(nn.Module):
    """Expand, depthwise, squeeze-and-excite, project; residual where the shape stays."""

    def __init__(self, in_channels: int, block: Block) -> None:
        super().__init__()
        self.activation = F.hardswish if block.hard_swish else F.relu
        self.residual = block.stride == 1 and in_channels == block.channels
        self.conv_pw = _pointwise(in_channels, block.expanded)
        self.bn1 = _batch_norm(block.expanded)
        self.conv_dw = _depthwise(block.expanded, block.kernel_size, block.stride, block.dilation)
        self.bn2 = _batch_norm(block.expanded)
        self.se = SqueezeExcite(block.expanded, block.squeezed) if block.squeezed else None
        self.conv_pwl = _pointwise(block.expanded, block.channels)
        self.bn3 = _batch_norm(block.channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, channels, ceil(H/stride), ceil(W/stride))`."""
        y = self.activation(self.bn1(self.conv_pw(x)))
        y = self.activation(self.bn2(self.conv_dw(y)))
        if self.se is not None:
            y = self.se(y)
        projected: Tensor = self.bn3(self.conv_pwl(y))
        return projected + x if self.residual else projected


class LastConv(nn.Module):
    """The pointwise convolution that ends the trunk."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = _pointwise(in_channels, out_channels)
        self.bn1 = _batch_norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, out_channels, H, W)`."""
        return F.hardswish(self.bn1(self.conv(x)))


class MobileNetV3Small(nn.Module):
    """The trunk: features at strides 2, 4 and 8."""

    def __init__(self) -> None:
        super().__init__()
        self.early = nn.Sequential(SameConv2d(3, STEM_CHANNELS, 3, 2), _batch_norm(STEM_CHANNELS))
        self.block0 = nn.Sequential(DepthwiseSeparable(STEM_CHANNELS, squeezed=8))
        width = STEM_CHANNELS
        stages = []
        for stage in STAGES:
            blocks = []
            for block in stage:
                blocks.append(InvertedResidual(width, block))
                width = block.channels
            stages.append(nn.Sequential(*blocks))
        self.block1, self.block2, self.block3, self.block4 = stages
        self.block5 = nn.Sequential(LastConv(width, TRUNK_CHANNELS))

    def forward(self, x_nchw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map `(N, 3, H, W)` to 16, 16 and 576 channels at 1/2, 1/4 and 1/8 (rounded up)."""
        half = F.hardswish(self.early(x_nchw))
        quarter = self.block0(half)
        eighth = self.block4(self.block3(self.block2(self.block1(quarter))))
        return half, quarter, self.block5(eighth)
