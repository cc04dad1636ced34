"""How pictures of any size become the network's: a policy answers `geometry(image_hw)`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any, ClassVar

from tritonseg_steps.geometry import Geometry, Size
from tritonseg_steps.validation import exact_keys, one_of, positive_int

ROUNDINGS = ("truncate", "round", "half_even")
ALIGNMENTS = ("top_left", "center")
ADDED = ("rounding", "align")
"""Fields that older steps do not know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _OpenSize:
    """What the policies share that lead to sizes of many kinds.

    Attributes:
        size_divisor: What height and width of the network's input are multiples of, by padding.
        align: Where the picture lies in that, as for `FitPad`. Source: mmsegmentation's
            `SegDataPreProcessor` pads at the right and bottom, Albumentations' `PadIfNeeded` on
            all sides.
    """

    size_divisor: int = 1
    align: str = "top_left"

    def __post_init__(self) -> None:
        positive_int("resize.size_divisor", self.size_divisor)
        one_of("resize.align", self.align, ALIGNMENTS)

    def _placed(self, image_hw: Size, content_hw: Size) -> Geometry:
        height, width = (-(-side // self.size_divisor) * self.size_divisor for side in content_hw)
        return _aligned(Geometry(image_hw, content_hw, (height, width)), self.align)


@dataclass(frozen=True, kw_only=True, slots=True)
class Native(_OpenSize):
    """No resize: the network takes the picture's own size, padded to the divisor."""

    policy: ClassVar[str] = "native"

    def geometry(self, image_hw: Size) -> Geometry:
        """Return the picture's size, and that padded."""
        return self._placed(image_hw, image_hw)


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
    """Resize to fit inside a fixed size, aspect ratio kept, and pad the rest.

    Attributes:
        rounding: Of the other side, to whole pixels: "truncate", "round" (half up) or "half_even".
            Source: Open Model Zoo `pspnet-pytorch/accuracy-check.yml`, `fit_to_window`, truncates;
            Ultralytics' `LetterBox` takes Python's `round`, which is half to even.
        align: Where the picture lies, "top_left", or "center" with the odd pixel of padding at the
            right and bottom, as in Ultralytics' `LetterBox` and Albumentations' `PadIfNeeded`.
    """

    policy: ClassVar[str] = "fit_pad"
    rounding: str = "truncate"
    align: str = "top_left"

    def __post_init__(self) -> None:
        _FixedSize.__post_init__(self)  # super() does not find it: slots made another class
        one_of("resize.rounding", self.rounding, ROUNDINGS)
        one_of("resize.align", self.align, ALIGNMENTS)

    def geometry(self, image_hw: Size) -> Geometry:
        """Scale both sides by the factor at which the tighter one fits."""
        height, width = image_hw
        if self.height * width <= self.width * height:
            content_hw = (self.height, _scaled(width, self.height, height, self.rounding))
        else:
            content_hw = (_scaled(height, self.width, width, self.rounding), self.width)
        return _aligned(Geometry(image_hw, content_hw, (self.height, self.width)), self.align)


@dataclass(frozen=True, kw_only=True, slots=True)
class CenterCrop(_FixedSize):
    """Resize by the shorter side, if asked to, and cut a fixed size out of the middle.

    What is smaller is padded. Source: torchvision's `Resize(short_side)` and `CenterCrop`.

    Attributes:
        outside: Class that the pixels get that are cut off, of which the network sees nothing.
        short_side: Of the resized picture; None for no resize.
    """

    policy: ClassVar[str] = "center_crop"
    outside: int
    short_side: int | None = None

    def __post_init__(self) -> None:
        _FixedSize.__post_init__(self)  # super() does not find it: slots made another class
        if isinstance(self.outside, bool) or not isinstance(self.outside, int) or self.outside < 0:
            raise ValueError(f"resize.outside: expected a class's index, got {self.outside!r}")
        if self.short_side is not None:
            positive_int("resize.short_side", self.short_side)

    def geometry(self, image_hw: Size) -> Geometry:
        """Put the middles of content and input together."""
        source = min(image_hw)
        target = self.short_side or source
        height, width = (_scaled(side, target, source, "truncate") for side in image_hw)
        top, left = _middle(height, self.height), _middle(width, self.width)
        return Geometry(
            image_hw, (height, width), (self.height, self.width), (top, left), self.outside
        )


def _middle(content: int, network: int) -> int:
    """Return where the content begins; Python's rounding, to even, is torchvision's too."""
    if content <= network:
        return (network - content) // 2
    return -round((content - network) / 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeepRatio(_OpenSize):
    """Resize by one factor so that a side gets its length and the other no more than its own.

    Then pad to the divisor.

    Attributes:
        long_side: Most pixels of the longer side; None for any.
        short_side: Of the shorter side, likewise; one of the two is needed.
        rounding: Of the other side, to whole pixels: "round" (half up), or "truncate". Source:
            mmcv 1.7 `image/geometric.py`, `rescale_size`, rounds (mmsegmentation's `Resize` with
            `keep_ratio=True` and `img_scale=(long_side, short_side)`); torchvision's `Resize(size)`
            truncates, and Hugging Face's `shortest_edge` with it; "half_even" is Python's `round`,
            as in Albumentations' `LongestMaxSize`. With both bounds "truncate" truncates twice, as
            torchvision's `Resize(short_side, max_size=long_side)` does.
    """

    policy: ClassVar[str] = "keep_ratio"
    long_side: int | None = None
    short_side: int | None = None
    rounding: str = "round"

    def __post_init__(self) -> None:
        _OpenSize.__post_init__(self)  # super() does not find it: slots made another class
        for name in ("long_side", "short_side"):
            if getattr(self, name) is not None:
                positive_int(f"resize.{name}", getattr(self, name))
        if self.long_side is None and self.short_side is None:
            raise ValueError("resize: keep_ratio needs long_side, short_side or both")
        one_of("resize.rounding", self.rounding, ROUNDINGS)

    def geometry(self, image_hw: Size) -> Geometry:
        """Scale both sides by the smaller of the two allowed factors."""
        if self.rounding == "truncate" and self.long_side and self.short_side:
            content_hw = _twice_truncated(image_hw, self.long_side, self.short_side)
            return self._placed(image_hw, content_hw)
        sides = ((self.long_side, max(image_hw)), (self.short_side, min(image_hw)))
        bounds = [(most, side) for most, side in sides if most is not None]
        target, source = min(bounds, key=lambda bound: bound[0] / bound[1])
        height, width = (_scaled(side, target, source, self.rounding) for side in image_hw)
        return self._placed(image_hw, (height, width))


def _aligned(geometry: Geometry, align: str) -> Geometry:
    if align == "top_left":
        return geometry
    sides = zip(geometry.network_hw, geometry.content_hw, strict=True)
    top, left = ((network - content) // 2 for network, content in sides)
    return replace(geometry, offset_hw=(top, left))


def _twice_truncated(image_hw: Size, long_side: int, short_side: int) -> Size:
    """Return a size whose short side is the bound, or whose long side is, if that is smaller.

    Source: torchvision 0.28, `transforms/functional.py`, `_compute_resized_output_size`.
    """
    short, long = short_side, _scaled(max(image_hw), short_side, min(image_hw), "truncate")
    if long > long_side:
        short, long = _scaled(short, long_side, long, "truncate"), long_side
    return (short, long) if image_hw[0] <= image_hw[1] else (long, short)


def _scaled(side: int, target: int, source: int, rounding: str) -> int:
    """Return a side times target / source in whole pixels, at least one."""
    if rounding == "truncate":
        # Integer arithmetic: int(h * (H / h)) falls one short of H for some h in floating point.
        return max(1, side * target // source)
    if rounding == "half_even":
        return max(1, round(side * (target / source)))
    return max(1, math.floor(side * (target / source) + 0.5))


FixedSize = Stretch | FitPad | CenterCrop
"""Those that always lead to one size."""
ResizePolicy = Native | FixedSize | KeepRatio

_POLICIES: dict[
    str, type[Native] | type[Stretch] | type[FitPad] | type[CenterCrop] | type[KeepRatio]
] = {cls.policy: cls for cls in (Native, Stretch, FitPad, CenterCrop, KeepRatio)}


def resize_to_json(resize: ResizePolicy) -> dict[str, Any]:
    """Return `{"policy": name, ...fields}`, without what steps of before `ADDED` would mean too."""
    usual = {field.name: field.default for field in fields(resize)}
    values = {
        name: value
        for name, value in asdict(resize).items()
        if name not in ADDED or value != usual[name]
    }
    return {"policy": resize.policy, **values}


def resize_from_json(document: Mapping[str, Any]) -> ResizePolicy:
    """Read what `resize_to_json` wrote.

    Raises:
        ValueError: The policy is unknown, or its keys are not the policy's own. Those that have
            a default may be missing: older models were built before there was more to say.
    """
    policy = document.get("policy")
    if not isinstance(policy, str) or policy not in _POLICIES:
        raise ValueError(f"resize.policy: expected one of {sorted(_POLICIES)}, got {policy!r}")
    cls = _POLICIES[policy]
    values = {key: value for key, value in document.items() if key != "policy"}
    known = {field.name: field.default is MISSING for field in fields(cls)}
    required = [name for name, needed in known.items() if needed]
    exact_keys(f"resize ({policy})", values, required, known)
    return cls(**values)
