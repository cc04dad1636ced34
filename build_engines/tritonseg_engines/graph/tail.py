"""Recognise and remove what follows the network: Resize, Softmax, ArgMax, Cast.

Exports end in an upsampling to full size and often an argmax. At 1024x2048 and 19 classes the
full-size scores are 159 MB a frame; the argmax step computes the same class map from the scores
at the network's own resolution. What is removed is recorded, so that the step repeats it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import helper

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.boundary import NCHW_TO_NHWC
from tritonseg_engines.graph.onnx_file import (
    default_opset,
    inferred_values,
    producers,
    remove_dead_nodes,
)

CLASS_AXIS_NCHW = 1
CLASS_AXIS_NHWC = 3
SCALAR_SAFE_OPS = ("Cast", "Identity", "Squeeze", "Unsqueeze")
"""What may follow an ArgMax without changing which class a pixel has."""
HALF_PIXEL_MODES = ("half_pixel", "pytorch_half_pixel")
AXIS_ARGMAX_DEFAULT = 0
SOFTMAX_DEFAULT_AXIS_CHANGED_IN_OPSET = 13


@dataclass(frozen=True, kw_only=True, slots=True)
class Tail:
    """What followed the network.

    Attributes:
        scores: Name of the tensor at which the network ends.
        operators: What was found behind it, in the order of execution, e.g. ("Resize", "ArgMax").
        align_corners: Coordinates of the Resize; False where there was none.
        output: Name of the original output.
    """

    scores: str
    operators: tuple[str, ...]
    align_corners: bool
    output: str


def recognise_tail(model: onnx.ModelProto, output: str) -> Tail:
    """Walk back from an output as long as nothing passed changes the class of a pixel.

    Softmax is passed only behind a Resize: interpolated probabilities have another argmax than
    interpolated scores. Resize is passed once, and only if it is linear with half-pixel or
    align-corners coordinates.
    """
    walk = _Walk(producers(model.graph), default_opset(model), output)
    for accept in (walk.after_argmax, walk.argmax, walk.softmax, walk.transpose, walk.resize):
        accept()
    return Tail(
        scores=walk.tensor,
        operators=tuple(reversed(walk.passed)),
        align_corners=walk.align_corners,
        output=output,
    )


def cut_tail(model: onnx.ModelProto, tail: Tail) -> onnx.ModelProto:
    """Return a copy of the model that ends at `tail.scores`.

    Raises:
        OnnxModelError: The type of the scores cannot be inferred, or is not floating point.
    """
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    if not tail.operators:
        return cut
    scores = inferred_values(cut).get(tail.scores)
    if scores is None:
        raise OnnxModelError(
            f"the shape of {tail.scores!r}, where the network ends, cannot be inferred; "
            "build with --keep-tail"
        )
    del cut.graph.output[:]
    cut.graph.output.append(scores)
    remove_dead_nodes(cut.graph)
    return cut


class _Walk:
    """One walk from an output towards the network; `tensor` is where it stands."""

    def __init__(self, producer: dict[str, onnx.NodeProto], opset: int, output: str) -> None:
        self._producer = producer
        self._opset = opset
        self._class_axes: tuple[int, ...] = (CLASS_AXIS_NCHW, CLASS_AXIS_NHWC, -1, -3)
        self.tensor = output
        self.passed: list[str] = []
        self.align_corners = False

    def after_argmax(self) -> None:
        """Pass casts and unit axes, if they lead to an ArgMax."""
        chain = list(self._chain(lambda node: node.op_type in SCALAR_SAFE_OPS))
        end = self._producer.get(chain[-1].input[0] if chain else self.tensor)
        if end is not None and end.op_type == "ArgMax":
            for node in chain:
                self._pass(node)

    def argmax(self) -> None:
        """Pass an ArgMax over the classes that gives ties to the lower class."""
        node = self._at("ArgMax")
        if node is None or _attribute(node, "select_last_index", 0):
            return
        axis = _attribute(node, "axis", AXIS_ARGMAX_DEFAULT)
        if axis in self._class_axes:
            self._fix_layout(axis)
            self._pass(node)

    def softmax(self) -> None:
        """Pass a Softmax over the classes, if it comes after a Resize or before an ArgMax."""
        node = self._at("Softmax") or self._at("LogSoftmax")
        before = self._producer.get(node.input[0]) if node is not None else None
        if not self.passed and (before is None or before.op_type != "Resize"):
            return
        default = -1 if self._opset >= SOFTMAX_DEFAULT_AXIS_CHANGED_IN_OPSET else CLASS_AXIS_NCHW
        if node is not None and (axis := _attribute(node, "axis", default)) in self._class_axes:
            self._fix_layout(axis)
            self._pass(node)

    def transpose(self) -> None:
        """Pass the change from NCHW to NHWC that TensorFlow exports make."""
        node = self._at("Transpose")
        if node is None or CLASS_AXIS_NHWC not in self._class_axes:
            return
        if tuple(_attribute(node, "perm", ())) == NCHW_TO_NHWC:
            self._class_axes = (CLASS_AXIS_NCHW,)
            self._pass(node)

    def resize(self) -> None:
        """Pass one linear Resize with coordinates that the argmax step knows."""
        node = self._at("Resize")
        if node is None or CLASS_AXIS_NCHW not in self._class_axes:
            return
        mode = _text_attribute(node, "mode", "nearest")
        coordinates = _text_attribute(node, "coordinate_transformation_mode", "half_pixel")
        plain = not _attribute(node, "antialias", 0) and not _attribute(node, "exclude_outside", 0)
        if mode == "linear" and plain and coordinates in (*HALF_PIXEL_MODES, "align_corners"):
            self.align_corners = coordinates == "align_corners"
            self._pass(node)

    def _at(self, op_type: str) -> onnx.NodeProto | None:
        node = self._producer.get(self.tensor)
        return node if node is not None and node.op_type == op_type else None

    def _chain(self, accept: Callable[[onnx.NodeProto], bool]) -> Iterator[onnx.NodeProto]:
        node = self._producer.get(self.tensor)
        while node is not None and accept(node):
            yield node
            node = self._producer.get(node.input[0])

    def _fix_layout(self, axis: int) -> None:
        """From here on the classes stand on one axis: 1 or -3 mean NCHW, 3 or -1 NHWC."""
        nchw = axis in (CLASS_AXIS_NCHW, -3)
        self._class_axes = (CLASS_AXIS_NCHW, -3) if nchw else (CLASS_AXIS_NHWC, -1)

    def _pass(self, node: onnx.NodeProto) -> None:
        self.passed.append(node.op_type)
        self.tensor = node.input[0]


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return default


def _text_attribute(node: onnx.NodeProto, name: str, default: str) -> str:
    value = _attribute(node, name, default)
    return value.decode() if isinstance(value, bytes) else str(value)
