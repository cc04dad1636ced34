"""Recognise and remove what follows the network: Resize, Softmax, ArgMax, Cast.

Exports end in an upsampling to full size and often an argmax. At 1024x2048 and 19 classes the
full-size scores are 159 MB a frame; the argmax step computes the same class map from the scores
at the network's own resolution. What is removed is recorded, so that the step repeats it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.boundary import NCHW_TO_NHWC
from tritonseg_engines.graph.surgery import dimensions, inferred_values, maker

CLASS_AXIS_NCHW = 1
CLASS_AXIS_NHWC = 3
SCALAR_SAFE_OPS = ("Cast", "Identity", "Squeeze", "Unsqueeze")
"""What may follow an ArgMax without changing which class a pixel has."""
HOLDS_CLASSES = (
    ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE,
    ir.DataType.UINT8, ir.DataType.INT16, ir.DataType.UINT16, ir.DataType.INT32,
    ir.DataType.UINT32, ir.DataType.INT64, ir.DataType.UINT64,
)  # fmt: skip
"""Types in which every class is another; a bool makes two of them all, an int8 128."""
HALF_PIXEL_MODES = ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
"""The last differs where a factor leads to no whole size; then the proof does not hold."""
AXIS_ARGMAX_DEFAULT = 0
FLOAT_TYPES = (ir.DataType.FLOAT, ir.DataType.FLOAT16)
SOFTMAX_DEFAULT_AXIS_CHANGED_IN_OPSET = 13


@dataclass(frozen=True, kw_only=True, slots=True)
class Tail:
    """What followed the network.

    Attributes:
        scores: Name of the tensor at which the network ends.
        operators: What was found behind it, in the order of execution, e.g. ("Resize", "ArgMax").
        align_corners: Coordinates of the Resize; False where there was none.
        classes_last: Whether the scores there are `(N, h, w, C)`.
        output: Name of the original output.
    """

    scores: str
    operators: tuple[str, ...]
    align_corners: bool
    output: str
    classes_last: bool = False


def recognise_tail(graph: ir.Graph, output: str, *, classes_last: bool | None = None) -> Tail:
    """Walk back from an output as long as nothing passed changes the class of a pixel.

    Softmax is passed only behind a Resize: interpolated probabilities have another argmax than
    interpolated scores. Resize is passed once, and only if it is linear with half-pixel or
    align-corners coordinates.

    Args:
        graph: Of the export.
        output: Name of its output.
        classes_last: Whether that is `(N, h, w, C)`; None where it has no class axis.
    """
    end = next(value for value in graph.outputs if value.name == output)
    walk = _Walk(end, graph.opset_imports[""], classes_last)
    for accept in (
        walk.after_argmax, walk.argmax, walk.squeeze, walk.casts, walk.softmax,
        walk.softmax_of_last_axis, walk.transpose, walk.resize,
    ):  # fmt: skip
        accept()
    return Tail(
        scores=walk.value.name or "",
        operators=tuple(reversed(walk.passed)),
        align_corners=walk.align_corners,
        output=output,
        classes_last=walk.classes_last,
    )


def cut_tail(model: ir.Model, tail: Tail) -> None:
    """Make the model end at `tail.scores`, in place, which becomes its only output."""
    scores = ir.convenience.create_value_mapping(model.graph)[tail.scores]
    if tail.operators:
        known = inferred_values(model)[tail.scores]
        scores.type, scores.shape = known.type, known.shape
    model.graph.outputs[:] = [scores]
    RemoveUnusedNodesPass()(model)


class _Walk:
    """One walk from an output towards the network; `value` is where it stands."""

    def __init__(self, output: ir.Value, opset: int, classes_last: bool | None) -> None:
        self._opset = opset
        self._class_axes: tuple[int, ...] = (CLASS_AXIS_NCHW, CLASS_AXIS_NHWC, -1, -3)
        if classes_last is not None:
            self._fix_layout(CLASS_AXIS_NHWC if classes_last else CLASS_AXIS_NCHW)
        self.value = output
        self.passed: list[str] = []
        self.align_corners = False

    def after_argmax(self) -> None:
        """Pass casts and unit axes, if they lead to an ArgMax."""
        self._pass_to(("ArgMax",), _keeps_classes)

    def argmax(self) -> None:
        """Pass an ArgMax over the classes that gives ties to the lower class."""
        node = maker(self.value, "ArgMax")
        if node is None or node.attributes.get_int("select_last_index", 0) != 0:
            return
        axis = node.attributes.get_int("axis", AXIS_ARGMAX_DEFAULT)
        if axis in self._class_axes:
            self._fix_layout(axis)
            self._pass(node)

    def squeeze(self) -> None:
        """Pass what drops the axis of one score, or of one picture, which the steps have."""
        node = maker(self.value, "Squeeze")
        of_scores = not {CLASS_AXIS_NCHW, CLASS_AXIS_NHWC}.issubset(self._class_axes)
        if node is None or self.passed or not of_scores:
            return
        dims = dimensions(_read(node))
        if dims is None and maker(_read(node), "Reshape") is None:
            dims = [None] * 4
        if dims is not None and len(dims) == 4:
            if dims[CLASS_AXIS_NHWC] == 1 != dims[CLASS_AXIS_NCHW]:
                self._fix_layout(CLASS_AXIS_NHWC)
            self._pass(node)

    def casts(self) -> None:
        """Pass casts between floating-point types, if they lead to what could be cut itself."""
        self._pass_to(("Resize", "Softmax", "LogSoftmax", "Transpose"), _stays_float)

    def softmax(self) -> None:
        """Pass a Softmax over the classes, if it comes after a Resize or before an ArgMax."""
        node = maker(self.value, "Softmax", "LogSoftmax")
        if node is None or not ("ArgMax" in self.passed or _follows_resize(node)):
            return
        default = -1 if self._opset >= SOFTMAX_DEFAULT_AXIS_CHANGED_IN_OPSET else CLASS_AXIS_NCHW
        axis = node.attributes.get_int("axis", default)
        if axis in self._class_axes:
            self._fix_layout(axis)
            self._pass(node)

    def softmax_of_last_axis(self) -> None:
        """Pass a Softmax between two Transposes that undo each other, as paddle2onnx writes it."""
        back = maker(self.value, "Transpose")
        node = None if back is None else maker(_read(back), "Softmax", "LogSoftmax")
        there = None if node is None else maker(_read(node), "Transpose")
        if back is None or node is None or there is None or CLASS_AXIS_NCHW not in self._class_axes:
            return
        forth, again = (list(one.attributes.get_ints("perm", ())) for one in (there, back))
        undone = len(forth) == 4 and [forth[axis] for axis in again] == [0, 1, 2, 3]
        last = node.attributes.get_int("axis", 0) in (3, -1) and forth[-1:] == [CLASS_AXIS_NCHW]
        ends = "ArgMax" in self.passed or maker(_read(there), "Resize") is not None
        if undone and last and ends:
            for one in (back, node, there):
                self._pass(one)

    def transpose(self) -> None:
        """Pass the change from NCHW to NHWC that TensorFlow exports make."""
        node = maker(self.value, "Transpose")
        if node is None or CLASS_AXIS_NHWC not in self._class_axes:
            return
        if tuple(node.attributes.get_ints("perm", ())) == NCHW_TO_NHWC:
            self._class_axes = (CLASS_AXIS_NCHW,)
            self._pass(node)

    def resize(self) -> None:
        """Pass one linear Resize with coordinates that the argmax step knows."""
        node = maker(self.value, "Resize")
        if node is None or CLASS_AXIS_NCHW not in self._class_axes:
            return
        read = node.attributes
        mode = read.get_string("mode", "nearest")
        coordinates = read.get_string("coordinate_transformation_mode", "half_pixel")
        plain = read.get_int("antialias", 0) == read.get_int("exclude_outside", 0) == 0
        if mode == "linear" and plain and coordinates in (*HALF_PIXEL_MODES, "align_corners"):
            self.align_corners = coordinates == "align_corners"
            self._pass(node)

    @property
    def classes_last(self) -> bool:
        """Whether the classes stand on the last axis of `value`."""
        return self._class_axes == (CLASS_AXIS_NHWC, -1)

    def _fix_layout(self, axis: int) -> None:
        """From here on the classes stand on one axis: 1 or -3 mean NCHW, 3 or -1 NHWC."""
        nchw = axis in (CLASS_AXIS_NCHW, -3)
        self._class_axes = (CLASS_AXIS_NCHW, -3) if nchw else (CLASS_AXIS_NHWC, -1)

    def _pass_to(self, ends: Sequence[str], through: Callable[[ir.Node], bool]) -> None:
        """Pass the nodes that may be looked through, if what they read is one of the ends."""
        value, chain = self.value, []
        while (node := value.producer()) is not None and through(node):
            chain.append(node)
            value = _read(node)
        if maker(value, *ends) is not None:
            for node in chain:
                self._pass(node)

    def _pass(self, node: ir.Node) -> None:
        self.passed.append(node.op_type)
        self.value = _read(node)


def _keeps_classes(node: ir.Node) -> bool:
    if node.op_type == "Transpose":  # of an axis with one entry, or the proof does not hold
        return tuple(node.attributes.get_ints("perm", ())) == NCHW_TO_NHWC
    if node.op_type == "Cast" and node.attributes.get_int("to", 0) not in HOLDS_CLASSES:
        return False
    return node.op_type in SCALAR_SAFE_OPS


def _stays_float(node: ir.Node) -> bool:
    if node.op_type == "Cast":
        return node.attributes.get_int("to", 0) in FLOAT_TYPES
    return node.op_type == "Identity"


def _follows_resize(node: ir.Node) -> bool:
    """Whether a Softmax reads a Resize, or a change of layout behind one."""
    value = _read(node)
    transpose = maker(value, "Transpose")
    return maker(value if transpose is None else _read(transpose), "Resize") is not None


def _read(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    if value is None:
        raise OnnxModelError(f"node {node.name!r}: expected a first input, got none")
    return value
