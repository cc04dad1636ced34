"""What network a set of weights belongs to, by a few entries that no other network has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A family of files that people have at hand.

    Attributes:
        title: What it is, for messages.
        landmarks: Entries that it has, with their first dimension; None for any.
        model: The model of the zoo that takes it, or None.
        classifier: The entry whose first dimension is the number of classes, or None.
    """

    title: str
    landmarks: Mapping[str, int | None]
    model: str | None = None
    classifier: str | None = None

    def matches(self, arrays: Mapping[str, NDArray[Any]]) -> bool:
        """Say whether all landmarks are there."""
        return all(
            name in arrays and (channels is None or arrays[name].shape[:1] == (channels,))
            for name, channels in self.landmarks.items()
        )


def _hrnet(title: str, channels: int, model: str | None = None, *deeper: str) -> Kind:
    return Kind(
        title=title,
        landmarks={"last_layer.0.weight": channels, **dict.fromkeys(deeper)},
        model=model,
        classifier="last_layer.3.weight",
    )


_PSPNET_HEAD = "decode_head.psp_modules.0.1.conv.weight"
_PADDLE_OCR_HEAD = "head.conv3x3_ocr._conv.weight"

KINDS = (
    Kind(
        title="an HRNet-OCR network (branch HRNet-OCR of HRNet-Semantic-Segmentation)",
        landmarks={"conv3x3_ocr.0.weight": None},
    ),
    Kind(
        title="an HRNet that classifies ImageNet",
        landmarks={"incre_modules.0.0.conv1.weight": None},
    ),
    _hrnet("HRNetV2-W48", 720, "hrnetv2-w48-cityscapes"),
    _hrnet("HRNetV2-W18-Small-v1", 240, "hrnetv2-w18-small-v1-cityscapes"),
    # The full W18 has the small one's widths and one module more in stage 3.
    _hrnet("the full HRNetV2-W18", 270, None, "stage3.3.branches.0.0.conv1.weight"),
    _hrnet("HRNetV2-W18-Small-v2", 270, "hrnetv2-w18-small-v2-cityscapes"),
    Kind(
        title="PaddleSeg's OCRNet on HRNet-W48",
        landmarks={_PADDLE_OCR_HEAD: None, "head.aux_head.0._conv.weight": 720},
        model="ocrnet-hrnet-w48-paddle",
        classifier="head.cls_head.weight",
    ),
    Kind(title="PaddleSeg's OCRNet on another backbone", landmarks={_PADDLE_OCR_HEAD: None}),
    Kind(
        title="mmsegmentation's PSPNet on ResNet-101",
        landmarks={_PSPNET_HEAD: None, "backbone.layer3.22.conv1.weight": None},
    ),
    Kind(
        title="mmsegmentation's PSPNet on ResNet-50-V1c",
        landmarks={
            _PSPNET_HEAD: None,
            "backbone.stem.0.weight": None,
            "backbone.layer3.5.conv3.weight": 1024,
        },
        model="pspnet-pytorch",
        classifier="decode_head.conv_seg.weight",
    ),
    Kind(
        title="another network of mmsegmentation", landmarks={"decode_head.conv_seg.weight": None}
    ),
    Kind(title="fastseg's MobileV3Large", landmarks={"trunk.block6.0.conv.weight": None}),
    Kind(
        title="fastseg's MobileV3Small",
        landmarks={"trunk.block5.0.conv.weight": None, "last.weight": None},
        model="fastseg-small",
        classifier="last.weight",
    ),
    Kind(title="a ResNet that classifies ImageNet", landmarks={"fc.weight": 1000}),
)
"""In the order in which they are tried."""


def recognise(arrays: Mapping[str, NDArray[Any]]) -> Kind | None:
    """Return what the arrays under upstream's names seem to be, or None."""
    return next((kind for kind in KINDS if kind.matches(arrays)), None)
