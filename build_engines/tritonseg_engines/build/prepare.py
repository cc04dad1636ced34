"""From an export to the network that every precision starts from, proven equal to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx
import onnx_ir as ir

from tritonseg_engines.build.boundary_proof import Proof, prove_boundary, sample_batches
from tritonseg_engines.build.export_truth import ExportTruth, Sample
from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph import surgery
from tritonseg_engines.graph.boundary import binary_threshold, check_boundary, settle_boundary
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
from tritonseg_engines.running.networks import ServerSteps, input_size_hw
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.contract import SCORES
from tritonseg_steps.upsampling import Upsampling


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """The fp32 network with the steps' boundary: NORMALIZED in, SCORES out.

    Attributes:
        spec: Of the model.
        onnx_sha256: Of the export.
        network: Every node has a name of its own; constants are initializers.
        upsampling: What the argmax step does with its output.
        gives_logits: Whether its scores are logits: no class map, and no probabilities already.
        tail: What was found behind it, and cut unless asked otherwise.
        threshold: What parts the two classes of a binary output; None for other kinds.
        proof: That it gives the export's masks.
        kept: Why a tail that was recognised stays in the network; None if none does.
    """

    spec: ModelSpec
    onnx_sha256: str
    network: onnx.ModelProto = field(repr=False)
    upsampling: Upsampling
    gives_logits: bool
    tail: Tail
    threshold: float | None
    proof: Proof
    kept: str | None = None

    @property
    def input_hw(self) -> tuple[int | None, int | None]:
        """Size that the network takes, None where open."""
        return input_size_hw(self.network)

    @property
    def existing_int8(self) -> ExistingInt8 | None:
        """What the export itself computes in int8; None if it is a float network."""
        return existing_int8(self.network)

    @property
    def quantized_export(self) -> str | None:
        """The same in words."""
        existing = self.existing_int8
        return None if existing is None else str(existing)

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
        return ServerSteps(self.spec.preprocessing, self.upsampling, self.input_hw)


def prepare_network(spec: ModelSpec, onnx_path: Path, *, keep_tail: bool) -> Prepared:
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
    input_hw = _input_hw(edited.graph, spec)
    truth = ExportTruth(exported, spec, kind=kind, threshold=threshold)
    samples = truth.samples(sample_batches(spec, input_hw))
    problems = []
    for tail in _tails(edited.graph, spec, kind, classes_last=truth.classes_last):
        if keep_tail and tail.operators:
            continue
        try:
            network, upsampling, gives_logits = _network(
                exported, spec, tail, kind, samples[0], threshold
            )
            proof = prove_boundary(
                samples,
                network,
                upsampling,
                in_half=truth.in_half,
                in_int8=existing_int8(network) is not None,
            )
        except OnnxModelError as error:
            problems.append(str(error))
            continue
        if proof.holds:
            return Prepared(
                spec=spec,
                onnx_sha256=sha256_of(onnx_path),
                network=network,
                upsampling=upsampling,
                gives_logits=gives_logits,
                tail=tail,
                threshold=threshold if kind == "binary" else None,
                proof=proof,
                kept=" and ".join(problems) or None,
            )
        problems.append(_shortfall(tail, proof, in_half=truth.in_half))
    raise OnnxModelError("; ".join(problems))


def _output_kind(graph: ir.Graph, spec: ModelSpec) -> str:
    """Return the kind of the export's output: a class map where it ends in an ArgMax."""
    tail = recognise_tail(graph, spec.output.name)
    return "class_map" if "ArgMax" in tail.operators else spec.output.kind


def _tails(graph: ir.Graph, spec: ModelSpec, kind: str, *, classes_last: bool) -> Iterator[Tail]:
    """Yield what may be cut: all that is recognised, and nothing."""
    output = spec.output.name
    known = None if kind == "class_map" else classes_last
    tail = recognise_tail(graph, output, classes_last=known)
    if tail.operators:
        yield tail
    yield replace(tail, scores=output, operators=(), align_corners=False, classes_last=classes_last)


def _network(
    exported: onnx.ModelProto,
    spec: ModelSpec,
    tail: Tail,
    kind: str,
    sample: Sample,
    threshold: float,
) -> tuple[onnx.ModelProto, Upsampling, bool]:
    """Return the network in front of a tail, between the steps' boundaries.

    With it how its output is upsampled, and whether that is logits.
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
    settle_boundary(
        edited, spec, kind=kind, threshold=threshold, shape=shape, classes_last=tail.classes_last
    )
    widen_to_single(edited)
    name_nodes(edited.graph)
    upsampling = Upsampling(
        kind="class_map" if kind == "class_map" else "scores", align_corners=tail.align_corners
    )
    gives_logits = upsampling.kind == "scores" and not probabilities
    return surgery.as_proto(edited), upsampling, gives_logits


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


def _input_hw(graph: ir.Graph, spec: ModelSpec) -> tuple[int | None, int | None]:
    """Return the size that the file takes, or the specification says, None where open."""
    (fed,) = surgery.fed_inputs(graph)
    dims = surgery.dimensions(fed) or [None] * 4
    rows, columns = (1, 2) if spec.input.layout == "NHWC" else (2, 3)
    return dims[rows] or spec.input.height, dims[columns] or spec.input.width


def _shortfall(tail: Tail, proof: Proof, *, in_half: bool) -> str:
    what = f"cutting {' → '.join(tail.operators)} behind the network"
    if not tail.operators:
        what = "serving the network"
        what += " in float32, where the file rounds to float16," if in_half else ""
    return (
        f"{what} changes {1 - proof.equal_pixels:.2%} of the pixels of the export's own mask "
        f"({proof.worst}), expected at most {1 - proof.minimum:.2%}"
    )
