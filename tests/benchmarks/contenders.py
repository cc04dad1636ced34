"""Ways to get a class map out of one case, which the benchmarks set against each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import tritonclient.grpc as triton
from cases import Case
from naive import write_naive
from numpy.typing import NDArray
from pace import LEAST_ANSWERS, steady_rate

from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_steps.preprocessing import Normalizer

ENGINE = "engine alone"
ENSEMBLE = "ensemble"
SINGLE = "single"
FUSED = "fused"
LAYOUTS = (ENSEMBLE, SINGLE, FUSED)
NAIVE = "naive ensemble"
TIMEOUT_S = 300.0
HINTS = ("LATENCY", "THROUGHPUT")

Segment = Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """One case on one Triton.

    Attributes:
        case: What is served.
        url: Of the server's gRPC.
        ensemble: Name of the model in the layout of that name.
        engine_file: The network that the ensemble runs.
        segment: By contender, one picture to its class map through gRPC.
    """

    case: Case
    url: str
    ensemble: str
    engine_file: Path
    segment: dict[str, Segment]


@contextmanager
def served(case: Case, folder: Path, *, naive: bool = True) -> Iterator[Served]:
    """Build a case in every layout, serve them from one Triton, and connect to each."""
    repository = folder / f"{case.spec.name}.repository"
    models = {layout: f"{case.spec.name}-{layout}" for layout in LAYOUTS}
    for layout, model in models.items():
        build_model(replace(case.spec, name=model), case.export, repository, layout=layout)
    if naive:
        write_naive(repository, case)
    config = ServerConfig(repositories=(repository,), ready_timeout_s=TIMEOUT_S)
    with ExitStack() as stack:
        url = stack.enter_context(TritonServer(config)).grpc_url
        segment = {name: _client(stack, url, model, case) for name, model in models.items()}
        if naive:
            segment[NAIVE] = _naive(stack, url, case.image_hwc)
        ensemble = models[ENSEMBLE]
        (engine_file,) = (repository / f"{ensemble}_engine" / "1").glob("*.onnx")
        yield Served(
            case=case, url=url, ensemble=ensemble, engine_file=engine_file, segment=segment
        )


def engine_call(one: Served) -> Callable[[], object]:
    """Return one inference of the ensemble's engine in this process, its input being there."""
    request = _compiled(one, "LATENCY").create_infer_request()
    batch_nchw = _normalised(one.case)

    def infer() -> None:
        request.set_input_tensor(ov.Tensor(batch_nchw, shared_memory=True))
        request.infer()

    return infer


def engine_rate(one: Served, hint: str) -> Callable[[float], float]:
    """Return a closed loop of the engine's own queue: seconds to inferences a second.

    Args:
        one: Whose engine.
        hint: One of `HINTS`; OpenVINO chooses streams, threads and requests by it.
    """
    compiled = _compiled(one, hint)
    queue = ov.AsyncInferQueue(compiled)
    batch_nchw = _normalised(one.case)
    for request in queue:
        request.set_input_tensor(ov.Tensor(batch_nchw, shared_memory=True))
    ends: list[float] = []
    queue.set_callback(lambda _request, _data: ends.append(time.perf_counter()))

    def rate(loop_s: float) -> float:
        assert batch_nchw.size  # the requests share its memory, so it has to live as long
        ends.clear()
        deadline = time.perf_counter() + loop_s
        while time.perf_counter() < deadline or len(ends) < LEAST_ANSWERS * len(queue):
            queue.start_async()
        queue.wait_all()
        return steady_rate(ends, len(queue))

    return rate


def _client(stack: ExitStack, url: str, model: str, case: Case) -> Segment:
    client = stack.enter_context(SegmentationClient(url, model=model, timeout_s=TIMEOUT_S))
    return lambda: client.segment(case.image_hwc).class_map


def _naive(stack: ExitStack, url: str, image_hwc: NDArray[np.uint8]) -> Segment:
    client = stack.enter_context(triton.InferenceServerClient(url))

    def segment() -> NDArray[np.uint8]:
        image = triton.InferInput("IMAGE", [1, *image_hwc.shape], "UINT8")
        image.set_data_from_numpy(image_hwc[None])
        answer = client.infer("naive", [image], client_timeout=TIMEOUT_S)
        class_map: NDArray[np.uint8] = answer.as_numpy("CLASS_MAP")[0]
        return class_map

    return segment


def _compiled(one: Served, hint: str) -> Any:
    properties = {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": "f32"}
    return ov.Core().compile_model(one.engine_file, "CPU", properties)


def _normalised(case: Case) -> NDArray[np.float32]:
    return Normalizer(case.spec.preprocessing).batch(case.image_hwc[None])
