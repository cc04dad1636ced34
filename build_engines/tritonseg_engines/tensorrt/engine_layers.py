"""What NVIDIA's compiler says that an engine is made of, read off its log.

With detailed verbosity the builder logs one line per layer of the finished engine: kind, and type
and shape of every tensor. Layers that multiply have the name of the ONNX node that they came from,
and a number; what was fused into something without a name of its own has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from tritonseg_engines.tensorrt.number_types import number_type

_LINE: Final = re.compile(
    r"Name: (?P<name>.*), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], Constants: "
)
_NUMBERED: Final = re.compile(r"_myl\d+_\d+$")
_TYPE: Final = re.compile(r"Datatype: (\w+)")
_WAITING: Final = ("signal", "wait")


def engine_layers(text: str) -> Iterator[dict[str, Any]]:
    """Yield the layers that compute, each with its name and the types that it reads."""
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None or match["kind"] in _WAITING:
            continue
        yield {
            "name": _NUMBERED.sub("", match["name"]),
            "reads": [number_type(dtype) for dtype in _TYPE.findall(match["inputs"])],
        }
