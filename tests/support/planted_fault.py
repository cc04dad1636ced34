"""One planted fault, and what is said to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx

CANNOT_RUN = "cannot be run"
CANNOT_LOAD = "cannot load the network"
FURTHER = "export the network without the further outputs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One graph and what is said to it.

    Attributes:
        make: The graph.
        ours: What this project refuses it with; "" where it does not.
        nvidia: What the compiler says; "" where it takes the graph without a word.
        warns: Whether the compiler takes the graph, with those words as a warning.
        cure: What a user reads behind NVIDIA's words; "" where there is no refusal.
    """

    make: Callable[[], onnx.ModelProto]
    ours: str = ""
    nvidia: str = ""
    warns: bool = False
    cure: str = ""
