"""How a picture of any size becomes the network's input size, and where each pixel went.

A policy answers one question, `geometry(image_hw)`. The normalize step draws by the answer and
the argmax step undoes it, so that both read one definition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from tritonseg_steps.validation import exact_keys, positive_int

Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the picture lies in the network's input: its content is at the top left.

    Attributes:
        image_hw: Size of the picture as it came.
        content_hw: Size to which the picture is resized.
        network_hw: Size of the network's input; what the content leaves is padding.
    """

    image_hw: Size
    content_hw: Size
    network_hw: Size


@dataclass(frozen=True, kw_only=True, slots=True)
class _OpenSize:
    """What the policies share that lead to sizes of many kinds.

    Attributes:
        size_divisor: What height and width of the network's input are multiples of, by padding at
            the right and bottom. Source: mmsegmentation, `SegDataPreProcessor`.
    """

    size_divisor: int = 1

    def __post_init__(self) -> None:
        positive_int("resize.size_divisor", self.size_divisor)

    def _padded(self, content_hw: Size) -> Size:
        height, width = (-(-side // self.size_divisor) * self.size_divisor for side in content_hw)
        return height, width


@dataclass(frozen=True, kw_only=True, slots=True)
class Native(_OpenSize):
    """No resize: the network takes the picture's own size, padded to the divisor."""

    policy: ClassVar[str] = "native"

    def geometry(self, image_hw: Size) -> Geometry:
        """Return the picture's size, and that padded."""
        return Geometry(image_hw, image_hw, self._padded(image_hw))


@dataclass(frozen=True, kw_only=True, slots=True)
class _FixedSize:
    """What the policies share that always lead to one size, in pixels."""

    height: int
    width: int

    def __post_init__(self) -> None:
        positive_int("resize.height", self.height)
        positive_int("resize.width", self.width)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch(_FixedSize):
    """Resize to a fixed size; the aspect ratio is not kept."""

    policy: ClassVar[str] = "stretch"

    def geometry(self, image_hw: Size) -> Geometry:
        """Fill the network's input."""
        target = (self.height, self.width)
        return Geometry(image_hw, target, target)


@dataclass(frozen=True, kw_only=True, slots=True)
class FitPad(_FixedSize):
    """Resize to fit inside a fixed size, aspect ratio kept, then pad at the right and bottom.

    Sizes are truncated to whole pixels.
    Source: Open Model Zoo `pspnet-pytorch/accuracy-check.yml`, `fit_to_window` and `padding`.
    """

    policy: ClassVar[str] = "fit_pad"

    def geometry(self, image_hw: Size) -> Geometry:
        """Scale both sides by the factor at which the tighter one fits."""
        height, width = image_hw
        # Integer arithmetic: int(h * (H / h)) falls one short of H for some h in floating point.
        if self.height * width <= self.width * height:
            content = (self.height, max(1, width * self.height // height))
        else:
            content = (max(1, height * self.width // width), self.width)
        return Geometry(image_hw, content, (self.height, self.width))


@dataclass(frozen=True, kw_only=True, slots=True)
class KeepRatio(_OpenSize):
    """Resize by one factor so that neither the long nor the short side exceeds its bound.

    Sizes are rounded half up, then padded to the divisor.
    Source: mmcv 1.7 `image/geometric.py`, `rescale_size`; mmsegmentation's `Resize` with
    `keep_ratio=True` and `img_scale=(long_side, short_side)`.
    """

    policy: ClassVar[str] = "keep_ratio"
    long_side: int
    short_side: int

    def __post_init__(self) -> None:
        _OpenSize.__post_init__(self)  # super() does not find it: slots made another class
        positive_int("resize.long_side", self.long_side)
        positive_int("resize.short_side", self.short_side)

    def geometry(self, image_hw: Size) -> Geometry:
        """Scale both sides by the smaller of the two allowed factors."""
        scale = min(self.long_side / max(image_hw), self.short_side / min(image_hw))
        height, width = (max(1, math.floor(side * scale + 0.5)) for side in image_hw)
        return Geometry(image_hw, (height, width), self._padded((height, width)))


FixedSize = Stretch | FitPad
"""Those that always lead to one size."""
ResizePolicy = Native | FixedSize | KeepRatio

_POLICIES: dict[str, type[Native] | type[Stretch] | type[FitPad] | type[KeepRatio]] = {
    cls.policy: cls for cls in (Native, Stretch, FitPad, KeepRatio)
}


def resize_to_json(resize: ResizePolicy) -> dict[str, Any]:
    """Return `{"policy": name, ...fields}`."""
    return {"policy": resize.policy, **asdict(resize)}


def resize_from_json(document: Mapping[str, Any]) -> ResizePolicy:
    """Read what `resize_to_json` wrote.

    Raises:
        ValueError: The policy is unknown, or its keys are not exactly the policy's own.
    """
    policy = document.get("policy")
    if not isinstance(policy, str) or policy not in _POLICIES:
        raise ValueError(f"resize.policy: expected one of {sorted(_POLICIES)}, got {policy!r}")
    cls = _POLICIES[policy]
    values = {key: value for key, value in document.items() if key != "policy"}
    exact_keys(f"resize ({policy})", values, [field.name for field in fields(cls)])
    return cls(**values)
