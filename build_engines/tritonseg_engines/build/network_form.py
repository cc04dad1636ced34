"""The network in front of a tail, in the form that everything behind the build starts from."""

from __future__ import annotations

import math

import onnx
import onnx_ir as ir

from tritonseg_engines.build.samples import Sample
from tritonseg_engines.graph import surgery
from tritonseg_engines.graph.boundary import PROBABILITY_THRESHOLD, settle_boundary
from tritonseg_engines.graph.byte_pictures import carry_bytes_as_floats, carry_bytes_as_integers
from tritonseg_engines.graph.half_weights import expand_half_weights
from tritonseg_engines.graph.int8_weights import expand_int8_weights
from tritonseg_engines.graph.nodes import name_nodes
from tritonseg_engines.graph.onnx_file import dimensions
from tritonseg_engines.graph.plain_operators import flatten_softmaxes
from tritonseg_engines.graph.plain_resizes import spell_out_resizes
from tritonseg_engines.graph.probability import says_degrees
from tritonseg_engines.graph.readable import readable
from tritonseg_engines.graph.single_precision import widen_to_single
from tritonseg_engines.graph.surgery import maker
from tritonseg_engines.graph.tail import CLASS_AXIS_NCHW, CLASS_AXIS_NHWC, Tail, cut_tail
from tritonseg_engines.graph.value_range import Range, value_range
from tritonseg_engines.running.networks import infer_in_onnx_runtime
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.upsampling import Upsampling


def network_in_front_of(
    tail: Tail,
    exported: onnx.ModelProto,
    spec: ModelSpec,
    kind: str,
    sample: Sample,
    threshold: float,
) -> tuple[onnx.ModelProto, Upsampling]:
    """Return the network in front of a tail, between the steps' boundaries.

    With it how its output is upsampled.
    """
    edited = readable(exported)
    if "ArgMax" in tail.operators:
        kind = "scores"
    cut_tail(edited, tail)
    flatten_softmaxes(edited)
    spell_out_resizes(edited)
    if tail.operators:  # what can be cut has four axes, also where inference does not see them
        shape = surgery.dimensions(edited.graph.outputs[0]) or [None] * 4
    else:
        shape = _answered_shape(edited, tail, kind, sample)
    bounds = value_range(edited.graph.outputs[0])
    degrees = kind == "class_map" or _says_degrees(edited, tail, kind, rank=len(shape))
    quantized = maker(edited.graph.outputs[0], "DequantizeLinear") is not None
    expand_half_weights(edited)
    expand_int8_weights(edited)
    confidence = _confidence(kind, threshold, bounds, quantized=quantized) if degrees else None
    settle_boundary(
        edited,
        spec,
        kind=kind,
        threshold=threshold,
        shape=shape,
        classes_last=tail.classes_last,
        confidence=confidence,
    )
    widen_to_single(edited)
    carry_bytes_as_floats(edited, spec)
    carry_bytes_as_integers(edited)
    name_nodes(edited.graph)
    upsampling = Upsampling(
        kind="class_map" if kind == "class_map" else "scores",
        align_corners=tail.align_corners,
        confidence=confidence,
    )
    return surgery.as_proto(edited), upsampling


def with_size(network: onnx.ModelProto, sizes: NetworkSizes, sample: Sample) -> onnx.ModelProto:
    """Write the size of SCORES, in place, where the input's is fixed and inference is silent."""
    (scores,) = network.graph.output
    if sizes.fixed_hw is not None and None in (dimensions(scores) or ())[1:]:
        answered = infer_in_onnx_runtime(network)(sample.question.batch_nchw).shape
        for dim, size in zip(scores.type.tensor_type.shape.dim[1:], answered[1:], strict=True):
            dim.dim_value = size
    return network


def _confidence(kind: str, threshold: float, bounds: Range, *, quantized: bool) -> str | None:
    """Return how the scores say how sure the network is, None where they do not.

    A threshold that was moved away from even chances says what to do, not what is likely. Scores
    that lie between other bounds than 0 and 1, as per cent or a tanh do, are no logits; the
    bounds of quantized ones say nothing.
    """
    probabilities = bounds.within(0.0, 1.0)
    even = PROBABILITY_THRESHOLD if probabilities else 0.0
    if kind == "class_map" or (kind == "binary" and threshold != even):
        return None
    if probabilities:
        return "probability"
    bounded = math.isfinite(bounds.lowest) and math.isfinite(bounds.highest)
    return None if bounded and not quantized else "softmax"


def _says_degrees(model: ir.Model, tail: Tail, kind: str, *, rank: int) -> bool:
    """Return whether the scores are more than decisions, and of the classes."""
    of_one_score = kind == "binary" and rank < 4
    without_batch = 4 - rank
    axis = CLASS_AXIS_NHWC if tail.classes_last else CLASS_AXIS_NCHW
    scores = surgery.inferred_values(model)[model.graph.outputs[0].name or ""]
    return says_degrees(
        scores, rank=rank, class_axis=None if of_one_score else axis - without_batch
    )


def _answered_shape(model: ir.Model, tail: Tail, kind: str, sample: Sample) -> list[int | None]:
    """Return the shape of the export's own output, as far as it is the same for every picture.

    Where inference says nothing, the export's answer to one picture does: of all axes if the
    input's size is fixed, else of those that do not go with it.
    """
    dims = surgery.dimensions(surgery.inferred_values(model)[tail.scores])
    answered = sample.output.shape
    if dims is None or len(dims) != len(answered):
        dims = [None] * len(answered)
    (fed,) = surgery.fed_inputs(model.graph)
    if None not in (surgery.dimensions(fed) or [None])[1:]:
        known = set(range(1, len(answered)))
    elif kind == "class_map":
        known = {axis for axis in (1, 3) if len(answered) == 4 and answered[axis] == 1}
    else:
        known = {3 if tail.classes_last else 1} if len(answered) == 4 else set()
    return [
        answered[axis] if dim is None and axis in known else dim for axis, dim in enumerate(dims)
    ]
