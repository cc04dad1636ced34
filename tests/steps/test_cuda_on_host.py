"""The CUDA steps, kernels and launches, run on the CPU against the CPU's own steps: equal bits.

The host's compiler is asked to fuse multiplications and additions wherever it may, as a GPU's does
by default, so that arithmetic that depends on the compiler's mood shows here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cuda_on_host import HostDevice, compile_for_host, kernel_names
from tritonseg_steps.cuda.argmax import CudaUpsampler
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.resize_policy import (
    CenterCrop,
    FitPad,
    KeepRatio,
    Native,
    ResizePolicy,
    Stretch,
)
from tritonseg_steps.upsampling import (
    Upsampling,
    class_map_at_image_size,
    class_map_from_scores,
    confidence_from_scores,
    flaw,
)

Size = tuple[int, int]

sizes = st.tuples(st.integers(1, 50), st.integers(1, 50))
grids = st.tuples(st.integers(1, 20), st.integers(1, 20))
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cuda")
    return compile_for_host(folder, "-O3", "-march=native", "-ffp-contract=fast")


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """A picture of any size in an input of any other: as it is, stretched, or padded."""
    image_hw = draw(sizes)
    height, width = draw(sizes)
    policies: list[ResizePolicy] = [
        Native(),
        Stretch(height=height, width=width),
        FitPad(height=height, width=width),
        FitPad(height=height, width=width, rounding="round", align="center"),
        KeepRatio(long_side=max(height, width), short_side=min(height, width)),
        KeepRatio(short_side=min(height, width), rounding="truncate", size_divisor=4),
        CenterCrop(height=height, width=width, outside=3),
        CenterCrop(height=height, width=width, short_side=2 * min(height, width), outside=0),
    ]
    return draw(st.sampled_from(policies)).geometry(image_hw)


@st.composite
def scores(draw: st.DrawFn, grid_hw: st.SearchStrategy[Size] = grids) -> NDArray[np.float32]:
    """Few classes or as many as there can be; wide apart, in ties, or almost equal."""
    classes = draw(st.one_of(st.integers(1, 8), st.sampled_from([19, 150, 256])))
    rng = np.random.default_rng(draw(seeds))
    values = rng.standard_normal((classes, *draw(grid_hw)))
    match draw(st.sampled_from(["apart", "ties", "close"])):
        case "ties":
            values = values.round()
        case "close":
            # One step of float32 apart: what wins is decided by rounding.
            values = 1 + rng.integers(0, 3, values.shape) * 2.0**-23
    return values.astype(np.float32)


@settings(max_examples=150, deadline=None)
@given(scores_chw=scores(), geometry=geometries(), align_corners=st.booleans())
def test_class_maps_equal_the_cpus(
    library: Path, scores_chw: NDArray[np.float32], geometry: Geometry, align_corners: bool
) -> None:
    upsampler = CudaUpsampler(HostDevice(library))
    actual = upsampler.class_map_from_scores(scores_chw, geometry, align_corners=align_corners)
    expected = class_map_from_scores(scores_chw, geometry, align_corners=align_corners)
    assert actual.dtype == np.uint8
    assert np.array_equal(actual, expected)


@settings(max_examples=60, deadline=None)
@given(scores_chw=scores(), image_hw=sizes, share=st.floats(0.01, 0.9), seed=seeds)
def test_scores_that_are_not_finite_lead_to_the_cpus_classes(
    library: Path, scores_chw: NDArray[np.float32], image_hw: Size, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    spoilt = rng.random(scores_chw.shape) < share
    scores_chw[spoilt] = rng.choice([np.nan, np.inf, -np.inf], spoilt.sum())
    geometry = Native().geometry(image_hw)
    actual = CudaUpsampler(HostDevice(library)).class_map_from_scores(scores_chw, geometry)
    assert np.array_equal(actual, class_map_from_scores(scores_chw, geometry))


def test_a_cell_without_any_number_is_the_lowest_class(library: Path) -> None:
    scores_chw = np.full((3, 2, 2), np.nan, np.float32)
    class_map = CudaUpsampler(HostDevice(library)).class_map_from_scores(
        scores_chw, Native().geometry((5, 7))
    )
    assert not class_map.any()


@settings(max_examples=60, deadline=None)
@given(
    scores_chw=scores(),
    geometry=geometries(),
    align_corners=st.booleans(),
    spread=st.sampled_from([0.1, 1.0, 30.0]),
    are_probabilities=st.booleans(),
)
def test_confidences_equal_the_cpus_but_for_the_rounding_of_exp(
    library: Path,
    scores_chw: NDArray[np.float32],
    geometry: Geometry,
    align_corners: bool,
    spread: float,
    are_probabilities: bool,
) -> None:
    scores_chw *= np.float32(spread)
    upsampler = CudaUpsampler(HostDevice(library))
    how = {"align_corners": align_corners, "are_probabilities": are_probabilities}
    actual = upsampler.confidence_from_scores(scores_chw, geometry, **how)
    expected = confidence_from_scores(scores_chw, geometry, **how)
    assert actual.dtype == np.uint8
    apart = np.abs(actual.astype(int) - expected)
    assert apart.max() <= 1
    assert np.count_nonzero(apart) <= 1 + apart.size // 1000


@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_scores_that_are_not_numbers_give_no_confidence(library: Path, spoilt: float) -> None:
    scores_chw = np.zeros((3, 4, 4), np.float32)
    scores_chw[1, 0, 0] = spoilt
    geometry = Native().geometry((9, 9))
    actual = CudaUpsampler(HostDevice(library)).confidence_from_scores(scores_chw, geometry)
    assert np.array_equal(actual, confidence_from_scores(scores_chw, geometry))
    assert actual[0, 0] == 0
    assert actual[-1, -1] == 85


@settings(max_examples=60, deadline=None)
@given(grid_hw=grids, geometry=geometries(), seed=seeds)
def test_nearest_classes_equal_the_cpus(
    library: Path, grid_hw: Size, geometry: Geometry, seed: int
) -> None:
    classes_hw = np.random.default_rng(seed).integers(0, 256, grid_hw).astype(np.uint8)
    actual = CudaUpsampler(HostDevice(library)).class_map_at_image_size(classes_hw, geometry)
    assert np.array_equal(actual, class_map_at_image_size(classes_hw, geometry))


def test_cells_are_uploaded_once_per_size(library: Path) -> None:
    device = HostDevice(library)
    upsampler = CudaUpsampler(device)
    scores_chw = np.zeros((2, 3, 4), np.float32)
    geometry = Native().geometry((12, 16))
    for _ in range(3):
        upsampler.class_map_from_scores(scores_chw, geometry)
        upsampler.confidence_from_scores(scores_chw, geometry)
    assert device.uploads == 4


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 3, 4), np.float16), ((2, 3, 4), np.float64), ((1, 2, 3, 4), "f4")]
)
def test_scores_of_another_type_are_refused(
    library: Path, shape: tuple[int, ...], dtype: type
) -> None:
    upsampler = CudaUpsampler(HostDevice(library))
    with pytest.raises(ValueError, match=r"expected 3 dimensions of float32, got float"):
        upsampler.class_map_from_scores(np.zeros(shape, dtype), Native().geometry((6, 8)))


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -np.inf, 3e38])
def test_flaws_are_found_as_on_the_cpu(library: Path, spoilt: float) -> None:
    scores_chw = np.full((3, 5, 37), 3e38, np.float32)
    scores_chw[2, 4, 36] = spoilt
    upsampler = CudaUpsampler(HostDevice(library))
    expected = flaw(scores_chw, Upsampling(), 3)
    assert upsampler.flaw(scores_chw, Upsampling(), 3) == expected
    assert (expected is None) == np.isfinite(spoilt)


@pytest.mark.parametrize(("highest", "is_class"), [(3, True), (4, False), (255, False)])
def test_other_classes_are_found_as_on_the_cpu(library: Path, highest: int, is_class: bool) -> None:
    classes_hw = np.zeros((5, 37), np.uint8)
    classes_hw[4, 36] = highest
    kind = Upsampling(kind="class_map", confidence=None)
    expected = flaw(classes_hw, kind, 4)
    assert CudaUpsampler(HostDevice(library)).flaw(classes_hw, kind, 4) == expected
    assert (expected is None) == is_class


def test_every_kernel_is_known_to_the_compiler(library: Path) -> None:
    assert sorted(kernel_names()) == [
        "find_not_finite",
        "find_other_class",
        "lowest_argmax",
        "take_nearest",
        "upsample_argmax",
        "upsample_confidence",
    ]
