"""Which sizes an export with an open size takes, found by asking it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tritonseg_engines.build.export_truth import ExportTruth
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.running.networks import CANNOT_RUN
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.geometry import FitPad, ResizePolicy, Size, Stretch
from tritonseg_steps.network_sizes import NetworkSizes

SMALL = ((97, 131), (61, 200), (45, 118))
LARGE = ((401, 531), (449, 777))
"""Heights and widths that no usual stride divides; some networks take no small ones."""
USUAL = (256, 256)
DIVISORS = (*range(2, 65), 70, 72, 80, 84, 96, 98, 112, 128, 140, 160, 168, 192, 196, 224, 256)


def find_sizes(
    truth: ExportTruth, input_hw: tuple[int | None, int | None], resize: ResizePolicy
) -> NetworkSizes:
    """Return the sizes that the export takes, as far as they are multiples from some size on.

    Args:
        truth: The export.
        input_hw: Height and width that it declares, None where open.
        resize: Where that leads to one size, no others are of interest.

    Raises:
        OnnxModelError: It takes none of those tried.
    """
    sizes = NetworkSizes(height=input_hw[0], width=input_hw[1])
    if sizes.fixed_hw is not None or isinstance(resize, (Stretch, FitPad)):
        return sizes
    refusals: set[str] = set()

    def takes(size_hw: Size) -> bool:
        try:
            truth.run(np.zeros((1, 3, *size_hw), np.float32))
        except OnnxModelError as error:
            refusals.add(str(error).removeprefix(CANNOT_RUN))
            return False
        return True

    probed = (SMALL,) if takes(sizes.nearest(USUAL)) else (SMALL, LARGE)
    for divisor in (1, *DIVISORS):
        limited = replace(sizes, multiple_of=divisor)
        for probes in probed:
            if all(takes(limited.nearest(size_hw)) for size_hw in probes):
                return _with_least(limited, sorted(sum(probes, ())), takes)
    if len(refusals) == 1:
        raise OnnxModelError(f"the export cannot be run: {refusals.pop()}")
    raise OnnxModelError(
        f"the export cannot be run at any of the sizes tried, up to multiples of {DIVISORS[-1]}: "
        f"{sorted(refusals)[0]}"
    )


def _with_least(
    sizes: NetworkSizes, sides: Sequence[int], takes: Callable[[Size], bool]
) -> NetworkSizes:
    """Return the same from the smallest side on that is taken for both, found by halving.

    Args:
        sizes: All of which are taken if they are large enough.
        sides: Some that were among those taken, ascending.
        takes: Asks the export.
    """
    side = next((one for one in sides if takes(sizes.nearest((one, one)))), sides[-1])
    taken = -(-side // sizes.multiple_of)
    refused = 0
    while taken - refused > 1:
        middle = (taken + refused) // 2
        side = middle * sizes.multiple_of
        if takes(sizes.nearest((side, side))):
            taken = middle
        else:
            refused = middle
    return replace(sizes, at_least=taken * sizes.multiple_of if taken > 1 else 1)


def size_remark(spec: ModelSpec, sizes: NetworkSizes) -> str | None:
    """Return which pictures will be refused and how to take them, or None if none will be."""
    resize = spec.preprocessing.resize
    if isinstance(resize, (Stretch, FitPad)):
        return None
    height, width = (side or "any" for side in sizes.input_hw)
    if sizes.input_hw != (None, None):
        return (
            f"takes pictures of {height}x{width} only, which the export has fixed; resize: "
            "{policy: stretch} or {policy: fit_pad} takes any, with input.height and input.width"
        )
    limits = []
    if sizes.multiple_of > 1 and resize.size_divisor % sizes.multiple_of:
        limits.append(
            f"whose height and width are multiples of {sizes.multiple_of}; resize: "
            f"{{policy: {resize.policy}, size_divisor: {sizes.multiple_of}}} pads others"
        )
    if sizes.at_least > max(sizes.multiple_of, resize.size_divisor):
        limits.append(f"of at least {sizes.at_least} pixels in height and width")
    return f"takes pictures {', and '.join(limits)}" if limits else None
