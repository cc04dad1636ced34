"""What this project calls the types that networks compute in, and how many bits they have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

NAMES: Final = {
    "FLOAT": "fp32",
    "FLOAT16": "fp16",
    "HALF": "fp16",
    "BFLOAT16": "bf16",
    "BF16": "bf16",
    "DOUBLE": "fp64",
    "FLOAT8E4M3FN": "fp8",
    "FLOAT8E5M2": "fp8_e5m2",
    "FLOAT4E2M1": "fp4",
}
"""By what ONNX and TensorRT call them, whose log writes small letters; others go by their own."""
BITS: Final = {
    "int4": 4,
    "fp4": 4,
    "int8": 8,
    "fp8": 8,
    "fp8_e5m2": 8,
    "fp16": 16,
    "bf16": 16,
    "fp32": 32,
    "fp64": 64,
}
"""Of the types that layers multiply in."""


def number_type(name: str) -> str:
    """Return what this project calls a type of ONNX's or TensorRT's."""
    return NAMES.get(name.upper(), name.lower())


def widest(types: Iterable[str]) -> str:
    """Return the type with the most bits, as what multiplies two of them is named after it."""
    return max(types, key=lambda name: BITS.get(name, 0))
