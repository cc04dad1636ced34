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
IMAGE_CHANNELS = 3


def enliven(network: nn.Module, model: str, seed: int = 0) -> nn.Module:
    """Draw every convolution and batch norm of a published network anew, in place.

    Filters sum to zero, but for those that read the picture.

    Args:
        network: Of the zoo.
        model: Its name.
        seed: Of the weights.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                _draw_filters(module, GAINS[model], generator)
            elif isinstance(module, nn.BatchNorm2d):
                _draw_statistics(module, generator)
    return network


def _draw_filters(layer: nn.Conv2d, gain: float, generator: torch.Generator) -> None:
    weight = torch.randn(layer.weight.shape, generator=generator)
    weight *= (gain / layer.weight[0].numel()) ** 0.5
    if layer.in_channels > IMAGE_CHANNELS:
        weight -= weight.mean(dim=(1, 2, 3), keepdim=True)
    layer.weight.copy_(weight)
    if layer.bias is not None:
        _draw(layer.bias, -0.2, 0.2, generator)


def _draw_statistics(layer: nn.BatchNorm2d, generator: torch.Generator) -> None:
    _draw(layer.weight, 0.5, 1.5, generator)
    _draw(layer.bias, -0.2, 0.2, generator)
    _draw(layer.running_mean, -0.2, 0.2, generator)
    _draw(layer.running_var, 0.5, 1.5, generator)


def _draw(tensor: torch.Tensor | None, low: float, high: float, generator: torch.Generator) -> None:
    if tensor is not None:
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
