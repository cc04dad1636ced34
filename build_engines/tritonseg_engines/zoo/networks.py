"""Which network belongs to which name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from tritonseg_engines.zoo import hrnet

_NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "hrnetv2-w18-small-v1-cityscapes": lambda classes: hrnet.HRNetV2(
        hrnet.W18_SMALL_V1, num_classes=classes
    ),
}


def create_network(name: str, num_classes: int) -> nn.Module:
    """Return a fresh network in evaluation mode; the name is one of the zoo's."""
    return _NETWORKS[name](num_classes).eval()
