"""The CUDA steps on a real GPU against the CPU's: equal bits, and timings that are printed.

What `tests/steps/test_cuda_on_host.py` proves of the kernels' arithmetic on a CPU, at the sizes of
real pictures and through CuPy.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tritonseg_steps.cuda.argmax import CudaUpsampler
from tritonseg_steps.cuda.device import CudaUnavailableError, CupyDevice
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.resize_policy import FitPad, Native, Stretch
from tritonseg_steps.upsampling import (
    class_map_at_image_size,
    class_map_from_scores,
    confidence_from_scores,
)

pytestmark = pytest.mark.gpu

cupy = pytest.importorskip("cupy", reason="needs CuPy, the extra `gpu`")

CITYSCAPES_HW = (1024, 2048)


@pytest.fixture(scope="module")
def device() -> CupyDevice:
    return CupyDevice(0)


@pytest.fixture(scope="module")
def upsampler(device: CupyDevice) -> CudaUpsampler:
    return CudaUpsampler(device)


def network_scores(
    classes: int, grid_hw: tuple[int, int], *, rounded: bool = False
) -> NDArray[np.float32]:
    """Scores with regions of one class and borders between them; rounded, with many ties."""
    rng = np.random.default_rng(classes)
    coarse = rng.standard_normal((classes, *(-(-side // 8) for side in grid_hw)))
    full = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, : grid_hw[0], : grid_hw[1]] * 4
    noisy = full + rng.standard_normal(full.shape)
    return np.ascontiguousarray(noisy.round() if rounded else noisy, np.float32)


GEOMETRIES = {
    "native": Native().geometry(CITYSCAPES_HW),
    "odd": Stretch(height=512, width=1024).geometry((719, 1283)),
    "padded": FitPad(height=512, width=1024).geometry((480, 640)),
    "smaller than the scores": Geometry((37, 91), (512, 1024), (512, 1024)),
}


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("classes", [1, 2, 19, 150, 256])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("rounded", [False, True])
def test_class_maps_equal_the_cpus(
    device: CupyDevice,
    upsampler: CudaUpsampler,
    geometry: Geometry,
    classes: int,
    align_corners: bool,
    rounded: bool,
) -> None:
    scores_chw = network_scores(classes, (128, 256), rounded=rounded)
    actual = upsampler.class_map_from_scores(
        device.upload(scores_chw), geometry, align_corners=align_corners
    )
    expected = class_map_from_scores(scores_chw, geometry, align_corners=align_corners)
    assert np.array_equal(actual, expected)


def test_scores_that_are_not_finite_lead_to_the_cpus_classes(
    device: CupyDevice, upsampler: CudaUpsampler
) -> None:
    scores_chw = network_scores(19, (64, 64))
    rng = np.random.default_rng(0)
    spoilt = rng.random(scores_chw.shape) < 0.1
    scores_chw[spoilt] = rng.choice([np.nan, np.inf, -np.inf], spoilt.sum())
    geometry = Native().geometry((300, 500))
    actual = upsampler.class_map_from_scores(device.upload(scores_chw), geometry)
    assert np.array_equal(actual, class_map_from_scores(scores_chw, geometry))


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_confidences_equal_the_cpus_but_for_the_rounding_of_exp(
    device: CupyDevice, upsampler: CudaUpsampler, geometry: Geometry
) -> None:
    scores_chw = network_scores(19, (128, 256))
    actual = upsampler.confidence_from_scores(device.upload(scores_chw), geometry)
    apart = np.abs(actual.astype(int) - confidence_from_scores(scores_chw, geometry))
    assert apart.max() <= 1
    assert np.count_nonzero(apart) <= 1 + apart.size // 1000


def test_nearest_classes_equal_the_cpus(device: CupyDevice, upsampler: CudaUpsampler) -> None:
    classes_hw = np.random.default_rng(3).integers(0, 256, (512, 1024)).astype(np.uint8)
    for geometry in GEOMETRIES.values():
        actual = upsampler.class_map_at_image_size(device.upload(classes_hw), geometry)
        assert np.array_equal(actual, class_map_at_image_size(classes_hw, geometry))


def test_a_gpu_that_is_not_there_is_named() -> None:
    missing = cupy.cuda.runtime.getDeviceCount()
    with pytest.raises(CudaUnavailableError, match=f"GPU {missing}"):
        CupyDevice(missing)


def test_what_a_picture_costs(
    device: CupyDevice, upsampler: CudaUpsampler, capsys: pytest.CaptureFixture[str]
) -> None:
    """Printed, for docs/benchmarks.md; far below what the CPU's steps take on any GPU."""
    geometry = Native().geometry(CITYSCAPES_HW)
    scores = device.upload(network_scores(19, (128, 256)))
    on_host = network_scores(19, (256, 512))
    milliseconds = {
        "class map, download included": _median_ms(
            lambda: upsampler.class_map_from_scores(scores, geometry)
        ),
        "class map of scores at a quarter of the size, upload and download included": _median_ms(
            lambda: upsampler.class_map_from_scores(device.upload(on_host), geometry)
        ),
        "confidence, download included": _median_ms(
            lambda: upsampler.confidence_from_scores(scores, geometry)
        ),
    }
    with capsys.disabled():
        for what, value in milliseconds.items():
            print(f"\n1024x2048, 19 classes, {what}: {value:.2f} ms", end="")  # noqa: T201
    assert max(milliseconds.values()) < 50


def _median_ms(call: Callable[[], object]) -> float:
    """Every call waits for the GPU, so that a clock on the wall tells."""
    samples = []
    for _ in range(20):
        start = time.perf_counter()
        call()
        samples.append((time.perf_counter() - start) * 1000)
    return statistics.median(samples)
