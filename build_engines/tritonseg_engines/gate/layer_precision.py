"""In which precision each layer that multiplies is computed, as one picture of the network."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

COLOURS: Final = {"int8": "#2a8f6f", "fp16": "#3f74c9", "fp32": "#d9822b"}
OTHER_COLOUR: Final = "#8a8a8a"
STRIP_WIDTH: Final = 1000
STRIP_HEIGHT: Final = 46
LEAST_WIDTH: Final = 1.5
"""Of a layer in the picture, so that one that costs next to nothing is seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerPrecision:
    """One layer that multiplies.

    Attributes:
        node: The ONNX node's name.
        operator: E.g. "Conv".
        asked: Precision that the file says.
        network: Precision that NVIDIA's parser made of it; None where it is not found.
        engine: Precision of the finished engine's layer; None where it was fused into one without
            a name.
        macs: Multiply-accumulates for one picture.
        why: Why it is not in the network's lowest precision, or "".
    """

    node: str
    operator: str
    asked: str
    network: str | None
    engine: str | None
    macs: int
    why: str = ""


def shares(layers: Sequence[LayerPrecision]) -> dict[str, tuple[int, float]]:
    """Return count of layers and share of the multiply-accumulates by precision, most first."""
    total = sum(layer.macs for layer in layers) or 1
    found: dict[str, tuple[int, int]] = {}
    for layer in layers:
        count, macs = found.get(layer.asked, (0, 0))
        found[layer.asked] = (count + 1, macs + layer.macs)
    ordered = sorted(found.items(), key=lambda entry: -entry[1][1])
    return {name: (count, macs / total) for name, (count, macs) in ordered}


def shares_text(
    layers: Sequence[LayerPrecision], uncounted: Mapping[str, int] | None = None
) -> str:
    """Return the same as one line.

    Args:
        layers: That multiply.
        uncounted: How many nodes multiply besides, by what keeps them from being counted.
    """
    besides = [f"{count} {how}" for how, count in (uncounted or {}).items()]
    counted = " that are counted" if besides else ""
    of_layers = [
        f"{count} of {len(layers)} layers in {name} ({share:.1%} of the multiply-accumulates"
        f"{counted})"
        for name, (count, share) in shares(layers).items()
    ]
    return ", ".join(of_layers) + (f"; not counted: {', '.join(besides)}" if besides else "")


def precision_rows(layers: Sequence[LayerPrecision]) -> list[tuple[str, ...]]:
    """Return a row for every layer that has a reason to be in more bits than the rest."""
    total = sum(layer.macs for layer in layers) or 1
    return [
        (
            layer.node,
            layer.operator,
            layer.asked,
            layer.engine or "fused into another",
            f"{layer.macs / total:.2%}",
            layer.why,
        )
        for layer in layers
        if layer.why
    ]


def strip(layers: Sequence[LayerPrecision]) -> str:
    """Return the network as an SVG: from input to output, each layer as wide as it multiplies."""
    total = sum(layer.macs for layer in layers) or 1
    widths = [max(STRIP_WIDTH * layer.macs / total, LEAST_WIDTH) for layer in layers]
    scale = STRIP_WIDTH / sum(widths) if widths else 1.0
    boxes, left = [], 0.0
    for layer, width in zip(layers, widths, strict=True):
        colour = COLOURS.get(layer.asked, OTHER_COLOUR)
        title = f"{layer.node}: {layer.asked}, {layer.macs / total:.2%}"
        boxes.append(
            f"<rect x='{left:.2f}' width='{max(width * scale - 0.3, 0.3):.2f}' "
            f"height='{STRIP_HEIGHT}' fill='{colour}'><title>{html.escape(title)}</title></rect>"
        )
        left += width * scale
    legend = " ".join(
        f"<span><i style='background:{COLOURS.get(name, OTHER_COLOUR)}'></i>{html.escape(name)} "
        f"{count} layers, {share:.1%}</span>"
        for name, (count, share) in shares(layers).items()
    )
    return (
        f"<figure class=strip><figcaption>The network from input to output; a layer is as wide as "
        f"it multiplies</figcaption><svg viewBox='0 0 {STRIP_WIDTH} {STRIP_HEIGHT}' "
        f"preserveAspectRatio='none'>{''.join(boxes)}</svg><p>{legend}</p></figure>"
    )
