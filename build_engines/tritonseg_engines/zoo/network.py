"""What every network of the zoo says about itself beyond computing scores."""

from __future__ import annotations

from typing import ClassVar

from torch import nn


class SegmentationNetwork(nn.Module):
    """A module that maps normalised `(N, 3, H, W)` floats to raw scores `(N, C, h, w)`.

    Attributes:
        training_only: Prefixes of upstream names that inference does not need.
        minimum_side: Smallest height and width in pixels that upstream takes.
        fixed_size_reason: Why an export cannot leave height and width open, or None if it can.
    """

    training_only: ClassVar[tuple[str, ...]] = ()
    minimum_side: ClassVar[int] = 1
    fixed_size_reason: ClassVar[str | None] = None

    def upstream_name(self, name: str) -> str:
        """Return upstream's name of an entry of this network's state dict."""
        return name
