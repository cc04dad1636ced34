"""OpenVINO's Model API in process: its segmentation wrapper, and its asynchronous pipeline.

Source: README and `examples/python` of open-edge-platform/model_api: the wrapper embeds
normalization into the graph; many pictures go through `AsyncPipeline`.
"""

from __future__ import annotations

import time

import numpy as np
from model_api.adapters import OpenvinoAdapter, create_core
from model_api.models import SegmentationModel
from model_api.pipelines import AsyncPipeline
from pace import LEAST_ANSWERS, steady_rate
from worker import MEAN, STD, Job, answer_commands, parse_job

CONFIGURATION = {
    "mean_values": (255 * MEAN).tolist(),
    "scale_values": (255 * STD).tolist(),
    "return_soft_prediction": False,
}


def load(job: Job, hint: str) -> SegmentationModel:
    """Return the wrapper; only the precision is said, which would be bf16 on CPUs that have it."""
    core = create_core()
    adapter = OpenvinoAdapter(
        core,
        str(job.onnx),
        device="CPU",
        plugin_config={"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": "f32"},
    )
    return SegmentationModel(adapter, CONFIGURATION, preload=True)


def main() -> None:
    """Serve the benchmark's commands."""
    job, _ = parse_job()
    model = load(job, "LATENCY")
    pipelines: dict[str, AsyncPipeline] = {}

    def segment(image_hwc: np.ndarray) -> np.ndarray:
        class_map: np.ndarray = model(image_hwc)
        return class_map

    def rate(concurrency: int, loop_s: float) -> float:
        if not pipelines:
            pipelines["all"] = AsyncPipeline(load(job, "THROUGHPUT"))
        return pipeline_rate(pipelines["all"], job.image_hwc, concurrency, loop_s)

    answer_commands(job, segment, rate)


def pipeline_rate(
    pipeline: AsyncPipeline, image_hwc: np.ndarray, in_flight: int, loop_s: float
) -> float:
    """Return pictures a second with as many in flight as the pipeline takes, or `in_flight`."""
    ends: list[float] = []
    submitted, deadline = 0, time.perf_counter() + loop_s
    while time.perf_counter() < deadline or len(ends) < LEAST_ANSWERS * in_flight:
        if pipeline.get_result(len(ends)) is not None:
            ends.append(time.perf_counter())
        elif pipeline.is_ready() and submitted - len(ends) < in_flight:
            pipeline.submit_data(image_hwc, submitted)
            submitted += 1
        else:
            pipeline.await_any()
    pipeline.await_all()
    for number in range(len(ends), submitted):
        pipeline.get_result(number)
    return steady_rate(ends, 1)


if __name__ == "__main__":
    main()
