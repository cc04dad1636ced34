"""From an export to the network that every precision starts from, proven equal to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import onnx_ir as ir

from tritonseg_engines.build.batch_axis import settle_batch
from tritonseg_engines.build.boundary_proof import Proof, prove_boundary
from tritonseg_engines.build.export_digest import export_sha256
from tritonseg_engines.build.export_truth import ExportTruth
from tritonseg_engines.build.network_form import network_in_front_of, with_size
from tritonseg_engines.build.prepared import Prepared
from tritonseg_engines.build.proof_pictures import (
    extreme_questions,
    more_questions,
    questions,
)
from tritonseg_engines.build.samples import pair_of
from tritonseg_engines.build.size_limits import find_sizes
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph import surgery
from tritonseg_engines.graph.beyond_proof import refuse_unprovable
from tritonseg_engines.graph.boundary import (
    binary_threshold,
    check_boundary,
)
from tritonseg_engines.graph.chance import refuse_chance
from tritonseg_engines.graph.finite_weights import check_weights
from tritonseg_engines.graph.narrow import narrow_doubles
from tritonseg_engines.graph.onnx_file import load_onnx
from tritonseg_engines.graph.readable import readable
from tritonseg_engines.graph.tail import Tail, recognise_tail
from tritonseg_engines.precision.existing import (
    existing_int8,
    refuse_scales_of_a_batch,
)
from tritonseg_engines.running.pictures import Picture
from tritonseg_engines.running.reasons import missing_operator
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.resize_policy import FixedSize

ONE_CLASS = (
    "every pixel of the proof's pictures is of one class, on which no cut can be proven; give "
    "pictures of your own with --pictures"
)


def prepare_network(spec: ModelSpec, onnx_path: Path, pictures: Sequence[Picture] = ()) -> Prepared:
    """Read an export, check it, cut its tail and settle its boundary, and prove the outcome.

    Where cutting the tail would change masks, at odd sizes say, it is left in the network.

    Args:
        spec: Describes the model in the file.
        onnx_path: The export.
        pictures: Some of the user's own, for the proof.

    Raises:
        OnnxModelError: The file is not what the specification says, or no form of the network
            gives its masks.
    """
    exported = load_onnx(onnx_path)
    edited = readable(exported)
    check_boundary(edited.graph, spec)
    check_weights(edited.graph)
    refuse_chance(edited.graph)
    refuse_scales_of_a_batch(edited)
    threshold = binary_threshold(edited.graph, spec)
    kind = _output_kind(edited.graph, spec)
    exported, truth = _truth(exported, spec, kind, threshold)
    sizes = find_sizes(truth, _declared_hw(edited.graph, spec), spec.preprocessing.resize)
    samples = truth.samples(
        questions(spec, sizes, pictures),
        more_questions(spec, sizes),
        extreme_questions(spec, sizes),
    )
    usual = next(sample for sample in samples if not sample.question.extreme)
    pair = pair_of(samples)
    one_size = sizes.fixed_hw is not None or isinstance(spec.preprocessing.resize, FixedSize)
    problems: list[str] = []
    for tail in _tails(edited.graph, spec, kind, classes_last=truth.classes_last):
        try:
            network, upsampling = network_in_front_of(tail, exported, spec, kind, usual, threshold)
            network, max_batch, known = settle_batch(network, pair, takes_pairs=truth.takes_pairs)
            network = with_size(network, sizes, usual)
            refuse_unprovable(network, one_size=one_size)
            quantized = existing_int8(network)
            proof, compared = prove_boundary(
                samples, truth, network, upsampling, spec, known, in_int8=quantized is not None
            )
        except OnnxModelError as error:
            problems.append(str(error))
            continue
        if proof.holds and tail.operators and proof.classes == 1:
            problems.append(ONE_CLASS)
        elif proof.holds:
            return Prepared(
                spec=spec,
                onnx_sha256=export_sha256(onnx_path),
                network=network,
                sizes=sizes,
                max_batch=max_batch,
                upsampling=upsampling,
                tail=tail,
                threshold=threshold if kind == "binary" else None,
                proof=proof,
                samples=tuple(compared),
                existing_int8=quantized,
                kept=" and ".join(problems) or None,
            )
        else:
            problems.append(_shortfall(tail, proof, in_half=truth.in_half))
    raise OnnxModelError("; ".join(dict.fromkeys(problems)))


def _truth(
    exported: onnx.ModelProto, spec: ModelSpec, kind: str, threshold: float
) -> tuple[onnx.ModelProto, ExportTruth]:
    """Return the export, and what runs it: float64 that ONNX Runtime has not in float32."""
    while True:
        try:
            return exported, ExportTruth(exported, spec, kind=kind, threshold=threshold)
        except OnnxModelError as error:
            operator = missing_operator(error.__cause__)
            narrowed = None if operator is None else narrow_doubles(exported, operator)
            if narrowed is None:
                raise
            exported = narrowed


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


def _declared_hw(graph: ir.Graph, spec: ModelSpec) -> tuple[int | None, int | None]:
    """Return height and width of the input, as the file or the specification has them."""
    (fed,) = surgery.fed_inputs(graph)
    dims = surgery.dimensions(fed) or [None] * 4
    rows, columns = (1, 2) if spec.input.layout == "NHWC" else (2, 3)
    return dims[rows] or spec.input.height, dims[columns] or spec.input.width


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
