"""LitServe: one worker with OpenVINO and NumPy; the picture's bytes up, the class map's down.

Raw pixels both ways, as the others have them; JSON or PNG would cost it more.
Source: LitServe's documentation, `LitAPI` (setup, decode_request, predict, encode_response),
"Request and response format" (file upload, raw `Response`).
"""

# No `from __future__ import annotations`: LitServe reads the annotation of `request` as a type.
import sys
import threading

import litserve
import numpy as np
import openvino as ov
import requests
from fastapi import Response, UploadFile
from worker import MEAN, STD, Job, answer_commands, own_server, parse_job

TIMEOUT_S = 300


class SegmentationApi(litserve.LitAPI):
    """Pixels in, class indices out."""

    job: Job

    def setup(self, device: str) -> None:
        """Compile the network in the worker."""
        properties = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        self.compiled = ov.Core().compile_model(str(self.job.onnx), "CPU", properties)

    def decode_request(self, request: UploadFile) -> np.ndarray:
        """Return `(1, 3, H, W)` normalised floats."""
        pixels = np.frombuffer(request.file.read(), np.uint8)
        scaled = (pixels.reshape(self.job.image_hwc.shape).astype(np.float32) / 255 - MEAN) / STD
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])

    def predict(self, batch_nchw: np.ndarray) -> np.ndarray:
        """Return `(H, W)` class indices."""
        class_map: np.ndarray = self.compiled(batch_nchw)[0][0].argmax(axis=0)
        return class_map.astype(np.uint8)

    def encode_response(self, class_map: np.ndarray) -> Response:
        """Return the indices as they are."""
        return Response(content=class_map.tobytes(), media_type="application/octet-stream")


def serve(job: Job, port: int) -> None:
    """Serve until the process is ended."""
    api = SegmentationApi()
    api.job = job
    server = litserve.LitServer(api, accelerator="cpu", timeout=TIMEOUT_S)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")


def main() -> None:
    """Serve the benchmark's commands, or be the server."""
    job, arguments = parse_job()
    if arguments.serve is not None:
        serve(job, arguments.serve)
        return

    def is_ready(port: int) -> str:
        return f"http://127.0.0.1:{port}/health"

    with own_server(__file__, sys.argv[1:], is_ready) as port:
        sessions = threading.local()

        def segment(image_hwc: np.ndarray) -> np.ndarray:
            if not hasattr(sessions, "own"):
                sessions.own = requests.Session()
            files = {"request": ("picture", image_hwc.tobytes())}
            url = f"http://127.0.0.1:{port}/predict"
            answer = sessions.own.post(url, files=files, timeout=TIMEOUT_S)
            answer.raise_for_status()
            return np.frombuffer(answer.content, np.uint8).reshape(image_hwc.shape[:2])

        answer_commands(job, segment)


if __name__ == "__main__":
    main()
