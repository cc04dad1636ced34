"""From an ONNX file and a specification to a model in a Triton repository."""

from __future__ import annotations

import importlib.metadata
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import onnx

from tritonseg_engines.cut_check import check_cut
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.boundary import check_boundary, normalize_boundary
from tritonseg_engines.graph.half_weights import expand_half_weights
from tritonseg_engines.graph.onnx_file import (
    dimensions,
    inferred_values,
    load_onnx,
    save_onnx,
    sha256_of,
)
from tritonseg_engines.graph.tail import Tail, cut_tail, recognise_tail
from tritonseg_engines.repository import Deployment, Engine, Provenance, write_model
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.contract import NORMALIZED, SCORES
from tritonseg_steps.upsampling import Upsampling

PRECISIONS = ("fp32",)
RUNTIMES = ("openvino",)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildReport:
    """What was built.

    Attributes:
        model: Folder of the ensemble.
        tail: What was found behind the network, and cut unless asked otherwise.
        equal_pixels: Share of pixels at which the cut graph and the export agree, or None where
            nothing was cut.
        provenance: As published in the ensemble.
    """

    model: Path
    tail: Tail
    equal_pixels: float | None
    provenance: Provenance


def build_model(
    spec: ModelSpec,
    onnx_path: Path,
    repository: Path,
    *,
    precision: str = "fp32",
    runtime: str = "openvino",
    keep_tail: bool = False,
) -> BuildReport:
    """Build a model and write it into a repository, whole or not at all.

    Args:
        spec: Describes the model in the file.
        onnx_path: The export; not changed.
        repository: Folder that Triton is started on; made if it is not there.
        precision: One of `PRECISIONS`.
        runtime: One of `RUNTIMES`.
        keep_tail: Leave Resize, Softmax and ArgMax behind the network in the engine.

    Raises:
        OnnxModelError: The file is not what the specification says, or cutting its tail would
            change masks.
        RepositoryError: The repository cannot be written.
    """
    exported = load_onnx(onnx_path)
    check_boundary(exported, spec)
    tail = recognise_tail(exported, spec.output.name)
    if keep_tail:
        tail = replace(tail, scores=spec.output.name, operators=(), align_corners=False)
    network, upsampling = _network(exported, spec, tail)
    equal_pixels = check_cut(exported, network, spec, tail, upsampling) if tail.operators else None
    provenance = Provenance(
        onnx_sha256=sha256_of(onnx_path),
        precision=precision,
        runtime=runtime,
        tritonseg_version=importlib.metadata.version("tritonseg"),
    )
    deployment = Deployment(spec=spec, engine=_engine(network, upsampling), provenance=provenance)
    manifest = {
        "provenance": asdict(provenance),
        "input": asdict(spec.input),
        "tail": asdict(tail),
        "equal_pixels_after_cut": equal_pixels,
    }
    with tempfile.TemporaryDirectory() as workspace:
        engine = Path(workspace) / deployment.engine.file
        save_onnx(network, engine)
        model = write_model(repository, deployment, engine, manifest)
    return BuildReport(model=model, tail=tail, equal_pixels=equal_pixels, provenance=provenance)


def _network(
    exported: onnx.ModelProto, spec: ModelSpec, tail: Tail
) -> tuple[onnx.ModelProto, Upsampling]:
    """Return the graph up to the scores with the steps' boundary, and what replaces its tail."""
    network = cut_tail(exported, tail)
    expand_half_weights(network)
    kind = spec.output.kind if not tail.operators else "scores"
    normalize_boundary(network, spec, kind=kind)
    return network, Upsampling(kind=kind, align_corners=tail.align_corners)


def _engine(network: onnx.ModelProto, upsampling: Upsampling) -> Engine:
    values = inferred_values(network)
    input_dims, output_dims = dimensions(values[NORMALIZED]), dimensions(values[SCORES])
    if input_dims is None or output_dims is None:
        raise OnnxModelError("expected input and output of known rank after surgery")
    return Engine(
        file="model.onnx",
        input_hw=(input_dims[2], input_dims[3]),
        output_dims=tuple(output_dims[1:]),
        upsampling=upsampling,
    )
