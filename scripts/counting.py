"""Parameters and multiply-accumulates, by a convention that is stated and the same for all.

Published cards count in four ways: multiply-accumulates or twice that, with or without
elementwise work, at the card's size or a quarter of it, in units of 10^9 or 2^30. Here one MAC is
one multiplication and its addition, inside convolutions and matrix products only: no bias, no
batch norm, no activation, pooling or resizing. "GMAC" means 10^9 of them, for one picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tritonseg_engines.zoo.loading import BATCH_COUNTER

FLOPS_PER_MAC = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class MacCount:
    """Multiply-accumulates of one picture.

    Attributes:
        convolution: Inside convolutions.
        matmul: Inside matrix products, such as attention.
    """

    convolution: int
    matmul: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.convolution + self.matmul


def count_parameters(network: nn.Module) -> int:
    """Return how many numbers training learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_state(network: nn.Module) -> int:
    """Return how many numbers a checkpoint holds: the parameters and batch norm's statistics."""
    return sum(
        value.numel()
        for name, value in network.state_dict().items()
        if not name.endswith(BATCH_COUNTER)
    )


def count_macs(network: nn.Module, size_hw: tuple[int, int]) -> MacCount:
    """Return the cost of one picture.

    Nothing is computed and nothing allocated: torch propagates shapes on its meta device.

    Args:
        network: In evaluation mode; not changed.
        size_hw: Height and width of the network's input in pixels.
    """
    on_meta = {
        name: torch.empty_like(value, device="meta") for name, value in network.state_dict().items()
    }
    image_nchw = torch.empty(1, 3, *size_hw, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        torch.func.functional_call(network, on_meta, (image_nchw,))
    flops = counter.get_flop_counts()["Global"]
    macs = {str(operator): count // FLOPS_PER_MAC for operator, count in flops.items()}
    convolution = sum(count for operator, count in macs.items() if "convolution" in operator)
    return MacCount(convolution=convolution, matmul=sum(macs.values()) - convolution)
