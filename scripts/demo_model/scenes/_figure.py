"""Bodies made of rounded limbs between joints, and what people wear."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo_model.scenes._camera import Float
from demo_model.scenes._canvas import Canvas
from demo_model.scenes._light import Colour, jittered, picked, scaled
from demo_model.scenes._solids import Pose

Joint = tuple[float, float, float]
"""Right, up, forward, in metres of somebody 1.72 m tall."""

CLOTHES: tuple[Colour, ...] = (
    (36, 38, 44),
    (58, 66, 92),
    (132, 36, 40),
    (188, 184, 176),
    (86, 96, 72),
    (168, 120, 60),
    (60, 92, 136),
    (110, 104, 98),
    (214, 206, 96),
    (96, 60, 104),
    (226, 226, 222),
    (44, 70, 62),
)
_TROUSERS: tuple[Colour, ...] = (
    (34, 36, 42),
    (52, 62, 86),
    (92, 84, 72),
    (68, 68, 70),
    (140, 124, 98),
)
_SKIN: tuple[Colour, ...] = ((224, 182, 154), (198, 148, 116), (150, 104, 76), (98, 66, 48))
_HAIR: tuple[Colour, ...] = ((34, 26, 22), (74, 52, 36), (150, 118, 72), (128, 126, 124))
SHOES: Colour = (30, 28, 28)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """Draws the limbs of one body, all of one class, in its own axes."""

    canvas: Canvas
    pose: Pose
    label: int
    scale: float = 1.0

    def point(self, joint: Joint) -> Float:
        """Place a joint in the world, `(3,)`."""
        return self.pose.world(np.array(joint) * self.scale)

    def limb(self, joints: Sequence[Joint], radius_m: float, colour: Colour) -> None:
        """Draw rounded bars from joint to joint."""
        for start, end in itertools.pairwise([self.point(joint) for joint in joints]):
            self.canvas.limb(start, end, radius_m * self.scale, colour, self.label)

    def ball(self, joint: Joint, radius_m: float, colour: Colour) -> None:
        """Draw a disc around a joint."""
        self.canvas.ball(self.point(joint), radius_m * self.scale, colour, self.label)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outfit:
    """Colours of one person in this light."""

    coat: Colour
    trousers: Colour
    skin: Colour
    hair: Colour


def draw_outfit(canvas: Canvas, rng: np.random.Generator) -> Outfit:
    """Choose what somebody wears."""
    level = canvas.light.ambient + 0.3 * canvas.light.sun_strength
    return Outfit(
        coat=scaled(jittered(rng, picked(rng, CLOTHES), 0.2), level),
        trousers=scaled(jittered(rng, picked(rng, _TROUSERS), 0.2), level),
        skin=scaled(picked(rng, _SKIN), level),
        hair=scaled(picked(rng, _HAIR), level),
    )


def draw_head(figure: Figure, outfit: Outfit, at: Joint, helmet: Colour | None = None) -> None:
    """Draw neck, hair or helmet, and face."""
    right, up, forward = at
    hair = helmet or outfit.hair
    neck = [(right, up - 0.16, forward - 0.02), (right, up - 0.06, forward)]
    face = [(right, up - 0.045, forward + 0.03), (right, up + 0.02, forward + 0.03)]
    crown = [(right, up + 0.085, forward - 0.01), (right, up + 0.1, forward - 0.05)]
    figure.limb(neck, 0.055, scaled(outfit.skin, 0.85))
    figure.ball((right, up + 0.035, forward - 0.03), 0.14 if helmet else 0.115, hair)
    figure.limb(face, 0.085, outfit.skin)
    figure.limb(crown, 0.075, hair)
