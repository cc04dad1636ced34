"""How a model is batched, queued and multiplied, and what to begin with.

The defaults are derived, not tuned: docs/serving_defaults.md has the reasons, and `tritonseg tune`
replaces them by what it measures on the machine at hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from tritonseg_engines.errors import RepositoryError

MAX_BATCH: Final = 8
"""Beyond it no published network gains throughput worth the latency."""
BATCH_TIME_MS: Final = 50.0
"""What the slowest batch may take: whoever waits for it waits twice as long at worst."""
BATCH_BYTES: Final = 256 * 2**20
"""Input and scores of one batch, which cross Triton's shared memory."""
QUEUE_BYTES: Final = 512 * 2**20
QUEUE_TIME_MS: Final = 1000
"""What may wait; beyond it a request is better refused than kept."""
MAX_QUEUE: Final = 64
MAX_DELAY_US: Final = 500
DELAY_SHARE: Final = 0.1
"""Share of an image's time on the engine that a request may wait for company."""
BUSY_MS: Final = 10.0
"""From here on an engine under load is hardly ever idle, and what waits is a batch anyway."""
MAX_STEP_INSTANCES: Final = 4

GPU_GMAC_PER_MS: Final = 30.0
"""Half of an NVIDIA L4's dense fp16 rate. Source: NVIDIA L4 data sheet, 121 TFLOPS = 60 TMAC/s."""
LINK_BYTES_PER_MS: Final = 12e6
"""PCIe 4.0 x8, as copies of some megabytes reach it."""
ARGMAX_MS_PER_MSCORE: Final = 2.2
ARGMAX_MS_PER_MPIXEL: Final = 1.6
"""Measured on one core: 25 ms at 19 classes, 512x1024 scores and 1024x2048 pixels; 9 ms at
256x512 scores."""
UNKNOWN_GMAC_PER_MPIXEL: Final = 100.0
"""Of a network that nobody counted; the published ones have 16 to 680."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """How Triton runs a model.

    Attributes:
        max_batch_size: Most pictures that one execution takes, in a request or merged.
        engine_instances: Copies of the engine on every GPU (on the CPU: altogether).
        step_instances: Processes for each of normalize and argmax.
        argmax_on_gpu: Run argmax on the first GPU, in one process; takes CuPy in the server. Its
            scores come by the host like all tensors between steps (docs/architecture.md).
        queue_delay_us: How long the engine waits for a fuller batch, in microseconds.
        preferred_batch_sizes: Batches that go at once without waiting; ascending. Empty: only
            full ones do, which is right unless a plan has kernels for others.
        max_queue_size: Requests that may wait; the next is refused as overload. 0 for no limit.
            Those of a GPU's engine wait in Triton, all others in the first step that runs on the
            CPU, of which Triton's statistics then see neither waiting nor computing.
        queue_time_ms: How long the last of those in a step may wait for its turn, in milliseconds,
            by what the step measures; 8 may wait all the same. From the first refusal on the line
            is short, until it has been calm. 0 for any time, and a line that is never short.
        warm_up: Run every step once before the model counts as ready, where sizes are known.

    Raises:
        RepositoryError: A value is out of range.
    """

    max_batch_size: int = MAX_BATCH
    engine_instances: int = 1
    step_instances: int = 1
    argmax_on_gpu: bool = False
    queue_delay_us: int = 0
    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_size: int = MAX_QUEUE
    queue_time_ms: int = 0
    warm_up: bool = True

    def __post_init__(self) -> None:
        for name, lowest in (
            ("max_batch_size", 1),
            ("engine_instances", 1),
            ("step_instances", 1),
            ("queue_delay_us", 0),
            ("max_queue_size", 0),
            ("queue_time_ms", 0),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                raise RepositoryError(
                    f"serving.{name}: expected an integer from {lowest} on, got {value!r}"
                )
        sizes = self.preferred_batch_sizes
        if list(sizes) != sorted(set(sizes)) or any(
            not 1 <= size <= self.max_batch_size for size in sizes
        ):
            raise RepositoryError(
                f"serving.preferred_batch_sizes: expected ascending sizes from 1 to "
                f"max_batch_size {self.max_batch_size}, got {sizes}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """What one picture costs.

    Attributes:
        input_hw: Size of the network's input in pixels.
        score_count: Numbers in the scores: classes times their height and width.
        gmacs: 10^9 multiply-accumulates of the network, or None if nobody counted.
    """

    input_hw: tuple[int, int]
    score_count: int
    gmacs: float | None = None

    @property
    def megapixels(self) -> float:
        """Pixels of the input in millions."""
        return self.input_hw[0] * self.input_hw[1] / 1e6

    @property
    def picture_bytes(self) -> int:
        """Bytes of the picture, 8 bits a channel."""
        return 3 * self.input_hw[0] * self.input_hw[1]

    @property
    def input_bytes(self) -> int:
        """Bytes of the normalised input, float32."""
        return 4 * 3 * self.input_hw[0] * self.input_hw[1]

    @property
    def tensor_bytes(self) -> int:
        """Bytes of input and scores together, float32."""
        return self.input_bytes + 4 * self.score_count

    @property
    def compute_ms(self) -> float:
        """Milliseconds on the GPU that the defaults are made for."""
        gmacs = self.gmacs
        if gmacs is None:
            gmacs = UNKNOWN_GMAC_PER_MPIXEL * self.megapixels
        return gmacs / GPU_GMAC_PER_MS

    @property
    def transfer_ms(self) -> float:
        """Milliseconds that its tensors take to the GPU and back."""
        return self.tensor_bytes / LINK_BYTES_PER_MS

    @property
    def argmax_ms(self) -> float:
        """Milliseconds of the argmax step on one core."""
        scores = ARGMAX_MS_PER_MSCORE * self.score_count / 1e6
        return scores + ARGMAX_MS_PER_MPIXEL * self.megapixels


def gpu_serving(workload: Workload) -> Serving:
    """Return defaults for an engine on a GPU."""
    engine_ms = max(workload.compute_ms, workload.transfer_ms)
    batch = _power_of_two(
        min(MAX_BATCH, BATCH_TIME_MS / workload.compute_ms, BATCH_BYTES / workload.tensor_bytes)
    )
    waits = batch > 1 and workload.compute_ms < BUSY_MS
    delay_us = 1000 * DELAY_SHARE * workload.compute_ms if waits else 0
    queue = min(MAX_QUEUE, QUEUE_TIME_MS / engine_ms, QUEUE_BYTES / workload.input_bytes)
    return Serving(
        max_batch_size=batch,
        # Two overlap one's copies with the other's computing, where copies are worth hiding.
        engine_instances=2 if workload.transfer_ms > workload.compute_ms / 2 else 1,
        step_instances=min(MAX_STEP_INSTANCES, math.ceil(workload.argmax_ms / engine_ms)),
        queue_delay_us=min(MAX_DELAY_US, int(delay_us) // 100 * 100),
        max_queue_size=max(2 * batch, int(queue)),
    )


def cpu_serving(workload: Workload) -> Serving:
    """Return defaults for an engine on the CPU, which one picture occupies wholly."""
    batch = _power_of_two(min(MAX_BATCH, BATCH_BYTES / workload.tensor_bytes))
    queue = max(1, min(MAX_QUEUE, int(QUEUE_BYTES / workload.picture_bytes)))
    return Serving(max_batch_size=batch, max_queue_size=queue)


def _power_of_two(limit: float) -> int:
    """Return the largest power of two that is not above the limit, at least 1."""
    return int(2 ** math.floor(math.log2(max(1.0, limit))))
