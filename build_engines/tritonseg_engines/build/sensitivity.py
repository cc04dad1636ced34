"""Find the few layers whose quantization costs most, in a bounded number of measurements.

Every layer is quantized alone and the damage measured; with many layers, first neighbours
together and then the members of the worst groups. After that the costliest are left in high
precision: one, two, four, and so on until the whole passes, then as few of those as will do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tritonseg_engines.gate.comparison import Comparison
from tritonseg_engines.gate.layer_cost import LayerCost
from tritonseg_engines.progress import Counter

MAXIMUM_MEASUREMENTS = 96
MAXIMUM_SHARE_KEPT = 0.5
"""A network of which more than half the layers must stay is not worth quantizing."""

Measure = Callable[[Sequence[str]], Comparison]
"""Compares the network with only these layers quantized."""
Passes = Callable[[Comparison], bool]


def layer_costs(
    layers: Sequence[str],
    measure: Measure,
    *,
    maximum: int = MAXIMUM_MEASUREMENTS,
    progress: Counter | None = None,
) -> list[LayerCost]:
    """Return what each layer costs, most first, in at most `maximum` measurements.

    With more layers than that some stand together as a group of neighbours.
    """
    done = 0

    def cost(group: Sequence[str]) -> LayerCost:
        nonlocal done
        result = _cost(group, measure(group))
        done += 1
        if progress is not None:
            progress(done, min(maximum, len(layers)))
        return result

    if len(layers) <= maximum:
        return _ranked([cost([layer]) for layer in layers])
    # Half of the measurements find the worst groups, the other half take those apart.
    size = -(-len(layers) // (maximum // 2))
    groups = [layers[start : start + size] for start in range(0, len(layers), size)]
    costs = _ranked([cost(group) for group in groups])
    apart = (maximum - len(groups)) // size
    members = [cost([layer]) for group in costs[:apart] for layer in group.layers]
    return _ranked([*members, *costs[apart:]])


def fewest_kept(
    layers: Sequence[str], costs: Sequence[LayerCost], measure: Measure, passes: Passes
) -> list[str] | None:
    """Return the layers to leave in high precision, or None if too many would have to be.

    For a network that is not good enough with all layers quantized.

    Args:
        layers: All that could be quantized.
        costs: Of `layer_costs`, most first.
        measure: Compares with the given layers quantized.
        passes: Whether a comparison is good enough.
    """

    def good(count: int) -> bool:
        kept = set(_layers_of(costs[:count]))
        return passes(measure([layer for layer in layers if layer not in kept]))

    limit = int(len(costs) * MAXIMUM_SHARE_KEPT)
    failed, passed = 0, 1
    while not good(passed):
        if passed >= limit:
            return None
        failed, passed = passed, min(2 * passed, limit)
    while passed - failed > 1:
        middle = (failed + passed) // 2
        if good(middle):
            passed = middle
        else:
            failed = middle
    return _layers_of(costs[:passed])


def _cost(group: Sequence[str], comparison: Comparison) -> LayerCost:
    return LayerCost(
        layers=tuple(group),
        changed_pixels=1 - comparison.equal_pixels,
        miou_loss_points=comparison.miou_loss_points,
    )


def _ranked(costs: Sequence[LayerCost]) -> list[LayerCost]:
    """Order by changed pixels: over few pictures mIoU moves in either direction by chance."""
    return sorted(costs, key=lambda cost: cost.changed_pixels, reverse=True)


def _layers_of(costs: Sequence[LayerCost]) -> list[str]:
    return [layer for cost in costs for layer in cost.layers]
