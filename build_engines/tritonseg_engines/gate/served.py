"""A graph run as it will be served, which is what masks are compared by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import onnx

from tritonseg_engines.gate.networks import Infer, infer_in_onnx_runtime, infer_in_openvino
from tritonseg_engines.precision.rounding import with_written_rounding


@contextmanager
def infer_as_served(model: onnx.ModelProto, precision: str, runtime: str) -> Iterator[Infer]:
    """Yield the graph in the server's engine, or for TensorRT rounding as a GPU would.

    Args:
        model: In its final precision.
        precision: Of the build.
        runtime: "openvino", or "tensorrt", for which ONNX Runtime stands in.

    Raises:
        OnnxModelError: The runtime does not take it.
    """
    if runtime == "openvino":
        with infer_in_openvino(model, precision) as infer:
            yield infer
    else:
        yield infer_in_onnx_runtime(with_written_rounding(model))
