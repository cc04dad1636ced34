"""What NVIDIA's compiler says that an engine is made of, read off its log.

With detailed verbosity the builder logs one line per layer of the finished engine: kind, and type
and shape of every tensor. Layers that multiply have the name of the ONNX node that they came from,
and a number; what was fused into something without a name of its own has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

_LINE: Final = re.compile(
    r"Name: (?P<name>.*), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], Constants: "
)
_NUMBERED: Final = re.compile(r"_myl\d+_\d+$")
_TYPE: Final = re.compile(r"Datatype: (\w+)")
_WAITING: Final = ("signal", "wait")
PRECISIONS: Final = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8"}
"""Ours by TensorRT's names, which its log writes in small letters."""


def precision_of(dtype: str) -> str:
    """Return what this project calls one of TensorRT's types."""
    return PRECISIONS.get(dtype.upper(), dtype.lower())


def engine_layers(text: str) -> Iterator[dict[str, Any]]:
    """Yield the layers that compute, each with its name and the types that it reads."""
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None or match["kind"] in _WAITING:
            continue
        yield {
            "name": _NUMBERED.sub("", match["name"]),
            "reads": [precision_of(dtype) for dtype in _TYPE.findall(match["inputs"])],
        }
