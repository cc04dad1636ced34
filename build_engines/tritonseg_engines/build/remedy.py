"""What a user may do about a network that the gate refuses: only what would change something."""

from __future__ import annotations

from tritonseg_engines.build.order import BuildOrder
from tritonseg_engines.build.quantized_export import FROM_FLOAT
from tritonseg_engines.target import Precision


def remedy(order: BuildOrder, *, found_costs: bool) -> str:
    """Return it as the end of a message.

    Args:
        order: What was to be built.
        found_costs: Whether the report names the layers that cost most in int8.
    """
    remedies = _of_precision(order, found_costs=found_costs)
    if order.options.pictures is None:
        remedies.append("--pictures judges on your own pictures")
    remedies.append("--accept builds it nevertheless")
    return f"To change that: {'; '.join(remedies)}"


def _of_precision(order: BuildOrder, *, found_costs: bool) -> list[str]:
    if order.prepared.existing_int8 is not None:
        return [f"its int8 is the file's own, so {FROM_FLOAT}"]
    if found_costs:
        return [
            "--max-miou-drop leaves the costliest layers in high precision",
            "--keep-fp32 those you name",
            "another --calibrator may fit",
        ]
    if order.target.precision is Precision.FP32:
        return []
    return ["--keep-fp32 leaves nodes in fp32"]
