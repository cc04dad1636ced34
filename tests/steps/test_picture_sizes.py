"""A picture is refused for what is the matter with it, and what is advised does help."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tritonseg_steps.geometry import Size
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.picture_sizes import picture_refusal
from tritonseg_steps.resize_policy import CenterCrop, FitPad, KeepRatio, Native, ResizePolicy

BOUNDS = "by resize: {policy: keep_ratio, long_side: 64, short_side: 32}"
WORDS = {
    "a line": (
        KeepRatio(long_side=64, short_side=32), NetworkSizes(at_least=4), (1, 5000),
        "this model's network takes at least 4 pixels, got 1x5000, which becomes 1x64 whatever its "
        f"scale, {BOUNDS}; its sides are too unequal: crop the picture",
    ),
    "bounds below what is taken": (
        KeepRatio(long_side=1, short_side=1), NetworkSizes(at_least=4), (97, 131),
        "this model's network takes at least 4 pixels, got 97x131, which becomes 1x1 whatever its "
        "scale, by resize: {policy: keep_ratio, long_side: 1, short_side: 1}; build the model with "
        "larger bounds",
    ),
    "bounds beyond what is taken": (
        KeepRatio(long_side=64, short_side=32), NetworkSizes(at_most_hw=(48, 48)), (100, 200),
        "this model's network takes at most 48x48, got 100x200, which becomes 32x64 whatever its "
        f"scale, {BOUNDS}; build the model with smaller bounds",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("resize", "sizes", "image_hw", "words"), WORDS.values(), ids=WORDS)
def test_words(resize: ResizePolicy, sizes: NetworkSizes, image_hw: Size, words: str) -> None:
    assert picture_refusal(resize, sizes, image_hw) == words


side = st.integers(1, 300)


@given(image_hw=st.tuples(side, side), scale=st.integers(2, 5), bounds=st.tuples(side, side))
def test_the_scale_has_no_part_in_it(image_hw: Size, scale: int, bounds: Size) -> None:
    """Of whole multiples, which keep their ratio; crops to a square are what the words promise."""
    factor = min(max(bounds) / max(image_hw), min(bounds) / min(image_hw))
    assume(abs(min(image_hw) * factor - 15.5) > 1e-6)  # which rounds as the last bit falls
    resize = KeepRatio(long_side=max(bounds), short_side=min(bounds))
    sizes = NetworkSizes(at_least=16)
    words = picture_refusal(resize, sizes, image_hw)
    larger = (image_hw[0] * scale, image_hw[1] * scale)
    assert (picture_refusal(resize, sizes, larger) is None) == (words is None)
    if words is not None:
        square = (min(image_hw), min(image_hw))
        assert (picture_refusal(resize, sizes, square) is None) == words.endswith(
            "crop the picture"
        )


@pytest.mark.parametrize("resize", [Native(), FitPad(height=8, width=8)])
def test_other_policies_are_in_the_words_of_the_sizes(resize: ResizePolicy) -> None:
    sizes = NetworkSizes(at_least=40)
    assert picture_refusal(resize, sizes, (8, 9)) == sizes.refusal(resize.geometry((8, 9)))


@pytest.mark.parametrize(
    ("resize", "sizes", "image_hw", "words"),
    [
        (
            Native(size_divisor=5), NetworkSizes(height=64, width=96), (64, 96),
            "this model's network takes 64x96 (height x width) only, got 64x96, which becomes "
            "65x100; build the model with another resize policy",
        ),
        (
            KeepRatio(long_side=200, short_side=100, size_divisor=1), NetworkSizes(multiple_of=32),
            (300, 300),
            "whose height and width are multiples of 32, got 300x300, which becomes 100x100; build "
            "the model with size_divisor: 32 in its resize policy",
        ),
        (
            KeepRatio(long_side=200, short_side=100, size_divisor=1), NetworkSizes(height=64),
            (300, 300),
            "network takes 64xany (height x width) only, got 300x300, which becomes 100x100; build "
            "the model with another resize policy",
        ),
    ],
)  # fmt: skip
def test_what_a_policy_makes_of_a_picture_is_not_asked_of_the_picture(
    resize: ResizePolicy, sizes: NetworkSizes, image_hw: Size, words: str
) -> None:
    assert words in str(picture_refusal(resize, sizes, image_hw))


def test_a_strip_is_not_made_a_picture_that_fills_the_memory() -> None:
    resize = KeepRatio(short_side=520, rounding="truncate")
    assert picture_refusal(resize, NetworkSizes(), (640, 480)) is None
    assert picture_refusal(Native(), NetworkSizes(), (1, 5000)) is None
    words = picture_refusal(resize, NetworkSizes(), (1, 5000))
    assert words is not None
    assert words.startswith("this model makes 520x2600000 (height x width) of a picture of 1x5000")


def test_what_is_cropped_is_resized_first() -> None:
    """1x300000 becomes 72 x 21,600,000 before 64x80 pixels of it are kept."""
    resize = CenterCrop(height=64, width=80, short_side=72, outside=0)
    refusal = picture_refusal(resize, NetworkSizes(height=64, width=80), (1, 300_000))
    assert refusal is not None
    assert "makes 72x21600000 (height x width) of a picture of 1x300000" in refusal
    assert picture_refusal(resize, NetworkSizes(height=64, width=80), (1, 6000)) is None
