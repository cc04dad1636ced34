"""What the configs of a model are written from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.batching import Serving, Workload, cpu_serving, gpu_serving
from tritonseg_engines.repository.published_networks import PUBLISHED_NETWORKS
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.target import Runtime, ServingLayout
from tritonseg_steps.contract import ENGINE_SUFFIX
from tritonseg_steps.int8_cpu import Int8Cpu
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.upsampling import Upsampling

NOT_BUILT = "not built"
USUAL_HW = (1024, 2048)
"""Taken for the cost of a network that leaves its input's size open."""
USUAL_SCORE_STRIDE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Where an engine comes from; published in the ensemble's parameters.

    Attributes:
        onnx_sha256: Digest of the ONNX file that was built, and of the files beside it that hold
            its weights, in hexadecimal digits; None as long as nothing is.
        precision: "fp32", "fp16", "int8" or "not built".
        runtime: "openvino" or "tensorrt".
        tritonseg_version: Version that built it, or "not built".
        engine_sha256: Digest of the file that Triton runs, in hexadecimal digits; None as long as
            there is none. Calibration, GPU and runtime's release make other engines of one export.
    """

    onnx_sha256: str | None
    precision: str
    runtime: str
    tritonseg_version: str
    engine_sha256: str | None = None

    @classmethod
    def not_built(cls, runtime: str) -> Provenance:
        """Return what is known before anything is built."""
        return cls(
            onnx_sha256=None, precision=NOT_BUILT, runtime=runtime, tritonseg_version=NOT_BUILT
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """The built network as Triton sees it.

    Attributes:
        file: Name of the file in the version folder.
        sizes: Of the input that it takes.
        output_dims: SCORES without the batch axis, None where left open.
        upsampling: How SCORES becomes a class map, by the argmax step or in the engine itself.
        max_batch: Most pictures that one run of it takes; None for any number.
        int8_cpu: What its int8 weights are made for; None if it has none or runs on a GPU.
        reach: How far it sees, as published; None where that was not computed.
    """

    file: str
    sizes: NetworkSizes
    output_dims: tuple[int | None, ...]
    upsampling: Upsampling
    max_batch: int | None = None
    int8_cpu: Int8Cpu | None = None
    reach: Mapping[str, Any] | None = None

    @property
    def gives_class_map(self) -> bool:
        """Whether its output is class indices, uint8, and not scores, float32."""
        return self.upsampling.kind == "class_map"

    @property
    def fixed_output_dims(self) -> tuple[int, ...] | None:
        """The output's dimensions if all are fixed."""
        dims = tuple(dim for dim in self.output_dims if dim is not None)
        return dims if len(dims) == len(self.output_dims) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """Everything the configs are written from.

    Attributes:
        spec: The model.
        engine: Its network as built.
        provenance: Where that comes from; its runtime decides the engine's backend.
        layout: How the steps stand to the engine.
        serving: Batching, queues and instances; by default those that suit the model's cost.

    Raises:
        RepositoryError: The layout does not fit the engine.
    """

    spec: ModelSpec
    engine: Engine
    provenance: Provenance
    layout: ServingLayout = ServingLayout.ENSEMBLE
    serving: Serving = field(default=None)  # type: ignore[assignment]  # set in __post_init__

    def __post_init__(self) -> None:
        if self.layout is ServingLayout.FUSED and self.engine.sizes.fixed_hw is None:
            raise RepositoryError(
                f"{self.spec.name}: expected a fixed size of the fused layout's pictures, got "
                f"{self.engine.sizes.input_hw}"
            )
        if self.layout is ServingLayout.SINGLE and self.on_gpu:
            raise RepositoryError(
                f"{self.spec.name}: expected an engine for the CPU in the layout single, got "
                f"{self.provenance.runtime}"
            )
        if self.serving is None:
            object.__setattr__(self, "serving", self._default_serving())
        if self.serving.argmax_on_gpu and not (
            self.on_gpu and self.layout is ServingLayout.ENSEMBLE
        ):
            raise RepositoryError(
                f"{self.spec.name}: expected the runtime tensorrt in the layout ensemble for "
                f"argmax on the GPU, got {self.provenance.runtime} and {self.layout}"
            )

        batched = {
            "queue_delay_us": self.serving.queue_delay_us,
            "preferred_batch_sizes": self.serving.preferred_batch_sizes,
        }
        for name, value in batched.items():
            if value and not self.on_gpu:
                raise RepositoryError(
                    f"serving.{name}: expected the runtime tensorrt, whose requests are merged, "
                    f"for {value}; on the CPU one is answered after the other"
                )

    @property
    def on_gpu(self) -> bool:
        """Whether the engine runs on a GPU."""
        return self.provenance.runtime == Runtime.TENSORRT

    @property
    def engine_model(self) -> str:
        """Name of the Triton model that runs the engine."""
        return self.spec.name + (ENGINE_SUFFIX if self.layout is ServingLayout.ENSEMBLE else "")

    def with_engine(self, file: Path) -> Deployment:
        """Return the same of an engine that is built: what is published says which file it is."""
        provenance = replace(self.provenance, engine_sha256=sha256_of(file))
        return replace(self, provenance=provenance)

    def workload(self) -> Workload:
        """Return what one picture costs, by the usual size where the engine leaves it open."""
        height, width = self.engine.sizes.fixed_hw or self.spec.input.size_hw or USUAL_HW
        scores = self.engine.fixed_output_dims or (
            len(self.spec.classes),
            height // USUAL_SCORE_STRIDE,
            width // USUAL_SCORE_STRIDE,
        )
        return Workload(
            input_hw=(height, width),
            score_count=math.prod(scores),
            gmacs=_published_gmacs(self.spec, height * width),
        )

    def _default_serving(self) -> Serving:
        workload = self.workload()
        serving = gpu_serving(workload) if self.on_gpu else cpu_serving(workload)
        if self.engine.max_batch is None:
            return serving
        return replace(serving, max_batch_size=min(serving.max_batch_size, self.engine.max_batch))


def _published_gmacs(spec: ModelSpec, pixels: int) -> float | None:
    """Return the cost of a published network at another size; it grows with the pixels."""
    facts = PUBLISHED_NETWORKS.get(spec.name)
    if facts is None or spec.input.size_hw is None:
        return None
    published_pixels = math.prod(spec.input.size_hw)
    return facts.gmacs * pixels / published_pixels
