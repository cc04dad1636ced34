"""Run the demo: build, serve, segment, and say where the time went."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tritonseg import Segmentation, SegmentationClient, load_image
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer, find_tritonserver
from tritonseg_engines.serving.latency import LatencyProbe, StepLatency
from tritonseg_engines.zoo.street_demo import DEMO_NAME, DEMO_ONNX, DEMO_SPEC, STREET, demo_spec

TIMED_REQUESTS = 10
WARM_UP_REQUESTS = 2

Report = Callable[[str, float], None]
"""Called with what was done and the seconds it took."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoResult:
    """What the demo made.

    Attributes:
        segmentation: Of the picture.
        image: The picture that was segmented; the drawn street lies in the output folder.
        repository: Holds the model that was built.
        specification: What a user writes about a model: a copy, to begin one's own from.
        onnx: The export that belongs to it: a copy.
        class_map: PNG whose pixel values are class indices.
        overlay: The picture with its classes in colour.
        latencies: Mean per step over `TIMED_REQUESTS` requests, the ensemble first.
        client_ms: Median of what a caller waited, in milliseconds.
    """

    segmentation: Segmentation
    image: Path
    repository: Path
    specification: Path
    onnx: Path
    class_map: Path
    overlay: Path
    latencies: list[StepLatency]
    client_ms: float


def run_demo(output: Path, *, image: Path | None, progress: Report) -> DemoResult:
    """Take the shipped model from ONNX through a real Triton to an overlay.

    Args:
        output: Folder for the repository and the pictures; made if it is not there.
        image: Picture to segment; a drawn street unless given.
        progress: Told of every step when it is done.

    Raises:
        EngineBuildError: The model cannot be built or the server does not start.
        SegmentationError: The picture cannot be segmented.
    """
    find_tritonserver()  # what is missing is better said before the work than after it
    output.mkdir(parents=True, exist_ok=True)
    repository = output / "model_repository"
    specification, onnx = (Path(shutil.copy(file, output)) for file in (DEMO_SPEC, DEMO_ONNX))
    street = Path(shutil.copy(STREET, output))  # in any case: the README's first lines ask for it
    image = image or street
    image_hwc = load_image(image)
    with _step(progress, f"built the ensemble from {onnx.name} and proved its masks"):
        # Of the layouts the one that shows where the time goes.
        build_model(demo_spec(), onnx, repository, layout="ensemble")
    segmentation, latencies, client_ms = _serve_and_segment(repository, image, image_hwc, progress)
    class_map, overlay = output / "class_map.png", output / "overlay.png"
    segmentation.save(class_map)
    segmentation.overlay().save(overlay)
    return DemoResult(
        segmentation=segmentation,
        image=image,
        repository=repository,
        specification=specification,
        onnx=onnx,
        class_map=class_map,
        overlay=overlay,
        latencies=latencies,
        client_ms=client_ms,
    )


def _serve_and_segment(
    repository: Path, image: Path, image_hwc: NDArray[np.uint8], progress: Report
) -> tuple[Segmentation, list[StepLatency], float]:
    started = time.perf_counter()
    # Other models may lie there that would take minutes to load.
    config = ServerConfig(repositories=(repository,), models=(DEMO_NAME,))
    with TritonServer(config) as server:
        progress("started Triton and loaded four models", time.perf_counter() - started)
        with SegmentationClient(server.grpc_url, model=DEMO_NAME) as client:
            with _step(progress, f"segmented {image.name}"):
                segmentation = client.segment(image_hwc)
            with _step(progress, f"timed {TIMED_REQUESTS} more requests"):
                latencies, client_ms = _time_requests(client, server.grpc_url, segmentation)
    return segmentation, latencies, client_ms


def _time_requests(
    client: SegmentationClient, url: str, first: Segmentation
) -> tuple[list[StepLatency], float]:
    """Time the decoded picture, as a service that has the pixels would send it."""
    for _ in range(WARM_UP_REQUESTS):
        client.segment(first.image_hwc)
    probe = LatencyProbe(url, first.model.name)
    waited_ms = []
    for _ in range(TIMED_REQUESTS):
        started = time.perf_counter()
        client.segment(first.image_hwc)
        waited_ms.append(1000 * (time.perf_counter() - started))
    return probe.latencies(), sorted(waited_ms)[len(waited_ms) // 2]


@contextmanager
def _step(progress: Report, done: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    progress(done, time.perf_counter() - started)
