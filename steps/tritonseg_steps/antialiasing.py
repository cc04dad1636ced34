"""Pillow's antialiased resize, bit for bit, and several times as fast.

Most trainers resize with Pillow, or with torchvision's `antialias=True`, which is the same within a
level: a filter as wide as the pixels that become one, with weights of fixed point and bytes in
between. OpenCV's filters look at 4 or 16 pixels whatever the scale, and networks see the
difference.

Rows are resized before columns, as by Pillow up to 12 and by torchvision. Pillow 13 does columns
first where those shrink by more than twice as many pixels, which moves photographs by a level.

Source: Pillow, `src/libImaging/Resample.c`; R. G. Keys, "Cubic convolution interpolation for
digital image processing", 1981.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import prange
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from tritonseg_steps.compiled import compiled, read_only
from tritonseg_steps.geometry import Size

FRACTION_BITS: Final = 22
"""Of a weight; with 8 bits of a pixel and the sign an int32 is full."""
HALF: Final = 1 << (FRACTION_BITS - 1)
GROUP: Final = 4
"""Source pixels that are added up in registers before anything is written."""
LANES: Final = 4
"""Channels of a pixel, and the next byte, which no one reads: a register's worth of int32."""
BAND: Final = 32
"""Target rows that one thread makes at a time, so that the rows they are made of stay in cache."""
SHARPNESS: Final = -0.5
"""Keys' `a`, as in Pillow; torch's and OpenCV's bicubic without antialiasing have -0.75."""
RADII: Final = {"bilinear": 1.0, "bicubic": 2.0}
"""In source pixels where nothing shrinks."""
KEPT_WEIGHTS: Final = 32

Weights = tuple[NDArray[np.int64], NDArray[np.float64]]
"""`(n,)` first source pixel of every target pixel; `(n, taps)` what it and the next count for."""
FixedWeights = tuple[NDArray[np.int64], NDArray[np.int32]]
"""The same in units of `1 / (1 << FRACTION_BITS)`."""


def antialiased(
    image_hwc: NDArray[np.uint8], size_hw: Size, interpolation: str
) -> NDArray[np.uint8]:
    """Return a picture resized as `PIL.Image.resize` does it.

    Args:
        image_hwc: `(H, W, 3)` uint8.
        size_hw: Height and width to resize to, in pixels.
        interpolation: "bilinear" or "bicubic".

    Returns:
        `(h, w, 3)` uint8.
    """
    height, width = size_hw
    rows, columns, _ = image_hwc.shape
    if (rows, columns) == size_hw:
        return image_hwc
    down = _fixed_weights(rows, height, interpolation)
    across = _fixed_weights(columns, width, interpolation)
    short = [max(taps.shape[1] - side, 0) for (_, taps), side in ((down, rows), (across, columns))]
    if any(short):
        image_hwc = np.pad(image_hwc, ((0, short[0]), (0, short[1]), (0, 0)))
    source = read_only(np.ascontiguousarray(image_hwc).reshape(len(image_hwc), -1))
    last = np.append(source[-1], np.uint8(0))  # the byte behind the picture is nobody's
    resized = np.empty((height, width * 3), np.uint8)
    _resize(source, last, *across, *down, resized)
    return resized.reshape(height, width, 3)


def weights(source: int, target: int, interpolation: str) -> Weights:
    """Return what every target pixel of an axis is made of.

    Where the axis is shorter than the filter, taps beyond its last pixel count for nothing.

    Args:
        source: Pixels there are.
        target: Pixels to make of them.
        interpolation: "bilinear" or "bicubic".
    """
    scale = source / target
    width = max(scale, 1.0)  # of the filter: what is enlarged needs no wider one
    radius = RADII[interpolation] * width
    centres = (np.arange(target) + 0.5) * scale
    first = np.maximum((centres - radius + 0.5).astype(np.int64), 0)
    end = np.minimum((centres + radius + 0.5).astype(np.int64), source)
    count = int((end - first).max())
    taps = -(-count // GROUP) * GROUP
    starts = np.clip(first, 0, max(source - taps, 0))  # no window reaches beyond the last pixel
    pixels = starts[:, None] + np.arange(taps)
    distances = (pixels - centres[:, None] + 0.5) * (1 / width)
    counts = (pixels >= first[:, None]) & (pixels < end[:, None])
    values = np.where(counts, _filter(distances, interpolation), 0.0)
    values /= np.cumsum(values, axis=1)[:, -1:]  # one after the other, as Pillow adds them up
    return starts, values


@lru_cache(KEPT_WEIGHTS)
def _fixed_weights(source: int, target: int, interpolation: str) -> FixedWeights:
    starts, values = weights(source, target, interpolation)
    fixed = np.trunc(values * (1 << FRACTION_BITS) + np.copysign(0.5, values)).astype(np.int32)
    return starts, fixed


def _filter(distances: NDArray[np.float64], interpolation: str) -> NDArray[np.float64]:
    far = np.abs(distances)
    if interpolation == "bilinear":
        return np.maximum(1 - far, 0)
    a = SHARPNESS
    near = ((a + 2) * far - (a + 3)) * far * far + 1
    outer = (((far - 5) * far + 8) * far - 4) * a
    return np.where(far < 1, near, np.where(far < 2, outer, 0))


@compiled(parallel=True, nogil=True, boundscheck=False)
def _resize(
    source: NDArray[np.uint8],
    last: NDArray[np.uint8],
    first_column: NDArray[np.int64],
    column_weights: NDArray[np.int32],
    first_row: NDArray[np.int64],
    row_weights: NDArray[np.int32],
    target: NDArray[np.uint8],
) -> None:
    """Write a picture, `(H, W * 3)`, resized, to the target, `(h, w * 3)`.

    `last` is the picture's last row and one byte more.
    """
    height, lanes = target.shape
    for band in prange(-(-height // BAND)):
        top = band * BAND
        bottom = min(top + BAND, height)
        start = first_row[top]
        end = first_row[bottom - 1] + row_weights.shape[1]
        narrow = np.empty((end - start, lanes + LANES - 3), np.uint8)
        for row in range(start, end):
            line = last if row == len(source) - 1 else source[row]
            for column in range(len(first_column)):
                _write_sum(
                    line, first_column[column], column_weights[column], narrow[row - start], column
                )
        sums = np.empty(lanes, np.int32)
        for row in range(top, bottom):
            _add_up(narrow, first_row[row] - start, row_weights[row], sums, target[row])


BYTES: Final = ir.VectorType(ir.IntType(8), LANES)
SUMS: Final = ir.VectorType(ir.IntType(32), LANES)


def _sum_in_lanes(
    context: Any, line: Any, first: Any, weights: Any, target: Any, place: Any
) -> tuple[Any, Callable[..., Any]]:
    """Write the weighted sum of neighbouring pixels as one pixel, and a byte that means nothing.

    In LLVM's words, because Numba takes the channels one by one, which is five times as slow.

    Args:
        context: Of the compiler.
        line: `(> (first + taps) * 3,)` uint8, the channels of a pixel side by side.
        first: The first pixel's index.
        weights: `(taps,)` int32, whole groups of them.
        target: `(> (place + 1) * 3,)` uint8.
        place: The written pixel's index.
    """
    del context
    signature = types.void(line, first, weights, target, place)

    def generate(target_context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pixels, first, taps, written, place = (
            target_context.make_array(kind)(target_context, builder, argument)
            if isinstance(kind, types.Array)
            else argument
            for kind, argument in zip(signature.args, arguments, strict=True)
        )
        index = first.type

        def address(array: Any, offset: Any, kind: Any) -> Any:
            return builder.bitcast(builder.gep(array.data, [offset]), kind.as_pointer())

        def everywhere(value: int) -> Any:
            return ir.Constant(SUMS, [value] * LANES)

        total = cgutils.alloca_once_value(builder, everywhere(HALF))
        (count,) = cgutils.unpack_tuple(builder, taps.shape)
        with cgutils.for_range_slice(builder, index(0), count, index(GROUP), index) as (tap, _):
            group = builder.load(address(taps, tap, SUMS), align=4)
            for member in range(GROUP):
                offset = builder.mul(builder.add(builder.add(first, tap), index(member)), index(3))
                levels = builder.load(address(pixels, offset, BYTES), align=1)
                weight = builder.shuffle_vector(group, group, everywhere(member))
                product = builder.mul(builder.zext(levels, SUMS), weight)
                builder.store(builder.add(builder.load(total), product), total)
        sums = builder.ashr(builder.load(total), everywhere(FRACTION_BITS))
        for beyond, bound in (("<", everywhere(0)), (">", everywhere(255))):
            sums = builder.select(builder.icmp_signed(beyond, sums, bound), bound, sums)
        offset = builder.mul(place, index(3))
        builder.store(builder.trunc(sums, BYTES), address(written, offset, BYTES), align=1)
        return target_context.get_dummy_value()

    return signature, generate


_write_sum: Any = intrinsic(_sum_in_lanes)


@compiled(nogil=True, boundscheck=False)
def _add_up(
    lines: NDArray[np.uint8],
    first: int,
    weights: NDArray[np.int32],
    sums: NDArray[np.int32],
    target: NDArray[np.uint8],
) -> None:
    """Write the weighted sum of some lines, from the first on, rounded and held in 0-255."""
    for index in range(len(sums)):
        sums[index] = np.int32(HALF)
    for tap in range(0, len(weights), GROUP):
        one, two, three, four = (
            lines[first + tap],
            lines[first + tap + 1],
            lines[first + tap + 2],
            lines[first + tap + 3],
        )
        for index in range(len(sums)):
            sums[index] += (
                weights[tap] * np.int32(one[index])
                + weights[tap + 1] * np.int32(two[index])
                + weights[tap + 2] * np.int32(three[index])
                + weights[tap + 3] * np.int32(four[index])
            )
    for index in range(len(sums)):
        level = sums[index] >> FRACTION_BITS
        target[index] = np.uint8(min(max(level, np.int32(0)), np.int32(255)))
