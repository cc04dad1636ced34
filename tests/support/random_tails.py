"""Random tails: what exporters put behind the scores, and how the classes are ranked in them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from graph_drawing import ELEMENT_TYPES, Drawing

SCORE_TAILS = ("identity", "softmax", "log_softmax", "cast_half", "nhwc", "nhwc_softmax")
CLASS_MAP_TAILS = ("argmax", "softmax_argmax", "log_softmax_argmax", "argmin", "nhwc_argmax",
                   "nhwc_softmax_argmax", "last_index")  # fmt: skip
BINARY_TAILS = (
    "identity", "sigmoid", "sigmoid_identity", "sigmoid_cast", "hard_sigmoid", "one_minus_sigmoid",
    "written_out", "greater", "round", "clip", "squeezed", "nhwc", "second_of_softmax",
)  # fmt: skip
BINARY_CLASS_MAP_TAILS = ("above_half", "above_zero")
PROBABILITIES = {
    "sigmoid", "sigmoid_identity", "sigmoid_cast", "hard_sigmoid", "one_minus_sigmoid",
    "written_out", "greater", "round", "clip", "second_of_softmax",
}  # fmt: skip
INDEX_TYPES = ("int64", "int32", "uint8", "float32")
FORMS = ("plain", "keepdims", "squeezed")
"""Of class indices: (N, h, w), (N, 1, h, w), and (h, w) of a batch of one."""
EDITS = ("none", "negated", "prior", "temperature", "rectified")
"""Of the scores, in front of or behind their upsampling."""
LAST_INDEX_SINCE = 12
TO_LAST = (0, 2, 3, 1)


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Of which tensor a class map takes its classes.

    Attributes:
        tensor: Its name.
        axis: On which the classes stand.
        lowest: Whether the lowest wins.
        threshold: What parts two classes of one score; None where several are compared.
    """

    tensor: str
    axis: int
    lowest: bool = False
    threshold: float | None = None


@dataclass(frozen=True, kw_only=True)
class Tail:
    """What was drawn.

    Attributes:
        tensor: The last.
        kind: "scores", "binary" or "class_map".
        probability: Whether a binary output is one.
        ranking: Of a class map.
    """

    tensor: str
    kind: str
    probability: bool = False
    ranking: Ranking | None = None


@dataclass(frozen=True, kw_only=True)
class TailPlan:
    """What a tail is drawn from.

    Attributes:
        name: One of the tails above.
        index_type: Of a class map, one of `INDEX_TYPES`, or "bool".
        form: Of a class map, one of `FORMS`.
        negative_axis: Whether the class axis is counted from the end.
    """

    name: str
    index_type: str
    form: str
    negative_axis: bool

    @property
    def is_class_map(self) -> bool:
        """Whether it gives classes."""
        return self.name in (*CLASS_MAP_TAILS, *BINARY_CLASS_MAP_TAILS)

    def __str__(self) -> str:
        return f"{self.name} {self.index_type} {self.form}" if self.is_class_map else self.name


def edited(draw: Drawing, scores: str, edit: str, outputs: int) -> str:
    """Change scores as calibrations, priors and clamps do."""
    if edit == "negated":
        return draw.node("Neg", scores)
    if edit == "prior":
        return draw.node("Add", scores, draw.constant(draw.rng.normal(0, 1, (1, outputs, 1, 1))))
    if edit == "temperature":
        return draw.node("Div", scores, draw.constant(draw.rng.uniform(0.3, 3)))
    if edit == "rectified":  # many ties, which the lowest class wins
        return draw.node("Relu", scores)
    return scores


def draw_tail(draw: Drawing, scores: str, plan: TailPlan, outputs: int) -> Tail:
    """Add what stands behind the scores."""
    if plan.is_class_map:
        tail = _binary_classes(draw, scores, plan) if outputs == 1 else _classes(draw, scores, plan)
        return _as_indices(draw, tail, plan)
    if outputs == 1:
        tensor = _binary(draw, scores, plan.name)
        return Tail(tensor=tensor, kind="binary", probability=plan.name in PROBABILITIES)
    return Tail(tensor=_scores(draw, scores, plan.name), kind="scores")


def _scores(draw: Drawing, scores: str, name: str) -> str:
    if name in ("softmax", "log_softmax"):
        return draw.node("Softmax" if name == "softmax" else "LogSoftmax", scores, axis=1)
    if name == "cast_half":
        return draw.node("Cast", scores, to=ELEMENT_TYPES["float16"])
    if name in ("nhwc", "nhwc_softmax"):
        last = draw.node("Transpose", scores, perm=TO_LAST)
        # Over the last axis it means the same in every opset.
        return draw.node("Softmax", last, axis=-1) if name == "nhwc_softmax" else last
    return draw.node("Identity", scores)


def _classes(draw: Drawing, scores: str, plan: TailPlan) -> Tail:
    axis, negative = (3, -1) if plan.name.startswith("nhwc") else (1, -3)
    if axis == 3:
        scores = draw.node("Transpose", scores, perm=TO_LAST)
    if "softmax" in plan.name:
        operator = "LogSoftmax" if plan.name.startswith("log") else "Softmax"
        scores = draw.node(operator, scores, axis=negative if plan.negative_axis else axis)
    lowest = plan.name == "argmin"
    attributes = {"axis": negative if plan.negative_axis else axis}
    attributes["keepdims"] = int(plan.form == "keepdims")
    if plan.name == "last_index" and draw.opset >= LAST_INDEX_SINCE:
        attributes["select_last_index"] = 1
    classes = draw.node("ArgMin" if lowest else "ArgMax", scores, **attributes)
    ranking = Ranking(tensor=scores, axis=axis, lowest=lowest)
    return Tail(tensor=classes, kind="class_map", ranking=ranking)


def _binary_classes(draw: Drawing, scores: str, plan: TailPlan) -> Tail:
    threshold = 0.5 if plan.name == "above_half" else 0.0
    if plan.name == "above_half":
        scores = draw.node("Sigmoid", scores)
    above = draw.node("Greater", scores, draw.constant(threshold))
    if plan.form == "plain":
        above = draw.squeezed(above, 1)
    ranking = Ranking(tensor=scores, axis=1, threshold=threshold)
    return Tail(tensor=above, kind="class_map", ranking=ranking)


def _as_indices(draw: Drawing, tail: Tail, plan: TailPlan) -> Tail:
    """Give class indices their type and form."""
    tensor = tail.tensor
    first = "bool" if plan.name in BINARY_CLASS_MAP_TAILS else "int64"
    if plan.form == "squeezed":
        if first == "bool":
            tensor = draw.squeezed(tensor, 1)
        tensor = draw.squeezed(tensor, 0)
    if plan.index_type != first:
        tensor = draw.node("Cast", tensor, to=ELEMENT_TYPES[plan.index_type])
    return replace(tail, tensor=tensor)


def _binary(draw: Drawing, scores: str, name: str) -> str:
    if name in ("identity", "hard_sigmoid"):
        return draw.node("Identity" if name == "identity" else "HardSigmoid", scores)
    if name == "squeezed":
        return draw.squeezed(scores, 1)
    if name == "nhwc":
        return draw.node("Transpose", scores, perm=TO_LAST)
    if name == "second_of_softmax":
        return _second_of_softmax(draw, scores)
    one = draw.constant(1.0)
    if name == "written_out":
        exponential = draw.node("Exp", draw.node("Neg", scores))
        return draw.node("Div", one, draw.node("Add", exponential, one))
    if name == "greater":
        above = draw.node("Greater", scores, draw.constant(0.0))
        return draw.node("Cast", above, to=ELEMENT_TYPES["float32"])
    if name == "clip":
        half = draw.node("Add", scores, draw.constant(0.5))
        return draw.node("Clip", half, draw.constant(0.0), one)
    return _behind_sigmoid(draw, draw.node("Sigmoid", scores), name)


def _second_of_softmax(draw: Drawing, scores: str) -> str:
    both = draw.node("Concat", draw.node("Neg", scores), scores, axis=1)
    both = draw.node("Transpose", both, perm=TO_LAST)
    both = draw.node("Transpose", draw.node("Softmax", both, axis=-1), perm=[0, 3, 1, 2])
    axis = draw.integers(1)
    return draw.node("Slice", both, axis, draw.integers(2), axis)


def _behind_sigmoid(draw: Drawing, sigmoid: str, name: str) -> str:
    if name == "sigmoid_identity":
        return draw.node("Identity", sigmoid)
    if name == "sigmoid_cast":
        return draw.node("Cast", sigmoid, to=ELEMENT_TYPES["float16"])
    if name == "one_minus_sigmoid":
        return draw.node("Sub", draw.constant(1.0), sigmoid)
    if name == "round":
        return draw.node("Round", sigmoid)
    return sigmoid
