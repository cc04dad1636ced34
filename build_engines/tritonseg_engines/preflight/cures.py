"""What to do about a refusal, by NVIDIA's own words for it."""

from __future__ import annotations

import re
from typing import Final

QUANTIZE_ANEW: Final = (
    "export the float network and let `tritonseg build --precision int8` quantize it"
)
CURES: Final = (
    (r"same (input )?types?|(must|should) be of same type", "give both inputs one type: leave the "
     "export in float32 and let `tritonseg build --precision fp16` lower it"),
    (r"[Nn]on-zero zero point|UINT8 zero_point", f"TensorRT's int8 is symmetric: {QUANTIZE_ANEW}"),
    (r"must have type FP8", f"TensorRT dequantizes int8 alone, no int32 bias: {QUANTIZE_ANEW}"),
    (r"number of scales|Scale coefficients", f"scales are above 0, one for all or one for every "
     f"channel: {QUANTIZE_ANEW}"),
    (r"UINT8|UInt8", "bytes are for inputs and outputs: put a Cast right behind the input, and use "
     "float32 or int32 inside"),
    (r"[Aa]ntialias", "resize with antialias before the network (`resize.antialias` of the "
     "specification), or export the Resize without it"),
    (r"transformation modes|aspect_ratio|cubic resizing", "export the Resize with half_pixel or "
     "align_corners coordinates, with its own sizes, over height and width alone"),
    (r"training.?mode", "export the network after `model.eval()`"),
    (r"than 1 outputs", "export the network without the further "
     "outputs: indices of a pool, statistics of a normalization"),
    (r"input type of INT|input data type INT|type Int(32|64) but must have type Float",
     "put a Cast to float32 before the operator, and one back behind it"),
    (r"inherently negative length", "export the Resize with scales, or with sizes of all axes"),
    (r"kLRN_MAX_WINDOW|L1 and L2 norm|K exceeds the maximum", "TensorRT has LRN of odd sizes up to "
     "15, LpPool with p of 1 and 2, and TopK with k up to 3840: export the network within these"),
    (r"dilations", "export the pool without dilation"),
    (r"reduction", "export the network without scatter_add or index_add"),
    (r"broadcast to input|group count", "weights and tensor have other numbers of channels: export "
     "the network again"),
    (r"data type for the Cast|import initializer", "use float32, int32 or int64 in the place of "
     "other types of numbers"),
    (r"HW-specific datatypes", "this GPU lacks the type: name a newer one, or export the float "
     "network and let `tritonseg build --precision int8` quantize it"),
    (r"plugin registry", "the operator is not in TensorRT-RTX, and may be in TensorRT: export the "
     "network with another one in its place, or build on the GPU, where nobody asks TensorRT-RTX"),
    (r"self-consistent|would change volume", "the graph is fixed at another batch or size: export "
     "it with open axes, or ask for the one that it has (`--batch`, `--size`)"),
    (r"[Nn]o importer", "TensorRT has no such operator: export the network with another one in its "
     "place"),
    (r"MyelinCheckException", "the compiler fails at what it took before: export the network "
     "without float64, and without operators that are new in ONNX"),
)  # fmt: skip
"""Patterns of the compiler's messages, most telling first. Source: messages of TensorRT-RTX 1.7 to
the planted faults of tests/preflight, which reach every row."""

HARMLESS: Final = {
    r"Converting conv (activation|weight) scales to fp32": "every float16 scale is a float32",
    r"Make sure (in|out)put .* has Int64 binding": "it is int64 in the file too",
    r"Empty initializer .* was provided with non-empty data": "an empty tensor has no values",
}
"""Warnings that change no value, with the reason."""
CHANGES: Final = re.compile(
    r"default|\bcast|\bconvert|being converted|clamp|truncat|narrow|overflow|subnormal|infinit"
    r"|precision loss|INT64|self-consistent",
    re.IGNORECASE,
)
"""Words of warnings about a type or a value that is not taken as it is written, or about sizes at
which the engine fails."""


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
