"""Random weights under which a network's classes compete, so that its masks can be compared.

With torch's own initial weights the scores of a deep network are nearly constant, and a class map
of one class agrees with anything.
"""

from __future__ import annotations

import torch
from torch import nn

GAINS = {
    "fastseg-small": 2.0,
    "pspnet-pytorch": 1.5,
    "ocrnet-hrnet-w48-paddle": 0.8,
    "hrnetv2-w48-cityscapes": 0.8,
    "hrnetv2-w18-small-v1-cityscapes": 1.5,
    "hrnetv2-w18-small-v2-cityscapes": 1.2,
}
"""Variance of a filter's weights times its fan-in; deep residual networks want less."""


def enliven(network: nn.Module, model: str, seed: int = 0) -> nn.Module:
    """Draw every convolution and batch norm anew, in place; filters sum to zero."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                weight = torch.randn(module.weight.shape, generator=generator)
                weight *= (GAINS[model] / module.weight[0].numel()) ** 0.5
                if module.in_channels > 3:
                    weight -= weight.mean(dim=(1, 2, 3), keepdim=True)
                module.weight.copy_(weight)
                if module.bias is not None:
                    module.bias.copy_(uniform(module.bias, -0.2, 0.2))
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(uniform(module.weight, 0.5, 1.5))
                module.bias.copy_(uniform(module.bias, -0.2, 0.2))
                module.running_mean.copy_(uniform(module.running_mean, -0.2, 0.2))
                module.running_var.copy_(uniform(module.running_var, 0.5, 1.5))
    return network
