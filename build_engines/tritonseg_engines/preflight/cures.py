"""What to do about a refusal, by NVIDIA's own words for it."""

from __future__ import annotations

import re
from typing import Final

QUANTIZE_ANEW: Final = (
    "export the float network and let `tritonseg build --precision int8` quantize it"
)
CURES: Final = (
    (r"must be of same type|same type", "give both inputs one type: leave the export in float32 "
     "and let `tritonseg build --precision fp16` lower it"),
    (r"[Nn]on-zero zero point", f"TensorRT's int8 is symmetric: {QUANTIZE_ANEW}"),
    (r"must be FP8|FP8, FP4|dequantiz", f"TensorRT dequantizes int8 alone, no int32 bias: "
     f"{QUANTIZE_ANEW}"),
    (r"UINT8", "bytes are for inputs and outputs: put a Cast right behind the input"),
    (r"antialias", "resize with antialias before the network (`resize.antialias` of the "
     "specification), or export the Resize without it"),
    (r"training_mode", "export the network after `model.eval()`"),
    (r"[Nn]o importer|not supported|[Uu]nsupported|cannot find|not implemented|[Pp]lugin",
     "TensorRT has no such operator: export the network with another one in its place"),
    (r"dynamic|profile|kMIN|kMAX|shape", "give the export one height and width, or sizes that it "
     "takes"),
)  # fmt: skip
"""Patterns of the compiler's messages, most telling first. Source: messages of TensorRT-RTX 1.7 to
the planted faults of tests/preflight."""

HARMLESS: Final = {
    r"Converting conv (activation|weight) scales to fp32": "every float16 scale is a float32",
    r"Empty initializer .* was provided with non-empty data": "an empty tensor has no values: it "
    "stands for an input that is left out, as opset 11 wants Resize to have",
    r"logger passed into createInferBuilder": "of the process, not of the graph",
}
"""Warnings that change no value, with the reason."""
CHANGES: Final = re.compile(
    r"default|cast|convert|clamp|truncat|narrow|overflow|subnormal|infinit|precision loss|INT64",
    re.IGNORECASE,
)
"""Words of warnings about a type or a value that is not taken as it is written."""


def cure_of(refusal: str) -> str:
    """Return what to do, in words."""
    for pattern, cure in CURES:
        if re.search(pattern, refusal):
            return cure
    return "the node's export has to change; `tritonseg build --runtime tensorrt` may rewrite it"


def changed_values(warnings: tuple[str, ...]) -> list[str]:
    """Return the warnings that say that something is not computed as the file has it."""
    return [
        text
        for text in warnings
        if CHANGES.search(text) and not any(re.search(known, text) for known in HARMLESS)
    ]


def remarks(warnings: tuple[str, ...]) -> list[str]:
    """Return the others, each with the reason why it changes nothing where that is known."""
    changed = changed_values(warnings)
    return [_with_reason(text) for text in warnings if text not in changed]


def _with_reason(text: str) -> str:
    reasons = [reason for known, reason in HARMLESS.items() if re.search(known, text)]
    return f"{text} ({reasons[0]})" if reasons else text
