"""From an export to the network that every precision starts from, proven equal to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx
import onnx_ir as ir

from tritonseg_engines.build.batch_axis import settle_batch
from tritonseg_engines.build.boundary_proof import Proof, prove_boundary, questions
from tritonseg_engines.build.export_truth import ExportTruth, Sample
from tritonseg_engines.build.size_limits import find_sizes
from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph import surgery
from tritonseg_engines.graph.boundary import (
    PROBABILITY_THRESHOLD,
    binary_threshold,
    check_boundary,
    settle_boundary,
)
from tritonseg_engines.graph.chance import refuse_chance
from tritonseg_engines.graph.constants import gather_constants
from tritonseg_engines.graph.finite_weights import check_weights
from tritonseg_engines.graph.half_weights import expand_half_weights
from tritonseg_engines.graph.int8_weights import expand_int8_weights
from tritonseg_engines.graph.nodes import name_nodes
from tritonseg_engines.graph.onnx_file import dimensions, inferred_values, load_onnx
from tritonseg_engines.graph.single_precision import widen_to_single
from tritonseg_engines.graph.tail import Tail, cut_tail, recognise_tail
from tritonseg_engines.graph.value_range import value_range
from tritonseg_engines.precision.existing import (
    ExistingInt8,
    existing_int8,
    refuse_scales_of_a_batch,
)
from tritonseg_engines.running.networks import ServerSteps
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.contract import SCORES
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.preprocessing import Preprocessing
from tritonseg_steps.upsampling import Upsampling


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """The fp32 network with the steps' boundary: NORMALIZED in, SCORES out.

    Attributes:
        spec: Of the model.
        onnx_sha256: Of the export.
        network: Every node has a name of its own; constants are initializers.
        sizes: Of the input that it takes.
        max_batch: Most pictures that one run of it takes; None for any number.
        upsampling: What the argmax step does with its output.
        tail: What was found behind it, and cut unless asked otherwise.
        threshold: What parts the two classes of a binary output; None for other kinds.
        proof: That it gives the export's masks.
        samples: The pictures of the proof, with the export's answers.
        existing_int8: What the export itself computes in int8; None if it is a float network.
        kept: Why a tail that was recognised stays in the network; None if none does.
    """

    spec: ModelSpec
    onnx_sha256: str
    network: onnx.ModelProto = field(repr=False)
    sizes: NetworkSizes
    max_batch: int | None
    upsampling: Upsampling
    tail: Tail
    threshold: float | None
    proof: Proof
    samples: tuple[Sample, ...] = field(repr=False)
    existing_int8: ExistingInt8 | None = None
    kept: str | None = None

    @property
    def quantized_export(self) -> str | None:
        """What the export itself computes in int8, in words; None if it is a float network."""
        return None if self.existing_int8 is None else str(self.existing_int8)

    @property
    def output_dims(self) -> tuple[int | None, ...]:
        """Dimensions of SCORES without the batch axis, None where open."""
        dims = dimensions(inferred_values(self.network)[SCORES])
        if dims is None:
            raise OnnxModelError("expected an output of known rank after surgery")
        return tuple(dims[1:])

    @property
    def server_steps(self) -> ServerSteps:
        """The server's steps around the network."""
        return self.steps_with(self.spec.preprocessing)

    def steps_with(self, preprocessing: Preprocessing) -> ServerSteps:
        """Return the server's steps with another preprocessing."""
        return ServerSteps(
            preprocessing, self.upsampling, self.sizes, class_count=len(self.spec.classes)
        )


def prepare_network(spec: ModelSpec, onnx_path: Path) -> Prepared:
    """Read an export, check it, cut its tail and settle its boundary, and prove the outcome.

    Where cutting the tail would change masks, at odd sizes say, it is left in the network.

    Raises:
        OnnxModelError: The file is not what the specification says, or no form of the network
            gives its masks.
    """
    exported = load_onnx(onnx_path)
    edited = surgery.editable(exported)
    check_boundary(edited.graph, spec)
    check_weights(edited.graph)
    refuse_chance(edited.graph)
    refuse_scales_of_a_batch(edited.graph)
    threshold = binary_threshold(edited.graph, spec)
    kind = _output_kind(edited.graph, spec)
    truth = ExportTruth(exported, spec, kind=kind, threshold=threshold)
    sizes = find_sizes(truth, _declared_hw(edited.graph, spec))
    samples = truth.samples(questions(spec, sizes))
    problems = []
    for tail in _tails(edited.graph, spec, kind, classes_last=truth.classes_last):
        try:
            network, upsampling = _network(exported, spec, tail, kind, samples[0], threshold)
            network, max_batch = settle_batch(network, samples[-1], takes_pairs=truth.takes_pairs)
            quantized = existing_int8(network)
            proof = prove_boundary(
                samples, truth, network, upsampling, spec, in_int8=quantized is not None
            )
        except OnnxModelError as error:
            problems.append(str(error))
            continue
        if proof.holds:
            return Prepared(
                spec=spec,
                onnx_sha256=sha256_of(onnx_path),
                network=network,
                sizes=sizes,
                max_batch=max_batch,
                upsampling=upsampling,
                tail=tail,
                threshold=threshold if kind == "binary" else None,
                proof=proof,
                samples=tuple(samples),
                existing_int8=quantized,
                kept=" and ".join(problems) or None,
            )
        problems.append(_shortfall(tail, proof, in_half=truth.in_half))
    raise OnnxModelError("; ".join(problems))


def _output_kind(graph: ir.Graph, spec: ModelSpec) -> str:
    """Return the kind of the export's output: a class map where it ends in an ArgMax."""
    tail = recognise_tail(graph, spec.output.name)
    return "class_map" if "ArgMax" in tail.operators else spec.output.kind


def _tails(graph: ir.Graph, spec: ModelSpec, kind: str, *, classes_last: bool) -> Iterator[Tail]:
    """Yield what may be cut: all that is recognised, unless asked otherwise, and nothing."""
    output = spec.output.name
    known = None if kind == "class_map" else classes_last
    tail = recognise_tail(graph, output, classes_last=known)
    if tail.operators and spec.output.upsampling == "direct":
        yield tail
    yield replace(tail, scores=output, operators=(), align_corners=False, classes_last=classes_last)


def _network(
    exported: onnx.ModelProto,
    spec: ModelSpec,
    tail: Tail,
    kind: str,
    sample: Sample,
    threshold: float,
) -> tuple[onnx.ModelProto, Upsampling]:
    """Return the network in front of a tail, between the steps' boundaries.

    With it how its output is upsampled.
    """
    edited = surgery.editable(exported)
    cut_tail(edited, tail)
    shape = surgery.dimensions(edited.graph.outputs[0]) if tail.operators else None
    if shape is None:
        shape = _answered_shape(edited, tail, kind, sample)
    probabilities = value_range(edited.graph.outputs[0]).within(0.0, 1.0)
    expand_half_weights(edited)
    gather_constants(edited)
    expand_int8_weights(edited)
    if "ArgMax" in tail.operators:
        kind = "scores"
    confidence = _confidence(kind, threshold, probabilities=probabilities)
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
    name_nodes(edited.graph)
    upsampling = Upsampling(
        kind="class_map" if kind == "class_map" else "scores",
        align_corners=tail.align_corners,
        confidence=confidence,
    )
    return surgery.as_proto(edited), upsampling


def _confidence(kind: str, threshold: float, *, probabilities: bool) -> str | None:
    """Return how the scores say how sure the network is, None where they do not.

    A threshold that was moved away from even chances says what to do, not what is likely.
    """
    even = PROBABILITY_THRESHOLD if probabilities else 0.0
    if kind == "class_map" or (kind == "binary" and threshold != even):
        return None
    return "probability" if probabilities else "softmax"


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


def _declared_hw(graph: ir.Graph, spec: ModelSpec) -> tuple[int | None, int | None]:
    """Return height and width of the input as the file declares them, None where open."""
    (fed,) = surgery.fed_inputs(graph)
    dims = surgery.dimensions(fed) or [None] * 4
    rows, columns = (1, 2) if spec.input.layout == "NHWC" else (2, 3)
    return dims[rows], dims[columns]


def _shortfall(tail: Tail, proof: Proof, *, in_half: bool) -> str:
    what = f"cutting {' → '.join(tail.operators)} behind tensor {tail.scores!r}"
    if not tail.operators:
        what = "serving the network"
        what += " in float32, where the file rounds to float16," if in_half else ""
    equal, where, other = proof.equal_pixels, proof.worst, proof.other_size
    if other is not None and other.equal_pixels < equal:
        height, width = other.image_hw
        equal, where = other.equal_pixels, f"a picture of {height}x{width}"
    return (
        f"{what} changes {1 - equal:.2%} of the pixels of the export's own mask ({where}), "
        f"expected at most {1 - proof.minimum:.2%}"
    )
