"""Which options are refused, and which shapes the others lead to."""

from __future__ import annotations

from typing import Any

import pytest

from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.tensorrt import BatchRange, ImageSizeRange, PlanOptions, PlanOptionsError
from tritonseg_engines.tensorrt.options import OPEN, profile_shapes

SIZES = ImageSizeRange(minimum_hw=(32, 64), optimum_hw=(64, 128), maximum_hw=(128, 256))


@pytest.mark.parametrize(
    ("make", "message"),
    {
        "batch out of order": (lambda: BatchRange(minimum=2, optimum=1), "minimum <= optimum"),
        "batch of none": (lambda: BatchRange(minimum=0), "1 <= minimum"),
        "batch of a half": (lambda: BatchRange(maximum=1.5), "expected integers"),  # type: ignore[arg-type]
        "width out of order": (
            lambda: ImageSizeRange(minimum_hw=(1, 9), optimum_hw=(2, 8), maximum_hw=(3, 9)),
            r"for the width, got \(9, 8, 9\)",
        ),
        "compatibility of a build": (
            lambda: BuildOptions(hardware_compatibility="all"),
            "expected one of none, same_compute_capability, ampere_plus, got 'all'",
        ),
        "compatibility": (
            lambda: PlanOptions(hardware_compatibility="ampere+"),
            "expected one of .*'ampere_plus'.*got 'ampere\\+'",
        ),
    }.values(),
)
def test_options_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(PlanOptionsError, match=message):
        make()


def test_open_sizes_come_from_the_options() -> None:
    options = PlanOptions(batch=BatchRange(optimum=2, maximum=4), image_size=SIZES)
    shapes = profile_shapes("NORMALIZED", (OPEN, 3, OPEN, OPEN), options)
    assert shapes.minimum == (1, 3, 32, 64)
    assert shapes.optimum == (2, 3, 64, 128)
    assert shapes.maximum == (4, 3, 128, 256)


def test_fixed_sizes_stay() -> None:
    shapes = profile_shapes("NORMALIZED", (OPEN, 3, 64, 96), PlanOptions())
    assert (shapes.minimum, shapes.maximum) == ((1, 3, 64, 96), (8, 3, 64, 96))


def test_pictures_may_have_their_channels_last() -> None:
    shapes = profile_shapes("IMAGE", (OPEN, OPEN, OPEN, 3), PlanOptions(image_size=SIZES))
    assert shapes.optimum == (1, 64, 128, 3)


def test_a_fixed_batch_is_taken_if_it_is_the_one_asked_for() -> None:
    only_one = PlanOptions(batch=BatchRange(maximum=1))
    assert profile_shapes("NORMALIZED", (1, 3, 64, 96), only_one).maximum == (1, 3, 64, 96)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    {
        "open size": ((OPEN, 3, OPEN, OPEN), PlanOptions(), "give image_size"),
        "open width": ((OPEN, 3, 64, OPEN), PlanOptions(), "give image_size"),
        "fixed batch": ((1, 3, 64, 96), PlanOptions(), "fixed at 1 .* 1 to 8 are asked for"),
        "other size": (
            (OPEN, 3, 64, 96),
            PlanOptions(image_size=SIZES),
            "64x96 is fixed .* asks for 32x64",
        ),
        "no picture": ((OPEN, 10), PlanOptions(), "expected 4 dimensions"),
    }.values(),
)
def test_options_that_contradict_the_file_are_refused(
    shape: tuple[int, ...], options: PlanOptions, message: str
) -> None:
    with pytest.raises(PlanOptionsError, match=message):
        profile_shapes("NORMALIZED", shape, options)
