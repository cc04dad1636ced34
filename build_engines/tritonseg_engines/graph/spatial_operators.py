"""How each operator's output lies over the picture, and which cells of its input it is made of.

What is not here sees all of its input, as far as anybody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import onnx_ir as ir

from tritonseg_engines.graph.axis_map import SAME, AxisMap, Resized, Sampling, Transposed, Window
from tritonseg_engines.graph.spatial_sizes import Length, Side
from tritonseg_engines.graph.surgery import constant_value, given_input

BOTH = (0, 1)
"""Rows and columns."""
OPEN_END = 2**31 - 1
"""What a Slice's end is from here on, means all that there is."""


@dataclass(frozen=True, slots=True)
class Plane:
    """How a tensor lies over the picture.

    Attributes:
        rank: Of the tensor.
        axes: Its axes of rows and columns.
        samplings: Of the two.
    """

    rank: int
    axes: tuple[int, int]
    samplings: tuple[Sampling, Sampling]

    def side(self, along: int) -> Side:
        """Return the length of rows (0) or columns (1)."""
        return Side(along, self.samplings[along])

    def sampled(self, samplings: Sequence[Sampling]) -> Plane:
        """Return the same with other rows and columns."""
        rows, columns = samplings
        return Plane(self.rank, self.axes, (rows, columns))


@dataclass(frozen=True, slots=True)
class Local:
    """What an operator does that sees a part of its input for each cell.

    Attributes:
        plane: Of its outputs.
        maps: Along rows and columns, from the outputs to every input that lies over the picture.
    """

    plane: Plane
    maps: tuple[AxisMap, AxisMap] = (SAME, SAME)


class SeesAllError(Exception):
    """An operator sees all of the picture, or is not known to see less; says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """An operator, and what is known of what it reads.

    Attributes:
        node: The operator.
        planes: Of its inputs, None where one does not lie over the picture.
        dims_of: What inference says of a tensor's dimensions.
        lengths_of: What a vector of sizes holds.
        opset: Of the graph.
    """

    node: ir.Node
    planes: Sequence[Plane | None]
    dims_of: Callable[[ir.Value], list[int | None] | None]
    lengths_of: Callable[[ir.Value | None], list[Length] | None]
    opset: int

    @property
    def plane(self) -> Plane:
        """How the first input lies over the picture."""
        first = self.planes[0]
        if first is None or any(plane is not None for plane in self.planes[1:]):
            raise SeesAllError("takes what the picture shows as a weight or a parameter")
        return first

    def ints(self, name: str, usual: Sequence[int]) -> tuple[int, ...]:
        """Return an attribute of integers."""
        return tuple(self.node.attributes.get_ints(name, usual))

    def other_axis(self, axis: int) -> int:
        """Return an axis, from 0 on, that is neither rows nor columns."""
        plane = self.plane
        axis %= plane.rank
        if axis in plane.axes:
            raise SeesAllError("works along rows or columns of the picture")
        return axis

    def constant_ints(self, place: int, attribute: str) -> tuple[int, ...] | None:
        """Return what older opsets have as an attribute and newer ones as an input."""
        value = given_input(self.node, place)
        if value is None:
            read = self.node.attributes.get_ints(attribute, None)
            return None if read is None else tuple(read)
        constant = constant_value(value)
        if constant is None:
            raise SeesAllError(f"has {attribute} that are computed")
        return tuple(int(one) for one in constant.ravel())


def windowed(question: Question) -> Local:
    """A convolution or a pool."""
    plane, node = question.plane, question.node
    if plane.rank != 4 or plane.axes != (2, 3):
        raise SeesAllError("is not over rows and columns alone")
    kernel = question.ints("kernel_shape", ()) or _sides_of_weight(question)
    steps, dilations = question.ints("strides", (1, 1)), question.ints("dilations", (1, 1))
    reaches = [(cells - 1) * by for cells, by in zip(kernel, dilations, strict=True)]
    ceils = bool(node.attributes.get_int("ceil_mode", 0))
    samplings, maps = [], []
    for along in BOTH:
        before, both = _pads(question, along, reaches[along] + 1, steps[along])
        cut = plane.samplings[along]
        room = cut.excess + both - reaches[along] - 1
        excess = room // steps[along] + 1
        if ceils and room % steps[along]:
            excess += 1
            if (excess - 1) * steps[along] - before >= cut.excess:
                raise SeesAllError("rounds sizes up into its padding")
        samplings.append(Sampling(cut.stride * steps[along], excess))
        maps.append(Window(steps[along], -before, reaches[along]))
    return Local(plane.sampled(samplings), (maps[0], maps[1]))


def _sides_of_weight(question: Question) -> tuple[int, ...]:
    place = 3 if question.node.op_type == "QLinearConv" else 1
    weight = given_input(question.node, place)
    dims = None if weight is None else question.dims_of(weight)
    sides = tuple(side for side in (dims or ())[2:] if side is not None)
    if len(sides) != 2:
        raise SeesAllError("has a window of unknown size")
    return sides


def _pads(question: Question, along: int, window: int, step: int) -> tuple[int, int]:
    """Return the padding before rows or columns, and that on both sides."""
    mode = question.node.attributes.get_string("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        # Of a length that is a multiple of the step, as those of tensors without excess are.
        if question.plane.samplings[along].excess:
            raise SeesAllError("pads by the picture's size")
        both = max(window - step, 0)
        return (both // 2 if mode == "SAME_UPPER" else both - both // 2), both
    if mode == "VALID":
        return 0, 0
    pads = question.ints("pads", (0, 0, 0, 0))
    return pads[along], pads[along] + pads[along + 2]


def transposed(question: Question) -> Local:
    """A transposed convolution."""
    plane, read = question.plane, question.node.attributes
    if (
        plane.axes != (2, 3)
        or "output_shape" in read
        or (read.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID"))
    ):
        raise SeesAllError("crops by the picture's size")
    kernel = question.ints("kernel_shape", ()) or _sides_of_weight(question)
    steps, dilations = question.ints("strides", (1, 1)), question.ints("dilations", (1, 1))
    pads, more = question.ints("pads", (0, 0, 0, 0)), question.ints("output_padding", (0, 0))
    samplings, maps = [], []
    for along in BOTH:
        reach, cut = (kernel[along] - 1) * dilations[along], plane.samplings[along]
        beyond = reach + 1 - steps[along] + more[along] - pads[along] - pads[along + 2]
        samplings.append(Sampling(cut.stride / steps[along], cut.excess * steps[along] + beyond))
        maps.append(Transposed(steps[along], -pads[along], reach))
    return Local(plane.sampled(samplings), (maps[0], maps[1]))


def resized(question: Question) -> Local:
    """An interpolation by a constant factor."""
    plane, read = question.plane, question.node.attributes
    if read.get_string("keep_aspect_ratio_policy", "stretch") != "stretch" or "axes" in read:
        raise SeesAllError("is not known to be by a constant factor")
    targets = [_target(question, along) for along in BOTH]
    factors = [
        cut.stride / target.stride for cut, target in zip(plane.samplings, targets, strict=True)
    ]
    maps = [_interpolation(question, factor) for factor in factors]
    return Local(plane.sampled(targets), (maps[0], maps[1]))


def _target(question: Question, along: int) -> Sampling:
    """Return how a Resize's output lies over the picture."""
    plane, node = question.plane, question.node
    axis, cut = plane.axes[along], plane.samplings[along]
    scales = constant_value(given_input(node, 2 if node.op_type == "Resize" else 1))
    lengths = question.lengths_of(given_input(node, 3))
    if lengths is not None and len(lengths) == plane.rank:
        length = lengths[axis]
        if isinstance(length, Side) and length.along == along:
            factor, target = cut.stride / length.sampling.stride, length.sampling
            if target.excess == cut.excess * factor:
                return target
        dims = question.dims_of(node.inputs[0]) if node.inputs[0] is not None else None
        source = None if dims is None else dims[axis]
        if isinstance(length, int) and source:
            return _scaled(cut, Fraction(length, source))
    if scales is not None and scales.size == plane.rank:
        return _scaled(cut, Fraction(float(scales.ravel()[axis])))
    raise SeesAllError("has a scale that depends on the picture's size")


def _scaled(cut: Sampling, factor: Fraction) -> Sampling:
    excess = cut.excess * factor
    if 1 not in (factor.numerator, factor.denominator) or excess.denominator != 1:
        raise SeesAllError(f"resizes by {float(factor):.6g}, no whole number")
    return Sampling(cut.stride / factor, int(excess))


def _interpolation(question: Question, factor: Fraction) -> AxisMap:
    read = question.node.attributes
    places = read.get_string("coordinate_transformation_mode", "half_pixel")
    mode = read.get_string("mode", "nearest")
    if question.node.op_type == "Upsample":
        places, rounding = "asymmetric", "floor"
    else:
        rounding = read.get_string("nearest_mode", "round_prefer_floor")
    if factor == 1:
        return SAME
    if places == "align_corners":
        raise SeesAllError("aligns corners, so that its scale depends on the picture's size")
    half_pixel = places in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
    if not half_pixel and places != "asymmetric":
        raise SeesAllError(f"has the coordinates {places}")
    if read.get_int("antialias", 0) and factor < 1:
        raise SeesAllError("shrinks with antialiasing")
    if mode == "nearest" and not half_pixel and factor.numerator & (factor.numerator - 1):
        # Which cell it takes hangs on how a runtime rounds the quotient.
        raise SeesAllError(f"takes the nearest of cells at {factor.numerator}ths")
    return Resized(factor, half_pixel, rounding if mode == "nearest" else mode)


def blocks_to_cells(question: Question) -> Local:
    """DepthToSpace: each cell becomes a block."""
    plane, size = question.plane, question.node.attributes.get_int("blocksize", 1)
    samplings = [Sampling(cut.stride / size, cut.excess * size) for cut in plane.samplings]
    one = Resized(Fraction(size), half_pixel=False, mode="floor")
    return Local(plane.sampled(samplings), (one, one))


def cells_to_blocks(question: Question) -> Local:
    """SpaceToDepth: each block becomes a cell."""
    plane, size = question.plane, question.node.attributes.get_int("blocksize", 1)
    if any(cut.excess % size for cut in plane.samplings):
        raise SeesAllError("makes blocks of a size that is no multiple")
    samplings = [Sampling(cut.stride * size, cut.excess // size) for cut in plane.samplings]
    one = Window(size, 0, size - 1)
    return Local(plane.sampled(samplings), (one, one))
