"""An ONNX file run by OpenVINO, exactly as the server runs it; the build's gate uses it too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from tritonseg_steps.int8_cpu import Int8Cpu, unfit

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
        int8_cpu: What the file's int8 weights are made for; None if it has none.
        threads: At most so many; None leaves it to OpenVINO, which takes one per physical core.

    Raises:
        RuntimeError: This CPU would compute the weights wrongly, or OpenVINO does not take the
            file.
    """

    def __init__(
        self,
        path: str,
        precision: str,
        *,
        int8_cpu: Int8Cpu | None = None,
        threads: int | None = None,
    ) -> None:
        reason = unfit(int8_cpu)
        if reason is not None:
            raise RuntimeError(reason)
        properties = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": ARITHMETIC[precision],
        }
        if threads is not None:
            properties["INFERENCE_NUM_THREADS"] = threads
        self._compiled = ov.Core().compile_model(path, "CPU", properties)
        self._requests: list[ov.InferRequest] = []
        self.takes_many_sizes = any(
            dim.is_dynamic for dim in self._compiled.inputs[0].partial_shape[1:]
        )
        """Whether height or width are open."""

    def infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run one batch; sizes that the ONNX leaves open may differ from call to call.

        Args:
            batch: The network's only input, in its own type and layout.

        Returns:
            Its only output, in memory that the next call overwrites.
        """
        (output,) = self.infer_all([batch])
        return output

    def infer_all(self, batches: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Run batches one after the other.

        Args:
            batches: Each as for `infer`.

        Returns:
            Their outputs, in memory that the next call overwrites.
        """
        while len(self._requests) < len(batches):
            self._requests.append(self._compiled.create_infer_request())
        return [
            _infer(request, batch) for request, batch in zip(self._requests, batches, strict=False)
        ]


def _infer(request: ov.InferRequest, batch: NDArray[Any]) -> NDArray[Any]:
    shareable = np.require(batch, requirements=["C", "W"])  # copies what is not, only then
    request.set_input_tensor(ov.Tensor(shareable, shared_memory=True))
    request.infer()
    output: NDArray[Any] = request.get_output_tensor().data
    return output
