"""From an export to the network that every precision starts from, proven equal to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx
from onnx import TensorProto

from tritonseg_engines.build.cut_check import check_cut
from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.boundary import check_boundary, settle_boundary
from tritonseg_engines.graph.constants import gather_constants
from tritonseg_engines.graph.finite_weights import check_weights
from tritonseg_engines.graph.half_weights import expand_half_weights
from tritonseg_engines.graph.nodes import name_nodes
from tritonseg_engines.graph.onnx_file import dimensions, inferred_values, load_onnx
from tritonseg_engines.graph.surgery import as_proto, editable
from tritonseg_engines.graph.tail import Tail, cut_tail, recognise_tail
from tritonseg_engines.running.networks import Segmenter, input_size_hw
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
        tail: What was found behind it, and cut unless asked otherwise.
        equal_pixels: Share of pixels at which it agrees with the export; None if nothing was cut.
    """

    spec: ModelSpec
    onnx_sha256: str
    network: onnx.ModelProto = field(repr=False)
    upsampling: Upsampling
    tail: Tail
    equal_pixels: float | None

    @property
    def input_hw(self) -> tuple[int | None, int | None]:
        """Size that the network takes, None where open."""
        return input_size_hw(self.network)

    @property
    def computes_in_half(self) -> bool:
        """Whether the export itself rounds to fp16 somewhere."""
        types = {v.type.tensor_type.elem_type for v in inferred_values(self.network).values()}
        return TensorProto.FLOAT16 in types

    @property
    def output_dims(self) -> tuple[int | None, ...]:
        """Dimensions of SCORES without the batch axis, None where open."""
        dims = dimensions(inferred_values(self.network)[SCORES])
        if dims is None:
            raise OnnxModelError("expected an output of known rank after surgery")
        return tuple(dims[1:])

    @property
    def segmenter(self) -> Segmenter:
        """The server's steps around the network."""
        return Segmenter(self.spec.preprocessing, self.upsampling, self.input_hw)


def prepare_network(spec: ModelSpec, onnx_path: Path, *, keep_tail: bool) -> Prepared:
    """Read an export, check it, cut its tail and settle its boundary.

    Raises:
        OnnxModelError: The file is not what the specification says, or cutting its tail would
            change masks.
    """
    exported = load_onnx(onnx_path)
    edited = editable(exported)
    check_boundary(edited.graph, spec)
    check_weights(edited.graph)
    tail = recognise_tail(edited.graph, spec.output.name)
    if keep_tail:
        tail = replace(tail, scores=spec.output.name, operators=(), align_corners=False)
    cut_tail(edited, tail)
    expand_half_weights(edited)
    gather_constants(edited)
    cut = bool(tail.operators)
    kind = spec.output.kind
    if cut and kind == "class_map":
        kind = "scores"  # an ArgMax was among what was cut
    settle_boundary(edited, spec, kind=kind)
    name_nodes(edited.graph)
    network = as_proto(edited)
    upsampling = Upsampling(
        kind="class_map" if kind == "class_map" else "scores", align_corners=tail.align_corners
    )
    return Prepared(
        spec=spec,
        onnx_sha256=sha256_of(onnx_path),
        network=network,
        upsampling=upsampling,
        tail=tail,
        equal_pixels=check_cut(exported, network, spec, tail, upsampling) if cut else None,
    )
