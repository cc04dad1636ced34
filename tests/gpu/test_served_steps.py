"""Argmax on a GPU in a real Triton: every mask is the CPU steps' bit by bit, whatever the load.

The engine in front of it is `gpu_engine`, so that this takes a GPU, CuPy and a Triton, no TensorRT.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from gpu_engine import scores_of, write_gpu_ensemble
from real_servers import installation
from tritonseg import SegmentationClient
from tritonseg_engines.serving import ServerConfig, TritonInstallation, TritonServer
from tritonseg_engines.zoo.street_demo import demo_spec
from tritonseg_steps.preprocessing import Normalizer
from tritonseg_steps.upsampling import class_map_from_scores

__all__ = ["installation"]

pytestmark = pytest.mark.gpu

pytest.importorskip("cupy", reason="needs CuPy, the extra `gpu`")

NETWORK_HW = (512, 1024)
SIZES_HW = ((512, 1024), (1024, 2048), (37, 91), (719, 1283), (1080, 1920))
POOLS = {
    "Triton's own pool": (),
    "a pool of 1 MiB": ("--cuda-memory-pool-byte-size=0:1048576",),
}
"""Of the GPU's memory. What was handed over there was another's as soon as one was full."""


@functools.lru_cache
def street(size_hw: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (*(-(-side // 16) for side in size_hw), 3), np.uint8)
    full = coarse.repeat(16, axis=0).repeat(16, axis=1)[: size_hw[0], : size_hw[1]]
    return np.ascontiguousarray(full)


@functools.lru_cache
def expected(size_hw: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """By the CPU's steps around NumPy, in this process."""
    spec = demo_spec()
    normalizer = Normalizer(spec.preprocessing)
    scores_nchw = scores_of(normalizer.batch(street(size_hw, seed)[None]), len(spec.classes))
    return class_map_from_scores(scores_nchw[0], spec.preprocessing.resize.geometry(size_hw))


@contextmanager
def serving(repository: Path, *arguments: str) -> Iterator[TritonServer]:
    config = ServerConfig(
        repositories=(repository,), ready_timeout_s=180, extra_arguments=arguments
    )
    with TritonServer(config) as server:
        yield server


def client_of(server: TritonServer) -> SegmentationClient:
    return SegmentationClient(server.grpc_url, model="street-demo")


@pytest.fixture(scope="module")
def repository(installation: TritonInstallation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    del installation  # there is one
    folder = tmp_path_factory.mktemp("gpu") / "repository"
    write_gpu_ensemble(folder, demo_spec(), NETWORK_HW)
    return folder


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[TritonServer]:
    with serving(repository) as server:
        yield server


@pytest.mark.parametrize("size_hw", SIZES_HW, ids=str)
def test_masks_are_those_of_the_cpus_steps(server: TritonServer, size_hw: tuple[int, int]) -> None:
    with client_of(server) as client:
        answer = client.segment(street(size_hw))
    np.testing.assert_array_equal(answer.class_map, expected(size_hw))
    assert len(np.unique(answer.class_map)) > 2


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize(("callers", "requests"), [(8, 800), (32, 800)])
def test_many_at_once_get_their_own(
    pool: str, callers: int, requests: int, repository: Path
) -> None:
    """When tensors were handed over on the GPU, 139 of 240 answers were none, or another mask."""
    with serving(repository, *POOLS[pool]) as server, client_of(server) as client:
        asked = functools.partial(what_came, client)
        with ThreadPoolExecutor(callers) as executor:
            assert Counter(executor.map(asked, range(requests))) == {"its own": requests}


def what_came(client: SegmentationClient, number: int) -> str:
    size_hw, seed = SIZES_HW[number // 2 % 4 if number % 2 else 0], number % 5
    try:
        answer = client.segment(street(size_hw, seed))
    except Exception as error:  # noqa: BLE001 - counted
        return f"{type(error).__name__}: {str(error).partition('[request')[0]}"
    is_own = np.array_equal(answer.class_map, expected(size_hw, seed))
    return "its own" if is_own else "another mask"


def test_a_refused_request_leaves_the_others_right(server: TritonServer) -> None:
    no_picture = triton.InferInput("ENCODED_IMAGE", [1, 1], "BYTES")
    no_picture.set_data_from_numpy(np.array([[b"no picture"]], object))
    with client_of(server) as client, triton.InferenceServerClient(server.grpc_url) as bare:
        with pytest.raises(InferenceServerException, match="ENCODED_IMAGE"):
            bare.infer("street-demo", [no_picture])
        np.testing.assert_array_equal(
            client.segment(street(NETWORK_HW)).class_map, expected(NETWORK_HW)
        )


def test_what_a_picture_takes(server: TritonServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Printed, for docs/benchmarks.md; by Triton's own statistics, one picture after the other."""
    image_hwc = street((1024, 2048))
    steps = [f"street-demo_{step}" for step in ("normalize", "engine", "argmax")]
    with client_of(server) as client, triton.InferenceServerClient(server.grpc_url) as bare:
        client.segment(image_hwc)
        before_ms = [compute_ms(bare, step) for step in steps]
        median_ms = _median_ms(lambda: client.segment(image_hwc))
        spent_ms = [compute_ms(bare, step) for step in steps]
    with capsys.disabled():
        print(f"\n1024x2048, a whole request: {median_ms:.1f} ms", end="")  # noqa: T201
        for step, before, after in zip(steps, before_ms, spent_ms, strict=True):
            print(f"; {step}: {(after - before) / RUNS:.2f} ms", end="")  # noqa: T201


RUNS = 50


def _median_ms(call: Callable[[], object]) -> float:
    samples_ms = []
    for _ in range(RUNS):
        begun_s = time.perf_counter()
        call()
        samples_ms.append((time.perf_counter() - begun_s) * 1000)
    return statistics.median(samples_ms)


def compute_ms(client: triton.InferenceServerClient, model: str) -> float:
    (stats,) = client.get_inference_statistics(model).model_stats
    counted = stats.inference_stats
    parts = (counted.compute_input, counted.compute_infer, counted.compute_output)
    return sum(part.ns for part in parts) / 1e6
