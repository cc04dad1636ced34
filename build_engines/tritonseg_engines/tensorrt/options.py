"""What one may choose about a plan, and the shapes that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tritonseg_engines.tensorrt.errors import PlanOptionsError

HARDWARE_COMPATIBILITY: Final = {
    "none": "NONE",
    "same_compute_capability": "SAME_COMPUTE_CAPABILITY",
    "ampere_plus": "AMPERE_PLUS",
}
"""Our names and those of `tensorrt.HardwareCompatibilityLevel`."""
OPEN: Final = -1
"""How TensorRT writes a dimension that the profile decides."""
RANK: Final = 4
CHANNELS: Final = 3
LARGEST: Final = 2**31 - 1
"""Of a dimension of TensorRT's. Source: `Dims`, whose optimization profiles hold int32."""

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchRange:
    """Batch sizes that a plan takes, and the one that its kernels are chosen for."""

    minimum: int = 1
    optimum: int = 1
    maximum: int = 8

    def __post_init__(self) -> None:
        sizes = (self.minimum, self.optimum, self.maximum)
        if not all(map(_is_dimension, sizes)) or list(sizes) != sorted(sizes):
            raise PlanOptionsError(
                f"batch: expected integers 1 <= minimum <= optimum <= maximum <= {LARGEST}, got "
                f"{sizes}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSizeRange:
    """Network input sizes (height, width) in pixels that a plan takes.

    Attributes:
        minimum_hw: Smallest height and width.
        optimum_hw: The size that its kernels are chosen for.
        maximum_hw: Largest height and width; decides how much GPU memory the plan takes.
    """

    minimum_hw: tuple[int, int]
    optimum_hw: tuple[int, int]
    maximum_hw: tuple[int, int]

    def __post_init__(self) -> None:
        sizes = (self.minimum_hw, self.optimum_hw, self.maximum_hw)
        for side, values in zip(("height", "width"), zip(*sizes, strict=True), strict=True):
            if not all(map(_is_dimension, values)) or list(values) != sorted(values):
                raise PlanOptionsError(
                    f"image_size: expected 1 <= minimum <= optimum <= maximum for the {side}, "
                    f"got {values}"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanOptions:
    """How a plan is built. Precision is no option: it is in the ONNX file.

    Attributes:
        batch: Batch sizes; the largest must be the served model's `max_batch_size`.
        image_size: Sizes of the network's input where the ONNX leaves them open, else None.
        timing_cache: Folder with one cache per GPU model and TensorRT version. A second build of
            a similar network then takes seconds instead of minutes.
        reproducible: Choose the kernels that the timing cache names, and no others: what is not in
            it ends the build. TensorRT 10 or newer. The same ONNX, options and cache then lead to
            the same kernels; without it another build may time, and so choose, otherwise.
        hardware_compatibility: "none": this GPU model only, fastest. "same_compute_capability":
            every GPU of this compute capability; TensorRT 10 or newer. "ampere_plus": every GPU
            from Ampere on, with less shared memory and fewer fusions, hence slower.

    Raises:
        PlanOptionsError: A value is out of range.

    Source: docstrings of `IBuilderConfig` and `HardwareCompatibilityLevel` in TensorRT 11.4's
        Python bindings.
    """

    batch: BatchRange = field(default_factory=BatchRange)
    image_size: ImageSizeRange | None = None
    timing_cache: Path | None = None
    reproducible: bool = False
    hardware_compatibility: str = "none"

    def __post_init__(self) -> None:
        if self.hardware_compatibility not in HARDWARE_COMPATIBILITY:
            raise PlanOptionsError(
                f"hardware_compatibility: expected one of {list(HARDWARE_COMPATIBILITY)}, "
                f"got {self.hardware_compatibility!r}"
            )
        if self.reproducible and self.timing_cache is None:
            raise PlanOptionsError("reproducible: expected a timing cache to go by, got none")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileShapes:
    """Smallest, optimal and largest shape of one input."""

    minimum: Shape
    optimum: Shape
    maximum: Shape


def profile_shapes(name: str, shape: Sequence[int], options: PlanOptions) -> ProfileShapes:
    """Return the shapes for an input of the network.

    Args:
        name: The input's name.
        shape: As parsed: `(N, 3, H, W)` or `(N, H, W, 3)`, `OPEN` where the file leaves it open.
        options: Batch and image sizes asked for.

    Raises:
        PlanOptionsError: A size is open and none is given, or fixed and another is given.
    """
    if len(shape) != RANK:
        raise PlanOptionsError(
            f"input {name!r}: expected 4 dimensions (N, 3, H, W), got {tuple(shape)}"
        )
    if 0 in shape:
        raise PlanOptionsError(
            f"input {name!r}: expected sizes above 0, got {tuple(shape)}; export it with the size "
            "of the pictures"
        )
    channels_last = shape[3] == CHANNELS and shape[1] != CHANNELS
    height_axis = 1 if channels_last else 2
    wanted = _wanted_sizes(name, shape[height_axis : height_axis + 2], options.image_size)
    batch = options.batch
    shapes = []
    for count, size_hw in zip((batch.minimum, batch.optimum, batch.maximum), wanted, strict=True):
        if shape[0] not in (OPEN, count):
            raise PlanOptionsError(
                f"input {name!r}: the batch axis is fixed at {shape[0]} in the file, but batches "
                f"of {batch.minimum} to {batch.maximum} are asked for; export it with an open "
                "batch axis, which Triton needs to batch requests"
            )
        full = list(shape)
        full[0], full[height_axis : height_axis + 2] = count, size_hw
        shapes.append(tuple(full))
    return ProfileShapes(minimum=shapes[0], optimum=shapes[1], maximum=shapes[2])


def _wanted_sizes(
    name: str, fixed_hw: Sequence[int], sizes: ImageSizeRange | None
) -> list[tuple[int, int]]:
    height, width = fixed_hw
    if sizes is None:
        if OPEN in fixed_hw:
            raise PlanOptionsError(
                f"input {name!r}: the file leaves height or width open; give image_size with the "
                "smallest, the usual and the largest"
            )
        return [(height, width)] * 3
    wanted = [sizes.minimum_hw, sizes.optimum_hw, sizes.maximum_hw]
    for size in wanted:
        if any(fixed not in (OPEN, side) for fixed, side in zip(fixed_hw, size, strict=True)):
            raise PlanOptionsError(
                f"input {name!r}: {height}x{width} is fixed in the file, but image_size asks for "
                f"{size[0]}x{size[1]}; leave image_size out"
            )
    return wanted


def _is_dimension(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST
