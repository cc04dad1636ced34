"""How many pictures one run of a network takes: asked of it, and opened where the file fixes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tritonseg_engines.build.repeats import same_together
from tritonseg_engines.build.samples import Sample
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.onnx_file import dimensions, graph_inputs
from tritonseg_engines.graph.surgery import editable
from tritonseg_engines.precision.existing import scales_of_a_batch
from tritonseg_engines.running.networks import infer_in_onnx_runtime

BATCH = "N"


def settle_batch(
    network: onnx.ModelProto, pair: tuple[Sample, Sample], *, takes_pairs: bool
) -> tuple[onnx.ModelProto, int | None, dict[str, NDArray[Any]]]:
    """Return the network with an open batch axis if that can be, and the most that it takes.

    Args:
        network: NORMALIZED to SCORES.
        pair: Pictures to try it with.
        takes_pairs: Whether the export took two pictures at once as it came.

    Returns:
        With it 1, or None for any number of pictures; and its outputs for pictures, by name, as far
        as it was run.

    Raises:
        OnnxModelError: It takes some other number, and no other.
    """
    declared = (dimensions(graph_inputs(network.graph)[0]) or [None])[0]
    if declared is None:
        return network, None if takes_pairs else 1, {}
    opened = _with_open_batch(network)
    # Two pictures of much the same values would not show it.
    by_batch = scales_of_a_batch(editable(network)) is not None
    known = None if by_batch else _of_one_or_two(opened, pair)
    if known is not None:
        return opened, None, known
    if declared == 1:
        return network, 1, {}
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


def _of_one_or_two(
    network: onnx.ModelProto, pair: tuple[Sample, Sample]
) -> dict[str, NDArray[Any]] | None:
    """Return what two pictures get alone, or None if they get something else together."""
    batches = [sample.question.batch_nchw for sample in pair]
    try:
        onnx.checker.check_model(network, full_check=True)
        infer = infer_in_onnx_runtime(network)
        alone = [infer(batch) for batch in batches]
        together = infer(np.concatenate(batches))
    except (OnnxModelError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return None
    if not same_together(together, alone):
        return None
    names = (sample.question.name for sample in pair)
    return {name: output[0] for name, output in zip(names, alone, strict=True)}
