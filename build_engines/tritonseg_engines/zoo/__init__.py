"""The published models, what they take and give, and their networks; and the demo that ships.

Building a network needs torch, specifications do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tritonseg_engines.errors import SpecificationError
from tritonseg_engines.zoo.specs import ZOO_SPECS
from tritonseg_engines.zoo.street_demo import DEMO_NAME, demo_spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from tritonseg_engines.spec import ModelSpec
    from tritonseg_engines.zoo.network import SegmentationNetwork

__all__ = ["ZOO_SPECS", "build_network", "get_spec", "load_upstream", "published_spec"]


def get_spec(name: str) -> ModelSpec:
    """Return the specification of a published model, or of the demo.

    Raises:
        SpecificationError: There is no such model.
    """
    if name == DEMO_NAME:
        return demo_spec()
    try:
        return ZOO_SPECS[name]
    except KeyError:
        names = ", ".join((DEMO_NAME, *ZOO_SPECS))
        raise SpecificationError(
            f"model {name!r}: expected one of {names}, or the path of a .yaml file"
        ) from None


def published_spec(name: str) -> ModelSpec:
    """Return the specification of a model whose checkpoint somebody published.

    Raises:
        SpecificationError: There is no such model, or it is the demo, which ships as ONNX.
    """
    if name == DEMO_NAME:
        raise SpecificationError(
            f"model {name!r}: expected one with a published checkpoint, this one ships as ONNX: "
            f"`tritonseg build {name}` needs nothing else"
        )
    return get_spec(name)


def build_network(
    name: str, num_classes: int | None = None, *, num_filters: int | None = None
) -> SegmentationNetwork:
    """Return the network of a zoo model in evaluation mode, with torch's initial weights.

    Args:
        name: Name of a zoo model.
        num_classes: Classes of the last layer; the published number unless given.
        num_filters: Width of fastseg's head, published as 64, 128 (unless given) and 256.

    Returns:
        A module that maps normalised `(N, 3, H, W)` floats to raw scores `(N, C, h, w)`.

    Raises:
        SpecificationError: There is no such published model, or it has no such option.
    """
    from tritonseg_engines.zoo.networks import create_network

    spec = published_spec(name)
    classes = len(spec.classes) if num_classes is None else num_classes
    return create_network(spec.name, classes, num_filters)


def load_upstream(network: nn.Module, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Load weights under upstream's names into a network of `build_network`, strictly.

    Args:
        network: Written in place.
        arrays: Every parameter and buffer of the upstream implementation by its name there
            (Paddle's for OCRNet). Auxiliary heads, which only training needs, may be among them.

    Raises:
        CheckpointError: A name is missing or surplus, or a shape differs.
    """
    from tritonseg_engines.zoo.loading import load_arrays

    load_arrays(network, arrays)
