"""HRNetV2: four resolutions in parallel, fused by bilinear upsampling, kept at 1/4 to the end.

Module names are upstream's own, so a published state dict loads without renaming.

Source: HRNet/HRNet-Semantic-Segmentation, branch `pytorch-v1.1`, commit 88419ab1,
`lib/models/seg_hrnet.py` (architecture and names) and `experiments/cityscapes/*.yaml` (widths).
Two details decide whether a checkpoint that loads also agrees: the fusion is *bilinear* with
`align_corners=False` (ImageNet HRNets fuse by nearest), and no upsampling follows `last_layer`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tritonseg_engines.zoo.network import SegmentationNetwork

BATCH_NORM_MOMENTUM = 0.01  # upstream's BN_MOMENTUM; matters for training only
BOTTLENECK_EXPANSION = 4

ConvFactory = Callable[[int, int, int, int], nn.Module]
"""`(in_channels, out_channels, kernel_size, stride) -> convolution without bias`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One of stages 2 to 4: `modules` repetitions of parallel branches followed by fusion."""

    modules: int
    blocks: int
    channels: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class HRNetConfig:
    """Widths and depths; the stem is 64 channels at 1/4 in every published variant."""

    stem_blocks: int
    stem_channels: int
    stages: tuple[Stage, Stage, Stage]

    @property
    def out_channels(self) -> int:
        """Channels of the concatenated 1/4-resolution feature map."""
        return sum(self.stages[-1].channels)


W48 = HRNetConfig(
    stem_blocks=4,
    stem_channels=64,
    stages=(
        Stage(modules=1, blocks=4, channels=(48, 96)),
        Stage(modules=4, blocks=4, channels=(48, 96, 192)),
        Stage(modules=3, blocks=4, channels=(48, 96, 192, 384)),
    ),
)
W18_SMALL_V1 = HRNetConfig(
    stem_blocks=1,
    stem_channels=32,
    stages=(
        Stage(modules=1, blocks=2, channels=(16, 32)),
        Stage(modules=1, blocks=2, channels=(16, 32, 64)),
        Stage(modules=1, blocks=2, channels=(16, 32, 64, 128)),
    ),
)
W18_SMALL_V2 = HRNetConfig(
    stem_blocks=2,
    stem_channels=64,
    stages=(
        Stage(modules=1, blocks=2, channels=(18, 36)),
        Stage(modules=3, blocks=2, channels=(18, 36, 72)),
        Stage(modules=2, blocks=2, channels=(18, 36, 72, 144)),
    ),
)


def symmetric_conv(in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.Module:
    """Convolution as HRNet pads it: `kernel_size // 2` on every side."""
    return nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False
    )


def upsample_to(x_nchw: Tensor, reference_nchw: Tensor) -> Tensor:
    """Upsample bilinearly (half-pixel centres) to the height and width of the reference."""
    return F.interpolate(
        x_nchw, size=reference_nchw.shape[-2:], mode="bilinear", align_corners=False
    )


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, momentum=BATCH_NORM_MOMENTUM)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a residual, in branches of equal width."""

    def __init__(self, channels: int, conv: ConvFactory) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, 3, 1)
        self.bn1 = _batch_norm(channels)
        self.conv2 = conv(channels, channels, 3, 1)
        self.bn2 = _batch_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape `(N, channels, H, W)`."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + x)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with fourfold expansion; only `layer1` uses it."""

    def __init__(self, in_channels: int, channels: int, conv: ConvFactory) -> None:
        super().__init__()
        out_channels = channels * BOTTLENECK_EXPANSION
        self.conv1 = conv(in_channels, channels, 1, 1)
        self.bn1 = _batch_norm(channels)
        self.conv2 = conv(channels, channels, 3, 1)
        self.bn2 = _batch_norm(channels)
        self.conv3 = conv(channels, out_channels, 1, 1)
        self.bn3 = _batch_norm(out_channels)
        self.downsample: nn.Module | None = None
        if in_channels != out_channels:
            self.downsample = nn.Sequential(
                conv(in_channels, out_channels, 1, 1), _batch_norm(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, 4 * channels, H, W)`."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + shortcut)


class FusionModule(nn.Module):
    """Parallel branches, then every branch receives the sum of all at its own resolution."""

    def __init__(self, channels: tuple[int, ...], blocks: int, conv: ConvFactory) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, conv) for _ in range(blocks))) for width in channels
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(
                _fuse_layer(channels, source, target, conv) for source in range(len(channels))
            )
            for target in range(len(channels))
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Map one feature map per resolution to the same number of the same shapes."""
        branched = [branch(x) for branch, x in zip(self.branches, features, strict=True)]
        return [self._fuse(target, branched) for target in range(len(branched))]

    def _fuse(self, target: int, branched: list[Tensor]) -> Tensor:
        layers = cast(nn.ModuleList, self.fuse_layers[target])
        terms = [layer(x) for layer, x in zip(layers, branched, strict=True)]
        total: Tensor = terms[0]
        for source, term in enumerate(terms[1:], start=1):
            total = total + (upsample_to(term, branched[target]) if source > target else term)
        return F.relu(total)


def _fuse_layer(
    channels: tuple[int, ...], source: int, target: int, conv: ConvFactory
) -> nn.Module:
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(
            conv(channels[source], channels[target], 1, 1), _batch_norm(channels[target])
        )
    steps = []
    for step in range(target - source):
        last = step == target - source - 1
        width = channels[target] if last else channels[source]
        layers = [conv(channels[source], width, 3, 2), _batch_norm(width)]
        steps.append(nn.Sequential(*layers) if last else nn.Sequential(*layers, nn.ReLU()))
    return nn.Sequential(*steps)


def _transition(
    before: tuple[int, ...], after: tuple[int, ...], conv: ConvFactory
) -> nn.ModuleList:
    """Adapt the widths of existing branches and open the new, half-resolution ones."""
    layers: list[nn.Module] = []
    for index, width in enumerate(after):
        if index < len(before):
            same = before[index] == width
            layers.append(
                nn.Identity()
                if same
                else nn.Sequential(conv(before[index], width, 3, 1), _batch_norm(width), nn.ReLU())
            )
            continue
        steps = []
        for step in range(index - len(before) + 1):
            out = width if step == index - len(before) else before[-1]
            steps.append(nn.Sequential(conv(before[-1], out, 3, 2), _batch_norm(out), nn.ReLU()))
        layers.append(nn.Sequential(*steps))
    return nn.ModuleList(layers)


class HRNetBackbone(nn.Module):
    """Stem, `layer1` and stages 2 to 4; `features` is the concatenation at 1/4 resolution."""

    def __init__(self, config: HRNetConfig, conv: ConvFactory = symmetric_conv) -> None:
        super().__init__()
        self.conv1 = conv(3, 64, 3, 2)
        self.bn1 = _batch_norm(64)
        self.conv2 = conv(64, 64, 3, 2)
        self.bn2 = _batch_norm(64)
        width = config.stem_channels * BOTTLENECK_EXPANSION
        self.layer1 = nn.Sequential(
            *(
                Bottleneck(64 if index == 0 else width, config.stem_channels, conv)
                for index in range(config.stem_blocks)
            )
        )
        before: tuple[int, ...] = (width,)
        for number, stage in enumerate(config.stages, start=2):
            setattr(self, f"transition{number - 1}", _transition(before, stage.channels, conv))
            modules = (
                FusionModule(stage.channels, stage.blocks, conv) for _ in range(stage.modules)
            )
            setattr(self, f"stage{number}", nn.Sequential(*modules))
            before = stage.channels

    def features(self, x_nchw: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to `(N, sum(channels), ceil(H/4), ceil(W/4))`."""
        x = F.relu(self.bn1(self.conv1(x_nchw)))
        x = F.relu(self.bn2(self.conv2(x)))
        branches = [self.layer1(x)]
        for number in (2, 3, 4):
            transition = getattr(self, f"transition{number - 1}")
            branches = [
                layer(branches[min(index, len(branches) - 1)])
                for index, layer in enumerate(transition)
            ]
            branches = getattr(self, f"stage{number}")(branches)
        finest = branches[0]
        return torch.cat([finest, *(upsample_to(x, finest) for x in branches[1:])], dim=1)


class HRNetV2(HRNetBackbone, SegmentationNetwork):
    """HRNetV2 for segmentation: scores at 1/4 of the input's resolution."""

    def __init__(self, config: HRNetConfig, *, num_classes: int) -> None:
        super().__init__(config)
        channels = config.out_channels
        self.last_layer = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            _batch_norm(channels),
            nn.ReLU(),
            nn.Conv2d(channels, num_classes, 1),
        )

    def forward(self, x_nchw: Tensor) -> Tensor:
        """Return the scores.

        Args:
            x_nchw: `(N, 3, H, W)` float, normalised RGB; any size from 1x1.

        Returns:
            `(N, num_classes, ceil(ceil(H/2)/2), ceil(ceil(W/2)/2))` float scores, not softmaxed.
        """
        scores: Tensor = self.last_layer(self.features(x_nchw))
        return scores
