"""int8 within a budget: which layers stay in high precision, and which one is to blame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tritonseg_engines.build.order import BuildOrder
from tritonseg_engines.build.sensitivity import fewest_kept, layer_costs
from tritonseg_engines.gate.comparison import Comparison
from tritonseg_engines.gate.layer_cost import LayerCost
from tritonseg_engines.gate.verdict import Bar
from tritonseg_engines.precision import Converted, Int8Conversion, batches_of
from tritonseg_engines.progress import counter
from tritonseg_engines.running.served import infer_as_served

SEARCH_PICTURES = 8
"""On which the cost of single layers is measured; the choice is then judged on all."""
BLAME_PICTURES = 4
BLAME_MEASUREMENTS = 24
"""After a refusal: enough to name the worst layers, not to search among them."""


def calibrate(order: BuildOrder) -> Int8Conversion:
    """Measure what int8 needs to know of the network's values.

    Raises:
        CalibrationError: Pictures are missing or cannot be used.
        OnnxModelError: No layer can be quantized.
        SpecificationError: A pattern of nodes to keep matches none.
    """
    pictures = order.pictures.for_int8()
    return Int8Conversion(
        order.prepared.network,
        batches_of(pictures, order.prepared.server_steps),
        len(pictures),
        calibrator=order.options.calibrator,
        keep_fp32=order.options.keep_fp32,
        half_rest=order.target.on_gpu,
        weight_bits=order.target.weight_bits,
        progress=order.progress,
    )


def convert_within_budget(
    order: BuildOrder, int8: Int8Conversion, bar: Bar
) -> tuple[Converted, list[LayerCost]]:
    """Return the network in int8 and what its layers cost, as far as that was measured.

    With a budget, the fewest layers are left in high precision with which it is kept. Where too
    many would have to stay, all are converted: the gate shall say what they cost together.
    """
    everything = int8.convert(int8.layers)
    budget = order.options.max_miou_drop
    if budget is None:
        return everything, []

    def passes(comparison: Comparison) -> bool:
        return comparison.miou_loss_points <= budget and not bar.fails(comparison)

    def measured(layers: Sequence[str]) -> Comparison:
        return _measure(order, int8.convert(layers), bar, "searching layers to keep")

    if passes(_measure(order, everything, bar, "comparing with all layers in int8")):
        return everything, []
    costs = _costs(order, int8, _spread(bar, SEARCH_PICTURES))
    kept = fewest_kept(int8.layers, costs, measured, passes)
    chosen = set(int8.layers if kept is None else kept)
    costs = [replace(cost, kept=chosen.issuperset(cost.layers)) for cost in costs]
    if kept is None:
        return everything, costs
    return int8.convert([layer for layer in int8.layers if layer not in chosen]), costs


def blame(order: BuildOrder, int8: Int8Conversion, bar: Bar) -> list[LayerCost]:
    """Return the costliest layers of a network that was refused."""
    return _costs(order, int8, _spread(bar, BLAME_PICTURES), maximum=BLAME_MEASUREMENTS)


def _costs(order: BuildOrder, int8: Int8Conversion, bar: Bar, **bound: int) -> list[LayerCost]:
    return layer_costs(
        int8.layers,
        lambda layers: _measure(order, int8.convert(layers), bar),
        progress=counter(order.progress, "quantizing layers alone"),
        **bound,
    )


def _measure(
    order: BuildOrder, converted: Converted, bar: Bar, what: str | None = None
) -> Comparison:
    with infer_as_served(converted.model, order.target) as infer:
        return bar.compare(infer, order.progress, what)


def _spread(bar: Bar, pictures: int) -> Bar:
    return replace(bar, reference=bar.reference.spread(pictures))
