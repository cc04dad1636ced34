"""A graph that passed its gate, and what is written about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import onnx

from tritonseg_engines.build.engine_file import plan_sizes
from tritonseg_engines.build.fuse_check import without_resize
from tritonseg_engines.build.prepared import Prepared
from tritonseg_engines.gate.verdict import Judged
from tritonseg_engines.graph.reach import Reach
from tritonseg_engines.repository import Deployment, Engine, Provenance
from tritonseg_engines.target import BuildTarget
from tritonseg_steps.int8_cpu import Int8Cpu


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltGraph:
    """Between conversion and writing.

    Attributes:
        prepared: What it was made from.
        graph: The network in its final precision, with the steps inside if the layout says so.
        judged: The verdict on it.
        target: What it is for.
        provenance: As published, but for the engine, which is not written yet.
        int8_cpu: What its int8 weights are made for; None if it has none or runs on a GPU.
        reach: How far the network sees with the steps around it, fused or not.
        equal_pixels_after_fuse: Share of pixels at which it agrees with the ensemble, or None
            where nothing was fused.
    """

    prepared: Prepared
    graph: onnx.ModelProto
    judged: Judged
    target: BuildTarget
    provenance: Provenance
    reach: Reach
    int8_cpu: Int8Cpu | None = None
    equal_pixels_after_fuse: float | None = None

    def deployment(self, engine_file: str) -> Deployment:
        """Return what the configs are written from."""
        prepared, target = self.prepared, self.target
        deployment = Deployment(
            spec=without_resize(prepared.spec) if target.is_fused else prepared.spec,
            engine=Engine(
                file=engine_file,
                sizes=plan_sizes(prepared.sizes) if target.on_gpu else prepared.sizes,
                max_batch=prepared.max_batch,
                output_dims=prepared.output_dims,
                upsampling=prepared.upsampling,
                int8_cpu=self.int8_cpu,
                reach=self.reach.to_json(),
            ),
            provenance=self.provenance,
            layout=target.layout,
        )
        if not target.gpu_argmax:
            return deployment
        serving = replace(deployment.serving, argmax_on_gpu=True)
        return replace(deployment, serving=serving)

    def manifest(self) -> dict[str, Any]:
        """Return the part of the manifest that does not depend on the engine's file."""
        return {
            "int8_cpu": self.int8_cpu,
            "quantized_export": self.prepared.quantized_export,
            "input": asdict(self.prepared.spec.input),
            "output": asdict(self.prepared.spec.output),
            "tail": asdict(self.prepared.tail),
            "boundary": asdict(self.prepared.proof),
            "equal_pixels_after_fuse": self.equal_pixels_after_fuse,
            "gate": self.judged.report.to_json(),
        }
