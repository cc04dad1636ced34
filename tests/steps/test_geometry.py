"""Resize policies against the formulas of the tools whose models use them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tritonseg_steps.geometry import Axis
from tritonseg_steps.resize_policy import (
    CenterCrop,
    FitPad,
    KeepRatio,
    Native,
    Stretch,
    resize_from_json,
    resize_to_json,
)

sides = st.integers(1, 5000)


@given(height=sides, width=sides)
def test_native_changes_nothing(height: int, width: int) -> None:
    geometry = Native().geometry((height, width))
    assert geometry.image_hw == geometry.content_hw == geometry.network_hw == (height, width)


@given(height=sides, width=sides)
def test_stretch_fills_the_network_input(height: int, width: int) -> None:
    geometry = Stretch(height=512, width=768).geometry((height, width))
    assert geometry.content_hw == geometry.network_hw == (512, 768)


@given(height=sides, width=sides)
def test_fit_pad_touches_one_side_and_keeps_the_ratio(height: int, width: int) -> None:
    content_h, content_w = FitPad(height=512, width=1024).geometry((height, width)).content_hw
    assert content_h == 512 or content_w == 1024
    assert 1 <= content_h <= 512
    assert 1 <= content_w <= 1024
    scale = min(512 / height, 1024 / width)
    assert content_h == pytest.approx(height * scale, abs=1)
    assert content_w == pytest.approx(width * scale, abs=1)


@pytest.mark.parametrize(
    ("image_hw", "content_hw"),
    [((375, 500), (384, 512)), ((500, 375), (512, 384)), ((333, 500), (340, 512))],
)
def test_fit_pad_truncates_like_open_model_zoo(
    image_hw: tuple[int, int], content_hw: tuple[int, int]
) -> None:
    """`int(side * min(512 / height, 512 / width))`, worked out by hand: 340.992 becomes 340."""
    assert FitPad(height=512, width=512).geometry(image_hw).content_hw == content_hw


@pytest.mark.parametrize(
    ("image_hw", "content_hw"),
    [((375, 500), (512, 683)), ((500, 375), (683, 512)), ((100, 1000), (205, 2048))],
)
def test_keep_ratio_rounds_half_up_like_mmcv(
    image_hw: tuple[int, int], content_hw: tuple[int, int]
) -> None:
    """`int(side * scale + 0.5)`: 375x500 by 512/375 is 512x682.67; 100x1000 by 2.048 is 204.8."""
    geometry = KeepRatio(long_side=2048, short_side=512).geometry(image_hw)
    assert geometry.content_hw == geometry.network_hw == content_hw


@given(height=sides, width=sides, size=st.integers(1, 2000))
def test_one_bound_truncates_like_torchvision(height: int, width: int, size: int) -> None:
    """`size` and `int(size * long / short)`. Source: torchvision, `transforms.functional`."""
    short, long = sorted((height, width))
    geometry = KeepRatio(short_side=size, rounding="truncate").geometry((height, width))
    assert sorted(geometry.content_hw) == sorted((size, max(1, int(size * long / short))))
    assert (geometry.content_hw[0] <= geometry.content_hw[1]) == (height <= width) or (
        geometry.content_hw[0] == geometry.content_hw[1]
    )


@given(height=sides, width=sides, size=st.integers(1, 2000))
def test_the_longest_side_may_be_the_one_that_is_given(height: int, width: int, size: int) -> None:
    geometry = KeepRatio(long_side=size).geometry((height, width))
    assert max(geometry.content_hw) == size
    other = min(height, width) * size / max(height, width)
    assert min(geometry.content_hw) == max(1, int(other + 0.5))


@given(height=sides, width=sides)
def test_a_centred_fit_is_the_letterbox_of_ultralytics(height: int, width: int) -> None:
    """Source: Ultralytics, `data/augment.py`, `LetterBox`, without `auto` and `scale_fill`."""
    resize = FitPad(height=384, width=640, rounding="round", align="center")
    geometry = resize.geometry((height, width))
    ratio = min(384 / height, 640 / width)
    unpadded_wh = round(width * ratio), round(height * ratio)
    assume(min(unpadded_wh) >= 1)
    assume(all(abs(side * ratio % 1 - 0.5) > 1e-6 for side in (height, width)))  # round() to even
    left, top = ((whole - part) / 2 for whole, part in zip((640, 384), unpadded_wh, strict=True))
    assert geometry.content_hw == unpadded_wh[::-1]
    assert geometry.offset_hw == (round(top - 0.1), round(left - 0.1))


@given(height=sides, width=sides)
def test_what_is_padded_on_all_sides_lies_where_albumentations_puts_it(
    height: int, width: int
) -> None:
    """`top = int((padded - height) / 2)`. Source: Albumentations, `PadIfNeeded`, "center"."""
    geometry = Native(size_divisor=32, align="center").geometry((height, width))
    padded = [-(-side // 32) * 32 for side in (height, width)]
    assert geometry.network_hw == tuple(padded)
    assert geometry.offset_hw == (int((padded[0] - height) / 2), int((padded[1] - width) / 2))
    assert Native(size_divisor=32).geometry((height, width)).offset_hw == (0, 0)


@given(height=sides, width=sides, short=st.one_of(st.none(), st.integers(1, 900)))
def test_a_centre_crop_lies_where_torchvision_cuts(
    height: int, width: int, short: int | None
) -> None:
    """`resize`, `center_crop`: pads what is smaller, `round((height - crop) / 2)` else."""
    resize = CenterCrop(height=224, width=320, short_side=short, outside=0)
    geometry = resize.geometry((height, width))
    if short is None:
        assert geometry.content_hw == (height, width)
    else:
        assert min(geometry.content_hw) == short
    for content, crop, offset in zip(
        geometry.content_hw, (224, 320), geometry.offset_hw, strict=True
    ):
        smaller = content <= crop
        assert offset == ((crop - content) // 2 if smaller else -round((content - crop) / 2.0))


@given(
    image=st.integers(1, 300), content=st.integers(1, 300), network=st.integers(1, 300),
    part=st.floats(-1, 1),
)  # fmt: skip
def test_pixels_are_in_the_input_where_their_centres_are(
    image: int, content: int, network: int, part: float
) -> None:
    offset = int(part * max(content, network))
    assume(-content < offset < network)
    axis = Axis(image, content, network, offset)
    inside = [
        0 <= offset + (pixel + Fraction(1, 2)) * content / image < network for pixel in range(image)
    ]
    assert [pixel for pixel in range(image) if inside[pixel]] == list(range(image))[axis.in_image()]
    seen = axis.in_network()
    assert [offset <= pixel < offset + content for pixel in range(network)] == [
        pixel in range(network)[seen] for pixel in range(network)
    ]
    assert len(range(content)[axis.in_content()]) == seen.stop - seen.start


@pytest.mark.parametrize(
    "resize",
    [
        CenterCrop(height=3, width=4, short_side=7, outside=2),
        Native(),
        Native(size_divisor=8, align="center"),
        Stretch(height=1, width=2),
        FitPad(height=3, width=4),
        KeepRatio(long_side=6, short_side=5),
        KeepRatio(short_side=5, rounding="truncate"),
        FitPad(height=3, width=4, rounding="round", align="center"),
    ],
)
def test_json_round_trip(resize: Native) -> None:
    assert resize_from_json(resize_to_json(resize)) == resize


def test_documents_of_older_models_mean_what_they_did() -> None:
    fit_pad = {"policy": "fit_pad", "height": 3, "width": 4}
    assert resize_from_json(fit_pad) == FitPad(height=3, width=4)
    keep_ratio = {"policy": "keep_ratio", "long_side": 4, "short_side": 2, "size_divisor": 1}
    assert resize_from_json(keep_ratio) == KeepRatio(long_side=4, short_side=2)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "resize.policy: expected one of"),
        ({"policy": "crop"}, "got 'crop'"),
        ({"policy": "stretch", "height": 4}, "missing key 'width'"),
        ({"policy": "native", "height": 4}, "unknown key 'height'"),
        ({"policy": "stretch", "height": 0, "width": 4}, "resize.height: expected an integer"),
        ({"policy": "stretch", "height": True, "width": 4}, "got True"),
        ({"policy": "center_crop", "height": 1, "width": 4}, "missing key 'outside'"),
        ({"policy": "center_crop", "height": 1, "width": 4, "outside": -1}, "a class's index"),
        ({"policy": "keep_ratio"}, "keep_ratio needs long_side, short_side or both"),
        ({"policy": "keep_ratio", "long_side": 4, "rounding": "up"}, "resize.rounding: expected"),
        ({"policy": "fit_pad", "height": 1, "width": 4, "align": "left"}, "resize.align: expected"),
    ],
)
def test_bad_documents_are_refused(document: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resize_from_json(document)


@pytest.mark.parametrize("seed", range(20))
def test_both_bounds_truncated_are_torchvisions(seed: int) -> None:
    """Worked out as torchvision's `_compute_resized_output_size` does, in floating point."""
    height, width, short_side = np.random.default_rng(seed).integers(1, 3000, 3).tolist()
    long_side = short_side + 1 + seed * 50
    short, long = sorted((height, width))
    new_short, new_long = short_side, int(short_side * long / short)
    if new_long > long_side:
        new_short, new_long = int(long_side * new_short / new_long), long_side
    expected = (new_short, new_long) if height <= width else (new_long, new_short)
    resize = KeepRatio(short_side=short_side, long_side=long_side, rounding="truncate")
    assert resize.geometry((height, width)).content_hw == tuple(max(1, side) for side in expected)


@pytest.mark.parametrize(
    ("resize", "image_hw", "content_hw", "top"),
    [
        # Ultralytics 8.4, `LetterBox((640, 640), auto=False)`: 853/1280 of 640 is 426.5.
        (FitPad(height=640, width=640, rounding="half_even", align="center"), (853, 1280),
         (426, 640), 107),
        # Albumentations 2.0, `LongestMaxSize(1024)`: 682.5 and 512.5.
        (KeepRatio(long_side=1024, rounding="half_even"), (1365, 2048), (682, 1024), 0),
        (KeepRatio(long_side=1024, rounding="half_even"), (2048, 1025), (1024, 512), 0),
        # mmcv: half up.
        (KeepRatio(long_side=1024), (2048, 1025), (1024, 513), 0),
    ],
)  # fmt: skip
def test_halves_go_where_the_trainers_round(
    resize: FitPad | KeepRatio, image_hw: tuple[int, int], content_hw: tuple[int, int], top: int
) -> None:
    geometry = resize.geometry(image_hw)
    assert (geometry.content_hw, geometry.offset_hw[0]) == (content_hw, top)
