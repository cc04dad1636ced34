"""PyTriton: a batched Python callable behind Triton, OpenVINO and NumPy inside it.

Source: PyTriton's documentation, "Binding Models to Triton" (`@batch`, `Tensor`, `ModelConfig`)
and "Triton clients" (`ModelClient`, one for each thread, gRPC).
"""

from __future__ import annotations

import sys
import threading

import numpy as np
import openvino as ov
from pytriton.client import ModelClient
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from worker import MEAN, STD, Job, answer_commands, own_server, parse_job

MODEL = "segmentation"
MAX_BATCH = 4


def serve(job: Job, http_port: int) -> None:
    """Serve until the process is ended; gRPC listens one port further."""
    properties = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(str(job.onnx), "CPU", properties)

    @batch
    def infer(image: np.ndarray) -> dict[str, np.ndarray]:
        scaled = (image.astype(np.float32) / 255 - MEAN) / STD
        scores = compiled(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))[0]
        return {"class_map": scores.argmax(axis=1).astype(np.uint8)}

    config = TritonConfig(http_port=http_port, grpc_port=http_port + 1, metrics_port=http_port + 2)
    with Triton(config=config) as triton:
        triton.bind(
            model_name=MODEL,
            infer_func=infer,
            inputs=[Tensor(name="image", dtype=np.uint8, shape=(-1, -1, 3))],
            outputs=[Tensor(name="class_map", dtype=np.uint8, shape=(-1, -1))],
            config=ModelConfig(max_batch_size=MAX_BATCH),
        )
        triton.serve()


def main() -> None:
    """Serve the benchmark's commands, or be the server."""
    job, arguments = parse_job()
    if arguments.serve is not None:
        serve(job, arguments.serve)
        return

    def is_ready(port: int) -> str:
        return f"http://127.0.0.1:{port}/v2/models/{MODEL}/ready"

    with own_server(__file__, sys.argv[1:], is_ready) as port:
        clients = threading.local()

        def segment(image_hwc: np.ndarray) -> np.ndarray:
            if not hasattr(clients, "own"):
                url = f"grpc://127.0.0.1:{port + 1}"
                clients.own = ModelClient(url, MODEL, inference_timeout_s=300)
            class_map: np.ndarray = clients.own.infer_sample(image_hwc)["class_map"]
            return class_map

        answer_commands(job, segment)


if __name__ == "__main__":
    main()
