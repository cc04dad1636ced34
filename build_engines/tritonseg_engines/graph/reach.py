"""How far a network sees: which pixels of the picture a pixel of the class map depends on.

Found backwards, operator by operator, in whole cells. Where every operator sees a window, so does
the network, and it is the same window at every multiple of a grid: a tile that holds it gives the
pixel that the whole picture gives. An operator that is not known to see a window is taken to see
everything.

Zeros that convolutions add at the borders are no pixels: a tile shares them where it has its border
in common with the picture, and elsewhere they are outside of what is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import onnx
import onnx_ir as ir

from tritonseg_engines.graph import shape_operators as shapes
from tritonseg_engines.graph import spatial_operators as spatial
from tritonseg_engines.graph.axis_map import SAME, AxisMap, Resized, Sampling
from tritonseg_engines.graph.spatial_operators import (
    BOTH,
    Local,
    Plane,
    Question,
    SeesAllError,
)
from tritonseg_engines.graph.spatial_sizes import Side, SpatialSizes
from tritonseg_engines.graph.surgery import (
    dimensions,
    editable,
    inferred_values,
    values_of_pictures,
)
from tritonseg_steps.upsampling import Upsampling

LARGEST_GRID = 4096
"""Pixels; beyond it there is no tile that a server would take."""
SIZES_ALONE = ("Shape", "Size")
SIZED = ("Resize", "Reshape", "Slice", "Pad")
"""Take sizes that are computed from the picture's; each says itself which."""
GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)

POINTWISE = (
    "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "Cast", "Ceil", "Celu",
    "Clip", "Cos", "Cosh", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu",
    "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN",
    "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg",
    "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin",
    "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tan", "Tanh", "ThresholdedRelu", "Where",
    "Xor",
)  # fmt: skip
OPERATORS: dict[str, Callable[[Question], Local]] = {
    **dict.fromkeys(POINTWISE, shapes.pointwise),
    **dict.fromkeys(
        ("BatchNormalization", "QuantizeLinear", "DequantizeLinear", "LRN"), shapes.with_parameters
    ),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "LpNormalization"), shapes.along_axis),
    **dict.fromkeys(
        ("ArgMax", "ArgMin", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
         "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
        shapes.reduced,
    ),
    "Squeeze": shapes.squeezed,
    "Unsqueeze": shapes.unsqueezed,
    "Transpose": shapes.permuted,
    "Concat": shapes.joined,
    "Split": shapes.split,
    "Gather": shapes.gathered,
    "Reshape": shapes.reshaped,
    "MatMul": shapes.multiplied,
    "Slice": shapes.cut_out,
    "Pad": shapes.padded,
    **dict.fromkeys(
        ("Conv", "ConvInteger", "QLinearConv", "MaxPool", "AveragePool", "LpPool"), spatial.windowed
    ),
    "ConvTranspose": spatial.transposed,
    "Resize": spatial.resized,
    "Upsample": spatial.resized,
    "DepthToSpace": spatial.blocks_to_cells,
    "SpaceToDepth": spatial.cells_to_blocks,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """How far a pixel of the class map sees, in pixels of the network's input; (rows, columns).

    Attributes:
        before_hw: Pixels above and to the left that it may depend on.
        after_hw: Pixels below and to the right.
        grid_hw: What a window may be moved by so that everything moves with it: where tiles may
            begin, and what the input's sides must be multiples of for any of this to hold.
        unbounded_by: What sees all of the picture; None where nothing does. Then there is no
            reach, and the three are zero.
    """

    before_hw: tuple[int, int] = (0, 0)
    after_hw: tuple[int, int] = (0, 0)
    grid_hw: tuple[int, int] = (0, 0)
    unbounded_by: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what is published."""
        if self.unbounded_by is not None:
            return {"unbounded_by": self.unbounded_by}
        return {
            "before_hw": list(self.before_hw),
            "after_hw": list(self.after_hw),
            "grid_hw": list(self.grid_hw),
        }


def reach_of(network: onnx.ModelProto, upsampling: Upsampling) -> Reach:
    """Return the reach of a network and of the step that makes its scores a class map.

    Args:
        network: Takes `(N, 3, H, W)`, gives scores `(N, C, h, w)` or classes `(N, h, w)`; without
            the server's steps in its graph.
        upsampling: What the argmax step does with its output.
    """
    walk = _Walk(editable(network))
    try:
        return walk.reach(upsampling)
    except SeesAllError as reason:
        return Reach(unbounded_by=str(reason))


class _Walk:
    """One graph, forwards for how tensors lie over the picture and backwards for what is read."""

    def __init__(self, model: ir.Model) -> None:
        self._graph, self._opset = model.graph, model.opset_imports.get("", 0)
        self._inferred = inferred_values(model)
        self._dependent = values_of_pictures(self._graph)
        self._shown = values_of_pictures(self._graph, but_of=SIZES_ALONE)
        self._planes: dict[ir.Value, Plane] = {}
        self._local: dict[ir.Node, Local] = {}
        self._sizes = SpatialSizes(self._sides_of, self._dims_of)

    def reach(self, upsampling: Upsampling) -> Reach:
        """Return the reach, or raise `SeesAllError`."""
        self._look()
        (output,) = self._graph.outputs
        if output not in self._planes:
            raise SeesAllError("the output does not depend on the picture")
        last = [_to_picture(cut, upsampling) for cut in self._planes[output].samplings]
        grids = [self._grid(along) for along in BOTH]
        sides = [self._sides(output, along, last[along], grids[along]) for along in BOTH]
        (top, bottom), (left, right) = sides
        return Reach(before_hw=(top, left), after_hw=(bottom, right), grid_hw=(grids[0], grids[1]))

    def _look(self) -> None:
        (fed,) = (value for value in self._graph.inputs if not value.is_initializer())
        self._planes[fed] = Plane(4, (2, 3), (Sampling(), Sampling()))
        for node in self._graph:
            if any(attribute.type in GRAPHS for attribute in node.attributes.values()):
                raise SeesAllError(f"{_called(node)} computes in branches or loops")
            read = (value for value in node.inputs if value is not None)
            if node.op_type in SIZES_ALONE or self._shown.isdisjoint(read):
                continue
            self._local[node] = local = self._asked(node)
            for output in node.outputs[:1] if node.op_type != "Split" else node.outputs:
                self._planes[output] = local.plane

    def _asked(self, node: ir.Node) -> Local:
        find = OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if find is None:
            raise SeesAllError(f"{_called(node)} sees all of it, or is not known to see less")
        unknown = self._shown if node.op_type in SIZED else self._dependent
        if any(value in unknown and value not in self._planes for value in node.inputs):
            raise SeesAllError(f"{_called(node)} reads what depends on the picture in other ways")
        planes = [None if value is None else self._planes.get(value) for value in node.inputs]
        question = Question(node, planes, self._dims_of, self._sizes.lengths, self._opset)
        try:
            return find(question)
        except SeesAllError as reason:
            raise SeesAllError(f"{_called(node)} {reason}") from None

    def _dims_of(self, value: ir.Value) -> list[int | None] | None:
        return dimensions(self._inferred.get(value.name or "", value))

    def _sides_of(self, value: ir.Value) -> dict[int, Side] | None:
        plane = self._planes.get(value)
        return None if plane is None else {plane.axes[along]: plane.side(along) for along in BOTH}

    def _grid(self, along: int) -> int:
        strides = (plane.samplings[along].stride for plane in self._planes.values())
        grid = math.lcm(*(stride.numerator for stride in strides))
        if grid > LARGEST_GRID:
            raise SeesAllError(f"the network repeats itself every {grid} pixels only")
        return grid

    def _sides(self, output: ir.Value, along: int, last: AxisMap, grid: int) -> tuple[int, int]:
        """Return the most that any pixel of a grid sees before and behind itself."""
        windows = [self._window(output, along, last, pixel) for pixel in range(grid)]
        before = max(pixel - first for pixel, (first, _) in enumerate(windows))
        behind = max(end - pixel for pixel, (_, end) in enumerate(windows))
        return max(before, 0), max(behind, 0)

    def _window(self, output: ir.Value, along: int, last: AxisMap, pixel: int) -> tuple[int, int]:
        """Return the first and the last pixel that one pixel of the class map is made of."""
        read = {output: (last.first(pixel), last.last(pixel))}
        for node, local in reversed(self._local.items()):
            needed = [read[value] for value in node.outputs if value in read]
            if not needed:
                continue
            first = local.maps[along].first(min(window[0] for window in needed))
            end = local.maps[along].last(max(window[1] for window in needed))
            for value in node.inputs:
                if value is not None and value in self._planes:
                    known = read.get(value, (first, end))
                    read[value] = (min(known[0], first), max(known[1], end))
        (fed,) = (value for value in self._graph.inputs if value in self._planes)
        return read[fed]


def _called(node: ir.Node) -> str:
    return f"{node.op_type} {node.name!r}"


def _to_picture(cut: Sampling, upsampling: Upsampling) -> AxisMap:
    """Return how the argmax step makes pixels of cells, at the network's own size.

    Source: `tritonseg_steps.upsampling`, `score_cells` and `nearest_cells`.
    """
    if cut.excess or cut.stride.denominator != 1:
        raise SeesAllError("the scores' size is not the input's, divided by a whole number")
    if cut.stride == 1:
        return SAME
    if upsampling.kind == "class_map":
        return Resized(Fraction(cut.stride), half_pixel=False, mode="floor")
    if upsampling.align_corners:
        raise SeesAllError("the scores are upsampled by aligned corners, which goes by the size")
    return Resized(Fraction(cut.stride), half_pixel=True, mode="linear")
