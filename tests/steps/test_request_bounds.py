"""What is refused of a request, by shape alone, and that nothing else is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.request_bounds import RequestBounds
from tritonseg_steps.resize_policy import FitPad
from tritonseg_steps.shape_guard import guard_shapes, possible_shape

BOUNDS = RequestBounds(
    max_batch=4,
    resize=FitPad(height=64, width=96),
    sizes=NetworkSizes(height=64, width=96),
    scores_dims=(5, -1, -1),
)


def of_shape(*shape: int) -> Any:
    """A tensor of which nothing but the shape can be read, as of one in a GPU's memory."""
    return SimpleNamespace(shape=shape)


@given(height=st.integers(1, 20_000), width=st.integers(1, 20_000), count=st.integers(1, 4))
def test_pixels_are_counted(height: int, width: int, count: int) -> None:
    refusal = BOUNDS.refusal({"IMAGE": of_shape(count, height, width, 3)})
    allowed = height * width <= 64e6 and count * height * width <= 128e6
    assert (refusal is None) == allowed
    assert refusal is None or "IMAGE: expected" in refusal
    scores = of_shape(count, 5, 16, 24)
    sizes = np.array([[height, width]] * count, np.int32)
    claim = BOUNDS.refusal({"SCORES": scores, "IMAGE_SIZE": sizes})
    assert claim == (refusal and refusal.replace("IMAGE:", "IMAGE_SIZE:"))


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"IMAGE": of_shape(5, 8, 8, 3)}, "IMAGE: expected 1 to 4 pictures in a request, got 5"),
        ({"IMAGE": of_shape(8, 8, 3)}, "IMAGE: expected 1 to 4 pictures along the first of 4 axes"),
        ({"IMAGE": of_shape(0, 0, 0, 0)}, "IMAGE: expected a shape that a tensor can have"),
        ({"NORMALIZED": of_shape(1, 3, 64, 95)}, "the nearest is 64x96"),
        ({"NORMALIZED": of_shape(1, 3, 600_000, 1)}, "NORMALIZED: expected sides of 1 to 500000"),
        (
            {"SCORES": of_shape(2, 5, 16, 24), "IMAGE_SIZE": np.array([[8, 8]], np.int32)},
            "expected as many pictures in every input, got 2 in SCORES, 1 in IMAGE_SIZE",
        ),
        (
            {"SCORES": of_shape(1, 4, 16, 24), "IMAGE_SIZE": np.array([[8, 8]], np.int32)},
            "SCORES: expected (5, 1 to 256, 1 to 384) for each picture, of 8x8",
        ),
    ],
)
def test_words(tensors: dict[str, Any], words: str) -> None:
    assert words in str(BOUNDS.refusal(tensors))


def test_what_the_operator_allows_counts() -> None:
    bounds = RequestBounds(max_batch=4, resize=FitPad(height=64, width=96), max_pixels=200_000_000)
    assert bounds.refusal({"IMAGE": of_shape(4, 10_000, 10_000, 3)}) is None
    assert "at most 400000000 pixels" in str(
        bounds.refusal({"IMAGE": of_shape(4, 10_000, 10_001, 3)})
    )


@given(st.lists(st.sampled_from([0, 1, 3, -1, -5, 2**31, 2**32, 2**62, -(2**63)]), max_size=5))
def test_a_shape_is_possible_where_numpy_makes_one(sides: list[int]) -> None:
    try:
        # A view takes no memory, and NumPy refuses the same shapes.
        np.ndarray(sides, np.float64, np.zeros(1), strides=[0] * len(sides))
    except ValueError:
        assert possible_shape(sides) == [0] * len(sides)
    else:
        assert possible_shape(sides) in (sides, [0] * len(sides))


def test_nothing_is_left_exchanged() -> None:
    import numpy.core.multiarray as multiarray

    original = vars(multiarray)["_ARRAY_API"]
    seen: list[Any] = []
    guarded = guard_shapes(lambda: seen.append(vars(multiarray)["_ARRAY_API"]))
    assert guarded == bool(seen)
    assert vars(multiarray)["_ARRAY_API"] is original
    assert all(one is not original for one in seen)


def test_what_the_network_is_given_is_counted_by_itself() -> None:
    bounds = RequestBounds(max_batch=8)
    assert bounds.refusal({"IMAGE": of_shape(1, 8000, 8000, 3)}) is None
    words = "expected at most 64000000 pixels for the network in a request, got 96000000 in 8"
    assert words in str(bounds.refusal({"IMAGE": of_shape(8, 3000, 4000, 3)}))
    assert words in str(bounds.refusal({"NORMALIZED": of_shape(8, 3, 3000, 4000)}))
