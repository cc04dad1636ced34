"""How many pictures one run of a network takes: asked of it, and opened where the file fixes it."""

from __future__ import annotations

import numpy as np
import onnx

from tritonseg_engines.build.export_truth import Sample
from tritonseg_engines.build.repeats import beside_another, same_outputs
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.onnx_file import dimensions, graph_inputs
from tritonseg_engines.graph.surgery import editable
from tritonseg_engines.precision.existing import scales_of_a_batch
from tritonseg_engines.running.networks import infer_in_onnx_runtime

BATCH = "N"


def settle_batch(
    network: onnx.ModelProto, sample: Sample, *, takes_pairs: bool
) -> tuple[onnx.ModelProto, int | None]:
    """Return the network with an open batch axis if that can be, and the most that it takes.

    Args:
        network: NORMALIZED to SCORES.
        sample: A picture to try it with.
        takes_pairs: Whether the export took two pictures at once as it came.

    Returns:
        With it 1, or None for any number of pictures.

    Raises:
        OnnxModelError: It takes some other number, and no other.
    """
    declared = (dimensions(graph_inputs(network.graph)[0]) or [None])[0]
    if declared is None:
        return network, None if takes_pairs else 1
    opened = _with_open_batch(network)
    # Two pictures of much the same values would not show it.
    by_batch = scales_of_a_batch(editable(network)) is not None
    if not by_batch and _takes_pairs(opened, sample):
        return opened, None
    if declared == 1:
        return network, 1
    raise OnnxModelError(
        f"the export takes {declared} pictures at a time, and cannot be changed to take one or "
        "more; export it with an open batch axis, or with a batch of 1"
    )


def _with_open_batch(network: onnx.ModelProto) -> onnx.ModelProto:
    opened = onnx.ModelProto()
    opened.CopyFrom(network)
    del opened.graph.value_info[:]
    for value in (*graph_inputs(opened.graph), *opened.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    return opened


def _takes_pairs(network: onnx.ModelProto, sample: Sample) -> bool:
    """Return whether two pictures get the same alone and beside each other."""
    pair = beside_another(sample.question.batch_nchw)
    try:
        onnx.checker.check_model(network, full_check=True)
        infer = infer_in_onnx_runtime(network)
        apart, together = [infer(pair[:1]), infer(pair[1:])], infer(pair)
    except (OnnxModelError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return False
    return same_outputs(together, np.concatenate(apart))
