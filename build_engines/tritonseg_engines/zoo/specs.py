"""Specifications of the published models.

Sources stand with each entry; where a card and its upstream disagree, upstream's code decides.
"""

from __future__ import annotations

from tritonseg_engines.spec import CardFigures, InputSpec, ModelSpec, OutputSpec
from tritonseg_engines.zoo.label_sets import (
    CITYSCAPES_CLASSES,
    CITYSCAPES_IGNORE_INDEX,
    CITYSCAPES_PALETTE,
)
from tritonseg_steps.preprocessing import Preprocessing

IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_SCALE = (0.229 * 255, 0.224 * 255, 0.225 * 255)
"""Source: torchvision's ImageNet statistics, here in units of 0-255."""

_HRNET_W18_SMALL_V1 = ModelSpec(
    name="hrnetv2-w18-small-v1-cityscapes",
    input=InputSpec(name="image", height=1024, width=2048),
    preprocessing=Preprocessing(mean=IMAGENET_MEAN, scale=IMAGENET_SCALE),
    output=OutputSpec(name="scores"),
    classes=CITYSCAPES_CLASSES,
    palette=CITYSCAPES_PALETTE,
    ignore_index=CITYSCAPES_IGNORE_INDEX,
    license="MIT (code); the weights were trained on Cityscapes, whose terms are separate",
    source="HRNet/HRNet-Semantic-Segmentation, branch pytorch-v1.1",
    card=CardFigures(
        mparams=1.5,
        gflops=31.1,
        accuracy="mIoU 70.3 on Cityscapes val",
        convention="convolution MACs / 1024^3 at 1024x2048",
    ),
)

ZOO_SPECS = {spec.name: spec for spec in (_HRNET_W18_SMALL_V1,)}
