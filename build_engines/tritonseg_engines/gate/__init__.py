"""The gate: what is served must give the masks that the exported network gives.

Runs the built network through the runtime that will serve it and the fp32 network through ONNX
Runtime, on the same pictures with the server's own steps around both, and compares class maps.
"""

from __future__ import annotations

from tritonseg_engines.gate.comparison import Comparison, Reference, compare, run_reference
from tritonseg_engines.gate.thresholds import THRESHOLDS, GateError, Thresholds, failures

__all__ = [
    "THRESHOLDS",
    "Comparison",
    "GateError",
    "Reference",
    "Thresholds",
    "compare",
    "failures",
    "run_reference",
]
