"""OCRNet on HRNet-W48 as PaddleSeg has it: every pixel attends to the mean feature of each class.

Source: PaddlePaddle/PaddleSeg release/2.3, `paddleseg/models/ocrnet.py` and
`paddleseg/models/backbones/hrnet.py`. Its HRNet is that of `hrnet`, except that it pads by
TensorFlow's rule SAME; its head's convolutions have a bias although batch norm follows.
Paddle's names are in `paddle_names`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tritonseg_engines.zoo.hrnet import W48, HRNetBackbone, symmetric_conv
from tritonseg_engines.zoo.network import SegmentationNetwork
from tritonseg_engines.zoo.paddle_names import paddle_name
from tritonseg_engines.zoo.same_conv import SameConv2d

PIXEL_CHANNELS = 512
KEY_CHANNELS = 256


def same_conv(in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.Module:
    """Convolution as PaddleSeg's HRNet pads it; symmetric at stride 1."""
    if stride == 1:
        return symmetric_conv(in_channels, out_channels, kernel_size, stride)
    return SameConv2d(in_channels, out_channels, kernel_size, stride)


class ConvBnRelu(nn.Module):
    """Convolution with bias, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, out_channels, H, W)`."""
        return F.relu(self.bn(self.conv(x)))


def gather_regions(pixels: Tensor, soft_regions: Tensor) -> Tensor:
    """Return the mean pixel feature of each class, weighted by its softmax over the image.

    Args:
        pixels: `(N, C, H, W)`.
        soft_regions: `(N, classes, H, W)` scores.

    Returns:
        `(N, C, classes, 1)`.
    """
    weights = F.softmax(soft_regions.flatten(2), dim=2)
    regions = torch.matmul(weights, pixels.flatten(2).transpose(1, 2))
    return regions.transpose(1, 2).unsqueeze(3)


class ObjectAttention(nn.Module):
    """Attention of pixels to class regions."""

    def __init__(self) -> None:
        super().__init__()
        self.f_pixel = nn.Sequential(
            ConvBnRelu(PIXEL_CHANNELS, KEY_CHANNELS), ConvBnRelu(KEY_CHANNELS, KEY_CHANNELS)
        )
        self.f_object = nn.Sequential(
            ConvBnRelu(PIXEL_CHANNELS, KEY_CHANNELS), ConvBnRelu(KEY_CHANNELS, KEY_CHANNELS)
        )
        self.f_down = ConvBnRelu(PIXEL_CHANNELS, KEY_CHANNELS)
        self.f_up = ConvBnRelu(KEY_CHANNELS, PIXEL_CHANNELS)

    def forward(self, pixels: Tensor, regions: Tensor) -> Tensor:
        """Map `(N, 512, H, W)` and `(N, 512, classes, 1)` to the context `(N, 512, H, W)`."""
        queries = self.f_pixel(pixels)
        keys = self.f_object(regions).flatten(2)
        values = self.f_down(regions).flatten(2)
        similarity = torch.matmul(queries.flatten(2).transpose(1, 2), keys)
        attention = F.softmax(KEY_CHANNELS**-0.5 * similarity, dim=-1)
        context = torch.matmul(attention, values.transpose(1, 2)).transpose(1, 2)
        up: Tensor = self.f_up(context.reshape(queries.shape))
        return up


class SpatialOcr(nn.Module):
    """Pixels beside their context, mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_block = ObjectAttention()
        self.conv1x1 = nn.Sequential(ConvBnRelu(2 * PIXEL_CHANNELS, PIXEL_CHANNELS))

    def forward(self, pixels: Tensor, regions: Tensor) -> Tensor:
        """Keep the shape of the pixels `(N, 512, H, W)`."""
        context = self.attention_block(pixels, regions)
        mixed: Tensor = self.conv1x1(torch.cat([context, pixels], dim=1))
        return mixed


class OcrHead(nn.Module):
    """Soft regions by the auxiliary classifier, then scores from pixels and context."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.spatial_ocr = SpatialOcr()
        self.conv3x3_ocr = ConvBnRelu(in_channels, PIXEL_CHANNELS, 3)
        self.cls_head = nn.Conv2d(PIXEL_CHANNELS, num_classes, 1)
        self.aux_head = nn.Sequential(
            ConvBnRelu(in_channels, in_channels), nn.Conv2d(in_channels, num_classes, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, num_classes, H, W)`."""
        soft_regions = self.aux_head(features)
        pixels = self.conv3x3_ocr(features)
        mixed = self.spatial_ocr(pixels, gather_regions(pixels, soft_regions))
        scores: Tensor = self.cls_head(mixed)
        return scores


class OCRNet(SegmentationNetwork):
    """OCRNet on HRNet-W48: scores at 1/4 of the input's resolution."""

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.backbone = HRNetBackbone(W48, same_conv)
        self.head = OcrHead(W48.out_channels, num_classes)

    def upstream_name(self, name: str) -> str:
        """Return Paddle's name of an entry of this network's state dict."""
        return paddle_name(name)

    def forward(self, x_nchw: Tensor) -> Tensor:
        """Return the scores.

        Args:
            x_nchw: `(N, 3, H, W)` float, normalised RGB; any size from 1x1.

        Returns:
            `(N, num_classes, ceil(ceil(H/2)/2), ceil(ceil(W/2)/2))` float scores, not softmaxed.
        """
        scores: Tensor = self.head(self.backbone.features(x_nchw))
        return scores
