"""The network that every precision starts from, and what was found out about it."""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx

from tritonseg_engines.build.boundary_proof import Proof
from tritonseg_engines.build.samples import Sample
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.onnx_file import dimensions, inferred_values
from tritonseg_engines.graph.tail import Tail
from tritonseg_engines.precision.existing import ExistingInt8
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
        onnx_sha256: Of the export, as `export_sha256` takes it.
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
