"""Specifications of the published models.

Sources stand with each entry; where a card and its upstream disagree, upstream's code decides.
Cards: Open Model Zoo (fastseg-small, pspnet-pytorch, ocrnet-hrnet-w48-paddle) and VastModelZOO
(the three HRNets). How their figures come about was found by recomputing them; what this project
counts itself is in `counting`.
"""

from __future__ import annotations

from tritonseg_engines.spec import CardFigures, InputSpec, ModelSpec, OutputSpec
from tritonseg_engines.zoo.label_sets import (
    CITYSCAPES_CLASSES,
    CITYSCAPES_IGNORE_INDEX,
    CITYSCAPES_PALETTE,
    VOC_CLASSES,
    VOC_IGNORE_INDEX,
    VOC_PALETTE,
)
from tritonseg_steps.preprocessing import Preprocessing
from tritonseg_steps.resize_policy import FitPad

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_SCALE = (58.395, 57.12, 57.375)
"""Source: torchvision's ImageNet statistics (0.485, 0.229, ...), here in units of 0-255."""
MIDDLE = (127.5, 127.5, 127.5)
"""Source: PaddleSeg `transforms.Normalize`, mean and std 0.5 of 0-1, in units of 0-255."""

CITYSCAPES_TERMS = "the weights were trained on Cityscapes, whose terms are separate"
ANALYZER = (
    "Open Model Zoo's Model Analyzer: twice the convolution MACs, plus biases, activations and "
    "pooling by weights of its own, batch norm folded"
)


def _cityscapes(
    name: str, preprocessing: Preprocessing, code_license: str, source: str, card: CardFigures
) -> ModelSpec:
    return ModelSpec(
        name=name,
        input=InputSpec(name="image", height=1024, width=2048),
        preprocessing=preprocessing,
        output=OutputSpec(name="scores"),
        classes=CITYSCAPES_CLASSES,
        palette=CITYSCAPES_PALETTE,
        ignore_index=CITYSCAPES_IGNORE_INDEX,
        license=f"{code_license} (code); {CITYSCAPES_TERMS}",
        source=source,
        card=card,
    )


def _hrnet(name: str, mparams: float, gflops: float, miou: float) -> ModelSpec:
    """Native size: the card's 512x512 is its converter's, and not what upstream evaluates."""
    return _cityscapes(
        name,
        Preprocessing(mean=IMAGENET_MEAN, scale=IMAGENET_SCALE),
        "MIT",
        "HRNet/HRNet-Semantic-Segmentation, branch pytorch-v1.1",
        CardFigures(
            mparams=mparams,
            gflops=gflops,
            accuracy=f"mIoU {miou} on Cityscapes val at 1024x2048",
            convention="convolution MACs in units of 2^30, at 1024x2048",
        ),
    )


_FASTSEG = _cityscapes(
    "fastseg-small",
    Preprocessing(mean=IMAGENET_MEAN, scale=IMAGENET_SCALE),
    "MIT",
    "ekzhang/fastseg, MobileV3Small, num_filters=128",
    CardFigures(
        mparams=1.1,
        gflops=69.2204,
        accuracy="mIoU 67.15 % on Cityscapes val at 1024x2048",
        convention=f"{ANALYZER}; at 1024x2048",
    ),
)

_PSPNET = ModelSpec(
    name="pspnet-pytorch",
    input=InputSpec(name="image", height=512, width=512),
    # As the card evaluates; upstream fits into 2048x512 and pads nothing.
    preprocessing=Preprocessing(
        mean=IMAGENET_MEAN,
        scale=IMAGENET_SCALE,
        resize=FitPad(height=512, width=512),
        padding=IMAGENET_MEAN,
    ),
    output=OutputSpec(name="scores"),
    classes=VOC_CLASSES,
    palette=VOC_PALETTE,
    ignore_index=VOC_IGNORE_INDEX,
    license="Apache-2.0 (code); the weights were trained on PASCAL VOC 2012 and SBD, whose terms "
    "are separate",
    source="open-mmlab/mmsegmentation, pspnet_r50-d8_512x512_20k_voc12aug",
    card=CardFigures(
        mparams=46.5827,
        gflops=357.1719,
        accuracy="mIoU 70.6 % on PASCAL VOC 2012 val at 512x512, with approximate pooling",
        convention=f"{ANALYZER}; at 512x512",
    ),
)

_OCRNET = _cityscapes(
    "ocrnet-hrnet-w48-paddle",
    Preprocessing(mean=MIDDLE, scale=MIDDLE),
    "Apache-2.0",
    "PaddlePaddle/PaddleSeg release/2.3, ocrnet_hrnetw48_cityscapes_1024x512_160k",
    CardFigures(
        mparams=70.47,
        gflops=324.66,
        accuracy="mIoU 82.15 % on Cityscapes val at 1024x2048",
        convention="paddle.flops: convolution MACs plus biases and two per batch-norm element, at "
        "512x1024, a quarter of the card's input; parameters with batch norm's statistics",
    ),
)

ZOO_SPECS = {
    spec.name: spec
    for spec in (
        _FASTSEG,
        _PSPNET,
        _OCRNET,
        _hrnet("hrnetv2-w48-cityscapes", 65.8, 696.2, 81.1),
        _hrnet("hrnetv2-w18-small-v1-cityscapes", 1.5, 31.1, 70.3),
        _hrnet("hrnetv2-w18-small-v2-cityscapes", 3.9, 71.6, 76.2),
    )
}
