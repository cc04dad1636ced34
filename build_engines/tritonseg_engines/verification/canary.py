"""A picture that the server is asked about, and the class map that its engine gave when built."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.errors import VerificationError
from tritonseg_engines.verification.drawing import KINDS, draw, picture_sha256
from tritonseg_steps.geometry import Size

FEW_PIXELS: Final = 2
"""That may be another class whatever the share is: one pixel of a small picture is 0.01 %."""
DRAWN_OTHERWISE: Final = (
    "this tritonseg draws another picture than the build's did; verify with the version that built "
    "the model, or build it again"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Canary:
    """One picture with its class map.

    Attributes:
        kind: Of the picture, one of `drawing.KINDS`.
        seed: Of what is random in it.
        size_hw: Height and width in pixels.
        picture_sha256: Of its pixels, in hexadecimal digits.
        class_map: `(H, W)` uint8 that the engine gave with the steps around it.
        least_equal: Least share of pixels with that class, 0-1.
        equal_to_fp32: Share of pixels, where rounding cannot decide, that have the class of the
            fp32 network, by another runtime and without the steps' upsampling.
    """

    kind: str
    seed: int
    size_hw: Size
    picture_sha256: str
    class_map: NDArray[np.uint8] = field(repr=False)
    least_equal: float
    equal_to_fp32: float

    @property
    def name(self) -> str:
        """For messages, as "clouds 0 of 512x1024"."""
        return f"{self.kind} {self.seed} of {self.size_hw[0]}x{self.size_hw[1]}"

    def picture(self) -> NDArray[np.uint8]:
        """Draw it, `(H, W, 3)` uint8 RGB.

        Raises:
            VerificationError: It comes out as another than when the model was built.
        """
        if self.kind not in KINDS:
            raise VerificationError(f"canary {self.name}: {DRAWN_OTHERWISE}")
        image_hwc = draw(self.kind, self.seed, self.size_hw)
        if picture_sha256(image_hwc) != self.picture_sha256:
            raise VerificationError(f"canary {self.name}: {DRAWN_OTHERWISE}")
        return image_hwc

    def difference(self, class_map: NDArray[Any]) -> str | None:
        """Return how a served class map differs too much from the build's, None if it does not."""
        if class_map.shape != self.class_map.shape or class_map.dtype != np.uint8:
            return (
                f"canary {self.name}: expected a class map of {list(self.class_map.shape)} uint8, "
                f"got {list(class_map.shape)} {class_map.dtype}"
            )
        equal_hw = class_map == self.class_map
        if self.allows(int(equal_hw.size - equal_hw.sum())):
            return None
        return (
            f"canary {self.name}: expected the build's class at {self.least_equal:.2%} of the "
            f"pixels, got {_floored(self.equal_pixels(class_map))}"
        )

    def equal_pixels(self, class_map: NDArray[Any]) -> float:
        """Return the share of pixels with the build's class, 0 for one of another shape."""
        if class_map.shape != self.class_map.shape:
            return 0.0
        return float((class_map == self.class_map).mean())

    def allows(self, unequal: int) -> bool:
        """Return whether so many pixels may be of another class."""
        allowed = round((1 - self.least_equal) * self.class_map.size, 6)  # 1 - 0.9999 is a bit less
        return unequal <= max(FEW_PIXELS, allowed)

    def to_json(self) -> dict[str, Any]:
        """Return a document that `from_json` reads back."""
        packed = zlib.compress(self.class_map.tobytes(), level=9)
        return {
            "kind": self.kind,
            "seed": self.seed,
            "size_hw": list(self.size_hw),
            "picture_sha256": self.picture_sha256,
            "class_map_sha256": picture_sha256(self.class_map),
            "class_map": base64.b64encode(packed).decode("ascii"),
            "classes": [int(one) for one in np.unique(self.class_map)],
            "least_equal": self.least_equal,
            "equal_to_fp32": self.equal_to_fp32,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Canary:
        """Read what `to_json` wrote.

        Raises:
            ValueError: It is something else.
        """
        try:
            height, width = document["size_hw"]
            content = zlib.decompress(base64.b64decode(document["class_map"], validate=True))
            class_map = np.frombuffer(content, np.uint8).reshape(height, width)
            canary = cls(
                kind=str(document["kind"]),
                seed=int(document["seed"]),
                size_hw=(height, width),
                picture_sha256=str(document["picture_sha256"]),
                class_map=class_map,
                least_equal=float(document["least_equal"]),
                equal_to_fp32=float(document["equal_to_fp32"]),
            )
        except (KeyError, TypeError, binascii.Error, zlib.error) as error:
            raise ValueError(f"expected a canary: {error}") from error
        if picture_sha256(class_map) != document.get("class_map_sha256"):
            raise ValueError(f"canary {canary.name}: its class map is not what its SHA-256 is of")
        return canary


def _floored(share: float) -> str:
    """Return a share in percent that never reads as more than it is."""
    return f"{np.floor(share * 1e5) / 1e3:.3f} %"
