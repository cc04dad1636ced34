"""Ask NVIDIA's compiler about a graph, for each of some GPUs, and judge its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx

from tritonseg_engines.gate.layer_precision import LayerPrecision, shares
from tritonseg_engines.graph.multiplications import MULTIPLYING, uncounted
from tritonseg_engines.graph.onnx_file import dimensions, graph_inputs, load_onnx
from tritonseg_engines.graph.sized_tensors import sized_tensors
from tritonseg_engines.preflight.bounds import Bounds, bounds_of
from tritonseg_engines.preflight.compiler import Answer, compile_for
from tritonseg_engines.preflight.cures import changed_values, cure_of, remarks
from tritonseg_engines.preflight.errors import GraphRefusedError, PreflightError, cannot_write
from tritonseg_engines.preflight.gpus import TargetGpu
from tritonseg_engines.preflight.layers import answered, asked_layers, disagreements
from tritonseg_engines.preflight.limits import Limits
from tritonseg_engines.preflight.neutral_copy import (
    NeutralCopy,
    NeutralNames,
    write_neutral_copy,
)
from tritonseg_engines.preflight.scratch import scratch_folder
from tritonseg_engines.progress import Progress, unheard
from tritonseg_engines.tensorrt.errors import PlanOptionsError
from tritonseg_engines.tensorrt.options import (
    OPEN,
    BatchRange,
    ImageSizeRange,
    PlanOptions,
    profile_shapes,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The judgement for one kind of GPU.

    Attributes:
        answer: The compiler's.
        refusal: Why no plan should be built, with what to do; None where it may.
        notes: Warnings that change nothing.
    """

    answer: Answer
    refusal: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Preflight:
    """What NVIDIA's compiler says about a graph.

    Attributes:
        graph: The file.
        verdicts: One for every GPU, in the order asked for.
        layers: Precision of every layer that multiplies; empty where no GPU's compiler took it.
        bounds: What one picture takes; None likewise.
        uncounted: How many nodes multiply that are not among the layers, nor in the bounds, by what
            keeps them out.
        largest_batch: That was compiled for.
        own_refusals: Why no build would take the file all the same; a build has said that itself.
    """

    graph: Path
    verdicts: tuple[Verdict, ...]
    layers: tuple[LayerPrecision, ...] = ()
    bounds: Bounds | None = None
    uncounted: Mapping[str, int] = field(default_factory=dict)
    largest_batch: int = 1
    own_refusals: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether all of them take it, and so would a build."""
        return not self.own_refusals and all(verdict.refusal is None for verdict in self.verdicts)

    def raise_if_refused(self) -> None:
        """Raise for the first GPU that is refused.

        Raises:
            GraphRefusedError: With NVIDIA's words, our node, and what to do.
        """
        for verdict in self.verdicts:
            if verdict.refusal is not None:
                raise GraphRefusedError(f"for {verdict.answer.gpu.name}: {verdict.refusal}", self)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the compiler's log."""
        return {
            "graph": str(self.graph),
            "accepted": self.accepted,
            "own_refusals": list(self.own_refusals),
            "gpus": {
                verdict.answer.gpu.name: {
                    "accepted": verdict.refusal is None,
                    "refusal": verdict.refusal,
                    "compiler": f"TensorRT-RTX {verdict.answer.compiler}",
                    "seconds": round(verdict.answer.seconds, 2),
                    "engine_bytes": verdict.answer.engine_bytes,
                    "activation_bytes": verdict.answer.activation_bytes,
                    "notes": list(verdict.notes),
                }
                for verdict in self.verdicts
            },
            "precisions": {
                name: {"layers": count, "multiply_accumulates": share}
                for name, (count, share) in shares(self.layers).items()
            },
            "uncounted": dict(self.uncounted),
            "layers": [asdict(layer) for layer in self.layers],
            "bounds": self.bounds and asdict(self.bounds),
        }


def asked_sizes(largest_batch: int, size_hw: tuple[int, int] | None) -> PlanOptions:
    """Return the plan's batches, up to the largest, and the one size of pictures where it is open.

    Raises:
        PlanOptionsError: A number is below 1.
    """
    return PlanOptions(
        batch=BatchRange(maximum=largest_batch),
        image_size=size_hw
        and ImageSizeRange(minimum_hw=size_hw, optimum_hw=size_hw, maximum_hw=size_hw),
    )


def preflight(
    onnx_path: Path,
    gpus: Sequence[TargetGpu],
    options: PlanOptions | None = None,
    *,
    limits: Limits | None = None,
    kept_float: Mapping[str, str] | None = None,
    progress: Progress = unheard,
) -> Preflight:
    """Compile a graph for some GPUs, and say what would become of it.

    Args:
        onnx_path: The graph in its final precision; not changed.
        gpus: For which; each is compiled for by itself.
        options: Batch and image sizes, as the plan will have them.
        limits: Of time and memory, for each.
        kept_float: Nodes in high precision by intent, with the reason.
        progress: Told before and after every GPU.

    Raises:
        OnnxModelError: The file is not a valid ONNX model.
        PlanOptionsError: The sizes are not ones that the graph takes.
        PreflightError: The compiler gave no answer.
    """
    model = load_onnx(onnx_path)
    options = options or PlanOptions()
    tensors = sized_tensors(model, _one_picture(model, options))
    try:
        with scratch_folder() as folder:
            copy = write_neutral_copy(onnx_path, folder)
            answers = _answers(copy, gpus, options, limits or Limits(), progress)
    except OSError as error:
        raise cannot_write(error.strerror or str(error)) from error
    # Of a graph that nobody takes, types may not be known.
    taken = any(answer.refusal is None for answer in answers)
    asked = asked_layers(model, tensors, kept_float or {}) if taken else ()
    written = [node.output[0] for node in model.graph.node if node.op_type in MULTIPLYING]
    neutral = [copy.names.node_writing(name) for name in written if taken]
    rows = [
        answered(asked, neutral, answer) if answer.refusal is None else () for answer in answers
    ]
    return Preflight(
        graph=onnx_path,
        verdicts=tuple(
            _verdict(answer, layers, copy.names)
            for answer, layers in zip(answers, rows, strict=True)
        ),
        layers=next(filter(None, rows), ()),
        bounds=bounds_of(model, tensors, asked) if taken else None,
        uncounted=uncounted(model, tensors) if taken else {},
        largest_batch=options.batch.maximum,
    )


def _answers(
    copy: NeutralCopy,
    gpus: Sequence[TargetGpu],
    options: PlanOptions,
    limits: Limits,
    progress: Progress,
) -> list[Answer]:
    """Return what the compiler says for every GPU, in neutral names; its errors have the file's."""
    answers = []
    for index, gpu in enumerate(gpus):
        progress("asking NVIDIA's compiler", index, len(gpus))
        try:
            answers.append(compile_for(copy.path, options, gpu, limits))
        except (PlanOptionsError, PreflightError) as error:
            error.args = (copy.names.restored(str(error)),)
            raise
    progress("asking NVIDIA's compiler", len(gpus), len(gpus))
    return answers


def _one_picture(model: onnx.ModelProto, options: PlanOptions) -> dict[str, tuple[int, ...]]:
    """Return the shape of every input for one picture, of the size kernels are chosen for."""
    shapes = {}
    for value in graph_inputs(model.graph):
        dims = [OPEN if dim is None else dim for dim in dimensions(value) or ()]
        batch, *usual = profile_shapes(value.name, dims, options).optimum
        shapes[value.name] = (1 if dims[0] == OPEN else batch, *usual)
    return shapes


def _verdict(answer: Answer, layers: Sequence[LayerPrecision], names: NeutralNames) -> Verdict:
    """Return the judgement of an answer in neutral names, with the file's in their place."""
    changed = changed_values(answer.warnings)
    if answer.refusal is not None:
        refusal = f"{answer.refusal}. What to do: {cure_of(answer.refusal)}"
    elif changed:
        refusal = (
            f"NVIDIA's compiler takes {changed[0]!r} upon itself, which is not what the file says. "
            f"What to do: {cure_of(changed[0])}"
        )
    elif others := disagreements(layers):
        more = f", and {len(others) - 1} more" if len(others) > 1 else ""
        refusal = f"{others[0]}{more}"
    else:
        refusal = None
    return Verdict(
        answer=replace(
            answer,
            refusal=answer.refusal and names.restored(answer.refusal),
            warnings=tuple(map(names.restored, answer.warnings)),
            log=tuple(map(names.restored, answer.log)),
        ),
        refusal=refusal and names.restored(refusal),
        notes=tuple(map(names.restored, remarks(answer.warnings))),
    )
