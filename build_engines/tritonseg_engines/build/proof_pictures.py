"""The pictures on which what will be served is held against the export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.build.samples import Question
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.running.pictures import Picture, smooth_noise
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.geometry import Geometry, Size
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.preprocessing import Normalizer

PICTURES = 2
"""Of every size, where it is small."""
LARGE_PIXELS = 1 << 19
OPEN_SIZES = ((256, 512), (97, 131), (61, 200), (17, 640), (105, 126))
"""Height and width: one that every usual stride divides, some that none does, and multiples of 3
and 7, where windows of these strides end at the edge."""
MOST_PIXELS = 1 << 21
"""Of an input, if there is a smaller one: by its short side a strip becomes a very long one."""
PADDED = 2
"""Of pictures that lead to one input: one that fills it, and one that is padded."""
LOOKS = ((64, 120.0), (4, 64.0), (32, 20.0), (128, 200.0), (8, 120.0), (1, 40.0))
"""Cell in pixels and spread in levels of noise that is drawn where the usual shows one class."""
HEADROOM = 8
"""Levels that noise keeps away from the extremes, so that these are beyond it."""
PLAIN = {"white": (255, 255, 255), "one colour": (200, 30, 91)}
"""The second because means of it are rounded, which a division by its contrast makes large."""
SQUARE = 4
"""Side in pixels of what changes from one extreme to the other."""


def questions(
    spec: ModelSpec, sizes: NetworkSizes, given: Sequence[Picture] = ()
) -> Iterator[Question]:
    """Yield what pictures of every size become, as the normalize step makes it.

    Args:
        spec: Says how.
        sizes: What the network takes.
        given: The user's own; those of a size that it does not take are left out.

    Raises:
        OnnxModelError: The resize policy leads to no size that it takes.
    """
    ask = _Asker(spec, sizes)
    for picture in given:
        if ask.refusal(_size_hw(picture)) is None:
            yield ask.question(picture)
    for size_hw in ask.sizes_hw():
        large = _pixels(size_hw) >= LARGE_PIXELS
        for picture in smooth_noise(size_hw, 1 if large else PICTURES):
            yield ask.noise_question(picture)


def more_questions(spec: ModelSpec, sizes: NetworkSizes) -> Iterator[Question]:
    """Yield pictures that look otherwise, for networks to which the first are all of one class."""
    ask = _Asker(spec, sizes)
    size_hw = min(ask.sizes_hw(), key=_pixels)
    for cell, spread in LOOKS:
        (picture,) = smooth_noise(size_hw, 1, cell=cell, spread=spread)
        yield ask.noise_question(replace(picture, name=f"noise of {cell} pixels"))


def extreme_questions(spec: ModelSpec, sizes: NetworkSizes) -> Iterator[Question]:
    """Yield pictures of the largest and the smallest values.

    Noise does not reach them, and they are where runtimes differ: in logarithms of what is
    negative, casts that overflow, and divisions by the contrast of a picture that has none.
    """
    ask = _Asker(spec, sizes)
    height, width = min(ask.sizes_hw(), key=_pixels)
    contrasts = _contrasts((height, width))
    yield ask.question(Picture(name="contrasts", image_hwc=contrasts), extreme=True)
    large = height * width >= LARGE_PIXELS
    black = ask.question(Picture(name="black", image_hwc=np.zeros_like(contrasts)), extreme=True)
    yield replace(black, flat=large)
    for name, color in PLAIN.items() if not large else ():
        image_hwc = np.broadcast_to(np.array(color, np.uint8), contrasts.shape)
        yield ask.question(Picture(name=name, image_hwc=image_hwc), extreme=True)


def _contrasts(size_hw: Size) -> NDArray[np.uint8]:
    """Return `(H, W, 3)` quarters: black, white, a checkerboard, squares of random pure colours."""
    height, width = size_hw
    rows, columns = (np.arange(side) // SQUARE for side in size_hw)
    image_hwc = np.zeros((height, width, 3), np.uint8)
    top, left = slice(height // 2), slice(width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    image_hwc[top, right] = 255
    checkerboard = (rows[:, None] + columns) % 2
    image_hwc[bottom, left] = 255 * checkerboard[bottom, left, None]
    pure = np.random.default_rng(0).integers(2, size=(rows[-1] + 1, columns[-1] + 1, 3))
    image_hwc[bottom, right] = 255 * pure[rows[:, None], columns][bottom, right]
    return image_hwc


class _Asker:
    """Puts pictures as questions about the whole of the network's input, padding and all."""

    def __init__(self, spec: ModelSpec, sizes: NetworkSizes) -> None:
        self._spec, self._sizes = spec, sizes
        self._normalizer = Normalizer(spec.preprocessing)

    def refusal(self, image_hw: Size) -> str | None:
        return self._sizes.refusal(self._normalizer.geometry(image_hw))

    def sizes_hw(self) -> list[Size]:
        """Return sizes of pictures that lead to different inputs of the network."""
        own: dict[Geometry, Size] = {}
        for wanted in (self._spec.input.size_hw or OPEN_SIZES[0], *OPEN_SIZES):
            for image_hw in (wanted, self._sizes.nearest(wanted)):
                refusal = self.refusal(image_hw)
                if refusal is None:
                    geometry = self._normalizer.geometry(image_hw)
                    own.setdefault(replace(geometry, image_hw=geometry.content_hw), image_hw)
                    break
        if not own:
            policy = self._spec.preprocessing.resize.policy
            raise OnnxModelError(f"resize policy {policy!r}: {refusal}")
        smallest = min(_pixels(geometry.network_hw) for geometry in own)
        own = {
            geometry: image_hw
            for geometry, image_hw in own.items()
            if _pixels(geometry.network_hw) <= max(smallest, MOST_PIXELS)
        }
        one_input = len({geometry.network_hw for geometry in own}) == 1
        return list(own.values())[: PADDED if one_input else None]

    def noise_question(self, picture: Picture) -> Question:
        image_hwc = picture.image_hwc.clip(HEADROOM, 255 - HEADROOM)
        return self.question(replace(picture, image_hwc=image_hwc))

    def question(self, picture: Picture, *, extreme: bool = False) -> Question:
        geometry = self._normalizer.geometry(_size_hw(picture))
        (height, width), network_hw = geometry.content_hw, geometry.network_hw
        return Question(
            name=f"{picture.name} of {height}x{width}",
            geometry=Geometry(network_hw, network_hw, network_hw),
            batch_nchw=self._normalizer.batch(picture.image_hwc[None]),
            extreme=extreme,
        )


def _pixels(size_hw: Size) -> int:
    return size_hw[0] * size_hw[1]


def _size_hw(picture: Picture) -> Size:
    height, width = picture.image_hwc.shape[:2]
    return height, width
