"""What int8 costs in single layers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerCost:
    """What quantizing one layer, or neighbouring ones, does alone.

    Attributes:
        layers: Names of the nodes.
        changed_pixels: Share of the pixels with another class, 0-1.
        miou_loss_points: Loss of mIoU in points of 100, against labels where there are any and
            against the reference otherwise.
        kept: Whether they are left in high precision.
    """

    layers: tuple[str, ...]
    changed_pixels: float
    miou_loss_points: float
    kept: bool = False

    @property
    def name(self) -> str:
        """Return the layer's name, or those at the ends of a group."""
        if len(self.layers) == 1:
            return self.layers[0]
        return f"{self.layers[0]} … {self.layers[-1]} ({len(self.layers)} layers)"
