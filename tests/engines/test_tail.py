"""Which tails are recognised, and that cutting them changes no class of any pixel."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from tiny_models import (
    ARGMAX,
    CAST,
    RESIZE,
    RESIZE_CORNERS,
    SIZE_HW,
    SOFTMAX,
    Operator,
    TinyModel,
    run_onnx,
)
from tritonseg_engines.graph.surgery import as_proto, editable
from tritonseg_engines.graph.tail import cut_tail, recognise_tail
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.upsampling import class_map_from_scores

NHWC = ("Transpose", {"perm": [0, 2, 3, 1]})
ARGMAX_LAST = ("ArgMax", {"axis": -1, "keepdims": 1})
ARGMAX_LATER = ("ArgMax", {"axis": 1, "keepdims": 0, "select_last_index": 1})
NEAREST = ("Resize", {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"})
ASYMMETRIC = ("Resize", {"mode": "linear", "coordinate_transformation_mode": "asymmetric"})
SOFTMAX_ROWS = ("Softmax", {"axis": 2})

CUT = {
    "nothing": ([], ()),
    "resize": ([RESIZE], ("Resize",)),
    "resize, align corners": ([RESIZE_CORNERS], ("Resize",)),
    "as PaddleSeg": ([RESIZE, ARGMAX], ("Resize", "ArgMax")),
    "as mmsegmentation": (
        [RESIZE, SOFTMAX, ("ArgMax", {"axis": 1, "keepdims": 1})],
        ("Resize", "Softmax", "ArgMax"),
    ),
    "cast": ([RESIZE, ARGMAX, CAST], ("Resize", "ArgMax", "Cast")),
    "channels last": ([RESIZE, NHWC, ARGMAX_LAST], ("Resize", "Transpose", "ArgMax")),
    "probabilities, then resize": ([SOFTMAX, RESIZE, ARGMAX], ("Resize", "ArgMax")),
}

KEPT = {
    "nearest resize": [NEAREST],
    "asymmetric resize": [ASYMMETRIC],
    "argmax with ties to the later class": [RESIZE, ARGMAX_LATER],
    "softmax over rows": [RESIZE, SOFTMAX_ROWS],
    "low-resolution probabilities": [SOFTMAX],
    "every class but the first as true": [RESIZE, ARGMAX, ("Cast", {"to": TensorProto.BOOL})],
}


def image() -> np.ndarray:
    coarse = np.random.default_rng(3).standard_normal((1, 3, SIZE_HW[0] // 8, SIZE_HW[1] // 8))
    return coarse.repeat(8, axis=2).repeat(8, axis=3).astype(np.float32)


def class_map_of(output: np.ndarray, tail: list[Operator]) -> np.ndarray:
    if output.ndim == 4 and output.shape[1] > 1 and output.shape[-1] > 1:
        output = output.argmax(axis=1)
    return output.reshape(SIZE_HW)


@pytest.mark.parametrize(("operators", "expected"), CUT.values(), ids=CUT)
def test_tails_of_exporters_are_recognised(
    operators: list[Operator], expected: tuple[str, ...]
) -> None:
    tail = recognise_tail(editable(TinyModel(tail=operators).model()).graph, "output")
    assert tail.operators == expected
    assert tail.align_corners == (RESIZE_CORNERS in operators)


@pytest.mark.parametrize("operators", KEPT.values(), ids=KEPT)
def test_what_the_argmax_step_cannot_repeat_stays(operators: list[Operator]) -> None:
    graph = editable(TinyModel(tail=operators).model()).graph
    assert recognise_tail(graph, "output").operators == ()


@pytest.mark.parametrize("name", [name for name in CUT if name != "nothing"])
def test_cut_and_step_give_the_class_map_of_the_export(name: str) -> None:
    operators = CUT[name][0]
    exported = TinyModel(tail=operators).model()
    network = editable(exported)
    tail = recognise_tail(network.graph, "output")
    cut_tail(network, tail)
    scores = run_onnx(as_proto(network), image())[0]
    assert scores.shape == (5, SIZE_HW[0] // 4, SIZE_HW[1] // 4)
    actual = class_map_from_scores(
        scores, Geometry(SIZE_HW, SIZE_HW, SIZE_HW), align_corners=tail.align_corners
    )
    expected = class_map_of(run_onnx(exported, image()), operators)
    assert (actual == expected).mean() >= 0.9999


def test_cut_leaves_the_export_as_it_was_and_drops_what_nobody_reads() -> None:
    exported = TinyModel(tail=[RESIZE, SOFTMAX, ARGMAX]).model()
    before = exported.SerializeToString()
    network = editable(exported)
    cut_tail(network, recognise_tail(network.graph, "output"))
    assert exported.SerializeToString() == before
    assert [node.op_type for node in network.graph] == ["Conv"]
    assert list(network.graph.initializers) == ["weight"]
