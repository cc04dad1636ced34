"""Resize policies against the formulas of the tools whose models use them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonseg_steps.geometry import (
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


@pytest.mark.parametrize(
    "resize",
    [
        Native(),
        Stretch(height=1, width=2),
        FitPad(height=3, width=4),
        KeepRatio(long_side=6, short_side=5),
    ],
)
def test_json_round_trip(resize: Native) -> None:
    assert resize_from_json(resize_to_json(resize)) == resize


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "resize.policy: expected one of"),
        ({"policy": "crop"}, "got 'crop'"),
        ({"policy": "stretch", "height": 4}, "missing key 'width'"),
        ({"policy": "native", "height": 4}, "unknown key 'height'"),
        ({"policy": "stretch", "height": 0, "width": 4}, "resize.height: expected an integer"),
        ({"policy": "stretch", "height": True, "width": 4}, "got True"),
    ],
)
def test_bad_documents_are_refused(document: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resize_from_json(document)
