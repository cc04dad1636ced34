"""What serving costs on top of the engine: latency at concurrency 1, alternating, medians.

    python tests/benchmarks/latency.py [--rounds 30] [--model hrnet|fastseg]

Compares, on one machine and in turns, the engine alone in this process (OpenVINO, same file, same
threads), the ensemble through gRPC, and the naive ensemble of `naive.py` through gRPC.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import tritonclient.grpc as triton
from cases import Case, fastseg_case, hrnet_case
from naive import write_naive

from tritonseg import SegmentationClient
from tritonseg_engines.build import build_model
from tritonseg_engines.latency import LatencyProbe
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_steps.preprocessing import Normalizer

CASES = {"hrnet": hrnet_case, "fastseg": fastseg_case}
WARM_UP_ROUNDS = 3


def main() -> None:
    """Run one comparison and print it as a table and as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--model", choices=CASES, default="hrnet")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = CASES[arguments.model](folder)
        repository = folder / "repository"
        build_model(case.spec, case.cut, repository)
        write_naive(repository, case)
        with TritonServer(ServerConfig(repository=repository)) as server:
            report = compare(case, server.grpc_url, rounds=arguments.rounds)
    show(report)


def compare(case: Case, url: str, *, rounds: int) -> dict[str, float]:
    """Time the three in turns; return median milliseconds by name."""
    with SegmentationClient(url, model=case.spec.name) as client:
        engine = _engine_only(case)
        naive = _naive(url, case.image_hwc)
        expected = client.segment(case.image_hwc).class_map
        equal = float((naive() == expected).mean())
        contenders: dict[str, Callable[[], object]] = {
            "engine alone": engine,
            "ensemble": lambda: client.segment(case.image_hwc),
            "naive ensemble": naive,
        }
        _alternate(contenders, WARM_UP_ROUNDS)
        probe = LatencyProbe(url, case.spec.name)
        medians_ms = _alternate(contenders, rounds)
        steps = {step.model: step.total_ms for step in probe.latencies()}
    return {**medians_ms, **steps, "pixels equal to naive": equal}


def show(report: dict[str, float]) -> None:
    """Print medians and the ratios that the project answers for."""
    for name, value in report.items():
        print(f"{name:28} {value:10.4f}" if "equal" in name else f"{name:28} {value:8.1f} ms")
    engine, ensemble = report["engine alone"], report["ensemble"]
    print(f"{'ensemble / engine alone':28} {ensemble / engine:8.3f}")
    print(f"{'naive / ensemble':28} {report['naive ensemble'] / ensemble:8.2f}")
    print(json.dumps(report))


def _alternate(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            started = time.perf_counter()
            call()
            times[name].append(1000 * (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in times.items()}


def _engine_only(case: Case) -> Callable[[], object]:
    properties = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = ov.Core().compile_model(case.cut, "CPU", properties).create_infer_request()
    batch = Normalizer(case.spec.preprocessing).batch(case.image_hwc[None])
    request.set_input_tensor(ov.Tensor(batch, shared_memory=True))
    return request.infer


def _naive(url: str, image_hwc: np.ndarray) -> Callable[[], np.ndarray]:
    client = triton.InferenceServerClient(url)

    def segment() -> np.ndarray:
        image = triton.InferInput("IMAGE", [1, *image_hwc.shape], "UINT8")
        image.set_data_from_numpy(image_hwc[None])
        answer = client.infer("naive", [image], client_timeout=120)
        class_map: np.ndarray = answer.as_numpy("CLASS_MAP")[0]
        return class_map

    return segment


if __name__ == "__main__":
    main()
