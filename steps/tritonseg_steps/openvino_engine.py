"""An ONNX file run by OpenVINO, exactly as the server runs it; the build's gate uses it too."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

ARITHMETIC = {"fp32": ov.Type.f32, "fp16": ov.Type.f32, "int8": ov.Type.f32}
"""What OpenVINO may compute floating point in. It has to be said: left alone, and also when asked
for f16, it takes bf16 on CPUs that have that. bf16 keeps 8 bits of a number, fp16 keeps 11; on an
HRNet trained on CamVid bf16 changes 0.22 % of the pixels and fp16 0.016 %, so a build that passed
as fp16 is computed in f32 from the weights rounded to fp16."""


class OpenvinoEngine:
    """A compiled network.

    Args:
        path: The ONNX file.
        precision: Of the build, a key of `ARITHMETIC`.
    """

    def __init__(self, path: str, precision: str) -> None:
        compiled = ov.Core().compile_model(
            path,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": ARITHMETIC[precision],
            },
        )
        self._request = compiled.create_infer_request()

    def infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run one batch; sizes that the ONNX leaves open may differ from call to call.

        Args:
            batch: The network's only input, in its own type and layout.

        Returns:
            Its only output, in memory that the next call overwrites.
        """
        shareable = np.require(batch, requirements=["C", "W"])  # copies what is not, only then
        self._request.set_input_tensor(ov.Tensor(shareable, shared_memory=True))
        self._request.infer()
        output: NDArray[Any] = self._request.get_output_tensor().data
        return output
