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
    r"Name: (?P<name>.*), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], "
    r"Constants: \[(?P<constants>.*?)\], Outputs: \[(?P<outputs>.*?)\], TacticName"
)
_NUMBERED: Final = re.compile(r"_myl\d+_\d+$")
_TYPE: Final = re.compile(r"Datatype: (\w+)")
_WAITING: Final = ("signal", "wait")
PRECISIONS: Final = {"Float": "fp32", "Half": "fp16", "Int8": "int8"}
"""Ours by TensorRT's names of what a convolution reads."""


def engine_layers(text: str) -> Iterator[dict[str, Any]]:
    """Yield the layers that compute: name, kind, and the types that each reads and writes."""
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None or match["kind"] in _WAITING:
            continue
        yield {
            "name": _NUMBERED.sub("", match["name"]),
            "kind": match["kind"],
            "reads": _types(match["inputs"]),
            "constants": _types(match["constants"]),
            "writes": _types(match["outputs"]),
        }


def _types(tensors: str) -> list[str]:
    return [PRECISIONS.get(name, name.lower()) for name in _TYPE.findall(tensors)]
