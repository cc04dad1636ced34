"""Precision lives in the ONNX: fp16 as typed tensors, int8 as Q/DQ; one module per decision."""

from __future__ import annotations

from tritonseg_engines.precision.calibrators import CALIBRATORS
from tritonseg_engines.precision.conversion import (
    Converted,
    Int8Conversion,
    batches_of,
    convert_to_half,
)
from tritonseg_engines.precision.finding import Finding
from tritonseg_engines.precision.half import half_precision
from tritonseg_engines.precision.lint import lint, unconverted_findings
from tritonseg_engines.precision.operators import tensorrt_releases
from tritonseg_engines.precision.quantize import quantizable_layers, quantize

__all__ = [
    "CALIBRATORS",
    "Converted",
    "Finding",
    "Int8Conversion",
    "batches_of",
    "convert_to_half",
    "half_precision",
    "lint",
    "quantizable_layers",
    "quantize",
    "tensorrt_releases",
    "unconverted_findings",
]
