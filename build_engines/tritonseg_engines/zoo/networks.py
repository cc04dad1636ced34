"""Which network belongs to which name."""

from __future__ import annotations

from collections.abc import Callable

from tritonseg_engines.errors import SpecificationError
from tritonseg_engines.zoo import hrnet
from tritonseg_engines.zoo.fastseg import FastSegSmall
from tritonseg_engines.zoo.network import SegmentationNetwork
from tritonseg_engines.zoo.ocrnet import OCRNet
from tritonseg_engines.zoo.pspnet import PSPNet

FASTSEG = "fastseg-small"

_NETWORKS: dict[str, Callable[[int], SegmentationNetwork]] = {
    FASTSEG: lambda classes: FastSegSmall(num_classes=classes),
    "pspnet-pytorch": lambda classes: PSPNet(num_classes=classes),
    "ocrnet-hrnet-w48-paddle": lambda classes: OCRNet(num_classes=classes),
    "hrnetv2-w48-cityscapes": lambda classes: hrnet.HRNetV2(hrnet.W48, num_classes=classes),
    "hrnetv2-w18-small-v1-cityscapes": lambda classes: hrnet.HRNetV2(
        hrnet.W18_SMALL_V1, num_classes=classes
    ),
    "hrnetv2-w18-small-v2-cityscapes": lambda classes: hrnet.HRNetV2(
        hrnet.W18_SMALL_V2, num_classes=classes
    ),
}


def create_network(
    name: str, num_classes: int, num_filters: int | None = None
) -> SegmentationNetwork:
    """Return a fresh network in evaluation mode; the name is one of the zoo's.

    Raises:
        SpecificationError: There are fewer classes or filters than one, or `num_filters` is given
            for another network than fastseg.
    """
    if num_classes < 1:
        raise SpecificationError(f"num_classes: expected at least 1, got {num_classes}")
    if num_filters is None:
        return _NETWORKS[name](num_classes).eval()
    if name != FASTSEG:
        raise SpecificationError(f"num_filters: only {FASTSEG} has it, got it for {name}")
    if num_filters < 1:
        raise SpecificationError(f"num_filters: expected at least 1, got {num_filters}")
    return FastSegSmall(num_classes=num_classes, num_filters=num_filters).eval()
