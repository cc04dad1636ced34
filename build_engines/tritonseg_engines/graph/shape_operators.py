"""Operators that move, cut or join axes, and those that work on each cell for itself.

Of the same form as in `spatial_operators`.
"""

from __future__ import annotations

from dataclasses import replace

from tritonseg_engines.graph.axis_map import SAME, Sampling, Window
from tritonseg_engines.graph.spatial_operators import (
    BOTH,
    OPEN_END,
    Local,
    Plane,
    Question,
    SeesAllError,
)
from tritonseg_engines.graph.spatial_sizes import Length, Side
from tritonseg_engines.graph.surgery import constant_value, given_input

ALONG_ONE_AXIS_SINCE = 13
"""Opset from which a softmax is along one axis alone."""
LOCAL_PADS = ("constant", "edge", "reflect")
"""Modes of Pad in which what is added to a side depends on cells near it."""


def pointwise(question: Question) -> Local:
    """Each cell for itself; several inputs are joined cell by cell."""
    planes = [plane for plane in question.planes if plane is not None]
    if any(plane != planes[0] for plane in planes):
        raise SeesAllError("joins tensors that lie over the picture in other ways")
    plane = planes[0]
    for value, found in zip(question.node.inputs, question.planes, strict=True):
        if value is None or found is not None:
            continue
        dims = question.dims_of(value)
        if dims is None or len(dims) > plane.rank or not _is_even(dims, plane):
            raise SeesAllError("has a constant that is another for each place")
    return Local(plane)


def _is_even(dims: list[int | None], plane: Plane) -> bool:
    """Return whether a constant is the same for all rows and columns; dimensions go from behind."""
    behind = [dims[axis - plane.rank] for axis in plane.axes if plane.rank - axis <= len(dims)]
    return all(dim == 1 for dim in behind)


def with_parameters(question: Question) -> Local:
    """Each cell for itself, with parameters of the channels or of everything."""
    plane = question.plane
    axis = question.node.attributes.get_int("axis", 1)
    if question.node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        scale = given_input(question.node, 1)
        dims = None if scale is None else question.dims_of(scale)
        if dims in ([], [1]):
            return Local(plane)
    question.other_axis(axis)
    return Local(plane)


def along_axis(question: Question) -> Local:
    """A softmax, or what else looks along one axis and keeps it."""
    if question.opset < ALONG_ONE_AXIS_SINCE and question.node.op_type != "LpNormalization":
        raise SeesAllError("is over all axes from one on")
    question.other_axis(question.node.attributes.get_int("axis", -1))
    return Local(question.plane)


def reduced(question: Question) -> Local:
    """A reduction over axes that are neither rows nor columns."""
    plane, read = question.plane, question.node.attributes
    if question.node.op_type in ("ArgMax", "ArgMin"):
        axes: tuple[int, ...] | None = (read.get_int("axis", 0),)
    else:
        axes = question.constant_ints(1, "axes")
    if not axes:
        raise SeesAllError("is over all axes")
    gone = {question.other_axis(axis) for axis in axes}
    return Local(plane if read.get_int("keepdims", 1) else _without(plane, gone))


def squeezed(question: Question) -> Local:
    """Axes of one cell are removed."""
    axes = question.constant_ints(1, "axes")
    if axes is None:
        raise SeesAllError("removes axes that are not named")
    return Local(_without(question.plane, {question.other_axis(axis) for axis in axes}))


def unsqueezed(question: Question) -> Local:
    """Axes of one cell are added."""
    plane, axes = question.plane, question.constant_ints(1, "axes") or ()
    rank = plane.rank + len(axes)
    added = {axis % rank for axis in axes}
    kept = [axis for axis in range(rank) if axis not in added]
    moved = (kept[plane.axes[0]], kept[plane.axes[1]])
    return Local(replace(plane, rank=rank, axes=moved))


def _without(plane: Plane, gone: set[int]) -> Plane:
    rows, columns = (axis - sum(one < axis for one in gone) for axis in plane.axes)
    return replace(plane, rank=plane.rank - len(gone), axes=(rows, columns))


def permuted(question: Question) -> Local:
    """Transpose."""
    plane = question.plane
    order = question.ints("perm", tuple(reversed(range(plane.rank))))
    rows, columns = (order.index(axis) for axis in plane.axes)
    return Local(replace(plane, axes=(rows, columns)))


def joined(question: Question) -> Local:
    """Concat of channels."""
    planes = question.planes
    if any(plane is None or plane != planes[0] for plane in planes) or planes[0] is None:
        raise SeesAllError("joins tensors that lie over the picture in other ways")
    axis = question.node.attributes.get_int("axis", 1) % planes[0].rank
    if axis in planes[0].axes:
        raise SeesAllError("joins along rows or columns of the picture")
    return Local(planes[0])


def split(question: Question) -> Local:
    """Split of channels."""
    question.other_axis(question.node.attributes.get_int("axis", 0))
    return Local(question.plane)


def gathered(question: Question) -> Local:
    """Gather of channels."""
    plane = question.plane
    axis = question.other_axis(question.node.attributes.get_int("axis", 0))
    indices = constant_value(question.node.inputs[1])
    if indices is None:
        raise SeesAllError("takes what is computed")
    more = indices.ndim - 1
    rows, columns = (one + more if one > axis else one for one in plane.axes)
    return Local(replace(plane, rank=plane.rank + more, axes=(rows, columns)))


def reshaped(question: Question) -> Local:
    """Reshape of what is in front of rows and columns, which stay as they are."""
    plane = question.plane
    wanted = question.lengths_of(given_input(question.node, 1))
    value = question.node.inputs[0]
    dims = None if value is None else question.dims_of(value)
    if wanted is None or dims is None or plane.axes != (plane.rank - 2, plane.rank - 1):
        raise SeesAllError("puts rows and columns into one axis")
    for along in BOTH:
        length, kept = wanted[along - 2], dims[along - 2]
        copied = length == 0 and len(wanted) == plane.rank
        if not (copied or length == plane.side(along) or (length is not None and length == kept)):
            raise SeesAllError("puts rows and columns into one axis")
    rank = len(wanted)
    return Local(replace(plane, rank=rank, axes=(rank - 2, rank - 1)))


def multiplied(question: Question) -> Local:
    """A product with a constant matrix over channels that come last."""
    plane, weight = question.plane, given_input(question.node, 1)
    dims = None if weight is None else question.dims_of(weight)
    if dims is None or len(dims) != 2 or plane.rank - 1 in plane.axes:
        raise SeesAllError("is a product over places of the picture")
    return Local(plane)


def cut_out(question: Question) -> Local:
    """Slice, which moves and shortens rows and columns."""
    plane = question.plane
    starts, ends = (question.lengths_of(given_input(question.node, place)) for place in (1, 2))
    if starts is None or ends is None:
        raise SeesAllError("cuts out what is computed")
    axes = question.constant_ints(3, "axes") or tuple(range(len(starts)))
    steps = question.constant_ints(4, "steps") or (1,) * len(starts)
    samplings, maps = list(plane.samplings), [SAME, SAME]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if axis % plane.rank in plane.axes:
            along = plane.axes.index(axis % plane.rank)
            if step != 1 or not isinstance(start, int) or start < 0:
                raise SeesAllError("cuts out rows or columns that are not next to each other")
            samplings[along] = _cut(plane.side(along), start, end)
            maps[along] = Window(start=start)
    return Local(plane.sampled(samplings), (maps[0], maps[1]))


def _cut(side: Side, start: int, end: Length) -> Sampling:
    """Return what is left of rows or columns."""
    full = side.sampling
    if isinstance(end, int) and end >= OPEN_END:
        return Sampling(full.stride, full.excess - start)
    if isinstance(end, int) and end < 0:
        return Sampling(full.stride, full.excess - start + end)
    if isinstance(end, Side) and (end.along, end.sampling.stride) == (side.along, full.stride):
        return Sampling(full.stride, min(end.sampling.excess, full.excess) - start)
    raise SeesAllError("cuts out rows or columns up to a place of their own")


def padded(question: Question) -> Local:
    """Pad, which moves and lengthens rows and columns."""
    plane = question.plane
    pads = question.constant_ints(1, "pads")
    if question.node.attributes.get_string("mode", "constant") not in LOCAL_PADS:
        raise SeesAllError("pads with what lies at the other side")
    if pads is None or given_input(question.node, 3) is not None:
        raise SeesAllError("pads axes that are not known")
    samplings, maps = [], []
    for axis, cut in zip(plane.axes, plane.samplings, strict=True):
        before, behind = pads[axis], pads[axis + plane.rank]
        samplings.append(Sampling(cut.stride, cut.excess + before + behind))
        maps.append(Window(start=-before))
    return Local(plane.sampled(samplings), (maps[0], maps[1]))
