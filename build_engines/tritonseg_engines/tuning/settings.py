"""What of a model's configs decides its speed and none of its masks.

What decides masks is in `repository.mask_settings`, and a build has proven masks with it; nothing
here is among that.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How often a model runs and how requests wait for it; None where its layout has no such thing.

    Attributes:
        engine_instances: Copies of the engine: processes on a CPU, contexts on every GPU.
        engine_threads: Threads of each on a CPU; 0 for its share of the cores.
        normalize_instances: Processes of that step.
        argmax_instances: Processes of that step.
        max_batch_size: Most pictures that a plan is given at once.
        queue_delay_us: How long a plan waits for a fuller batch, in microseconds.
        queue_limit: Requests that may wait for the model's first step; 0 for any number.
        queue_ms: How long the last of them may wait for its turn, in milliseconds; 0 for any time.
    """

    engine_instances: int | None = None
    engine_threads: int | None = None
    normalize_instances: int | None = None
    argmax_instances: int | None = None
    max_batch_size: int | None = None
    queue_delay_us: int | None = None
    queue_limit: int | None = None
    queue_ms: int | None = None

    def changes_to(self, other: Settings) -> dict[str, tuple[int, int]]:
        """Return what differs, by name: this value and the other."""
        pairs = {
            one.name: (getattr(self, one.name), getattr(other, one.name)) for one in fields(self)
        }
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def described(self, default: Settings) -> str:
        """Return the changes to a default in words, "as it is" if there are none."""
        changes = default.changes_to(self)
        return (
            ", ".join(WORDS[name].format(new) for name, (_, new) in changes.items()) or "as it is"
        )


WORDS: Final = {
    "engine_instances": "engines {}",
    "engine_threads": "threads an engine {}",
    "normalize_instances": "normalize processes {}",
    "argmax_instances": "argmax processes {}",
    "max_batch_size": "largest batch {}",
    "queue_delay_us": "queue delay {} µs",
    "queue_limit": "queue limit {}",
    "queue_ms": "longest wait {} ms",
}
"""Each setting as reports name it."""
