"""A graph run as it will be served, which is what masks are compared by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import onnx

from tritonseg_engines.running.networks import Infer, infer_in_onnx_runtime, infer_in_openvino
from tritonseg_engines.running.rounding import with_written_rounding
from tritonseg_engines.target import BuildTarget


@contextmanager
def infer_as_served(model: onnx.ModelProto, target: BuildTarget) -> Iterator[Infer]:
    """Yield the graph in the server's engine, or for TensorRT rounding as a GPU would.

    Args:
        model: In its final precision.
        target: What it was built for; ONNX Runtime stands in for TensorRT.

    Raises:
        OnnxModelError: The runtime does not take it.
    """
    if target.on_gpu:
        yield infer_in_onnx_runtime(with_written_rounding(model))
    else:
        with infer_in_openvino(model, target.precision) as infer:
            yield infer
