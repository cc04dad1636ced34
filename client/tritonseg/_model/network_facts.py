"""What a model says about its network: how pictures come to it, and how far it sees.

`describe()` has them; cutting pictures into tiles goes by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .documents import JsonObject, read_object

PREPROCESSING_PARAMETER: Final = "tritonseg_preprocessing"
NETWORK_SIZES_PARAMETER: Final = "tritonseg_network_sizes"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizePolicy:
    """How a picture becomes one of a size that the network takes.

    Attributes:
        policy: "native" leaves its size; "stretch", "fit_pad", "center_crop" and "keep_ratio"
            change it. A newer build may have others.
        height: Of what it leads to, in pixels; None where that goes by the picture.
        width: Likewise.
        long_side: Of the resized picture, for "keep_ratio"; None for any.
        short_side: Likewise, and for "center_crop".
        size_divisor: What both sides are made multiples of, by padding.
        align: Where the picture lies in the padding, "top_left" or "center".
    """

    policy: str
    height: int | None = None
    width: int | None = None
    long_side: int | None = None
    short_side: int | None = None
    size_divisor: int = 1
    align: str = "top_left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """What happens to a picture before the network.

    Attributes:
        mean: Of red, green and blue, 0–255, that is subtracted.
        scale: By which is divided then.
        color_order: Of what the network takes, "RGB" or "BGR".
        resize: How its size changes.
        network_hw: (H, W) of the network's input in pixels; None where it takes any.
        multiple_of: What open sides must be multiples of.
        at_least: What they must not fall below.
        at_most_hw: What they must not exceed; None for no bound.
    """

    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    color_order: str
    resize: ResizePolicy
    network_hw: tuple[int | None, int | None]
    multiple_of: int
    at_least: int
    at_most_hw: tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far a pixel of the class map sees, in pixels of the picture at the network's scale.

    Attributes:
        before_hw: Rows above it and columns to its left that it may depend on.
        after_hw: Rows below it and columns to its right.
        grid_hw: The network does the same everywhere only for what begins at multiples of these.
        unbounded_by: What in the network sees all of a picture; None where nothing does, and then
            the other three hold.
    """

    before_hw: tuple[int, int] = (0, 0)
    after_hw: tuple[int, int] = (0, 0)
    grid_hw: tuple[int, int] = (1, 1)
    unbounded_by: str | None = None


def read_preprocessing(name: str, parameters: Mapping[str, str]) -> Preprocessing | None:
    """Return what a model says of its preprocessing; None where it says nothing.

    Raises:
        ProtocolError: What it says is malformed.
    """
    if PREPROCESSING_PARAMETER not in parameters or NETWORK_SIZES_PARAMETER not in parameters:
        return None
    document = read_object(name, parameters, PREPROCESSING_PARAMETER)
    sizes = read_object(name, parameters, NETWORK_SIZES_PARAMETER)
    return Preprocessing(
        mean=document.numbers("mean"),
        scale=document.numbers("scale"),
        color_order=document.text("color_order"),
        resize=_resize_policy(document.object("resize")),
        network_hw=(sizes.optional_side("height"), sizes.optional_side("width")),
        multiple_of=sizes.side("multiple_of"),
        at_least=sizes.side("at_least"),
        at_most_hw=None if sizes.fields.get("at_most_hw") is None else sizes.sides("at_most_hw"),
    )


def _resize_policy(document: JsonObject) -> ResizePolicy:
    return ResizePolicy(
        policy=document.text("policy"),
        height=document.optional_side("height"),
        width=document.optional_side("width"),
        long_side=document.optional_side("long_side"),
        short_side=document.optional_side("short_side"),
        size_divisor=document.optional_side("size_divisor") or 1,
        align=document.text("align") if "align" in document.fields else "top_left",
    )


def read_reach(model: JsonObject) -> Reach | None:
    """Return what a model's description says of its reach; None where it says nothing.

    Raises:
        ProtocolError: What it says is malformed.
    """
    if "reach" not in model.fields:
        return None
    document = model.object("reach")
    if "unbounded_by" in document.fields:
        return Reach(unbounded_by=document.text("unbounded_by"))
    return Reach(
        before_hw=document.sides("before_hw", least=0),
        after_hw=document.sides("after_hw", least=0),
        grid_hw=document.sides("grid_hw"),
    )
