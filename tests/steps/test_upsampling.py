"""Upsample-and-argmax as one operation against ONNX Runtime's Resize followed by an argmax."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tritonseg_steps.geometry import Geometry
from tritonseg_steps.resize_policy import FitPad
from tritonseg_steps.upsampling import (
    Upsampling,
    class_map_at_image_size,
    class_map_from_scores,
    confidence_from_scores,
)


def resized_by_onnx_runtime(
    scores_chw: np.ndarray, size_hw: tuple[int, int], *, align_corners: bool
) -> np.ndarray:
    """Full-size scores, from the operator's reference implementation for CPUs."""
    mode = "align_corners" if align_corners else "half_pixel"
    node = helper.make_node(
        "Resize",
        ["scores", "", "", "sizes"],
        ["resized"],
        mode="linear",
        coordinate_transformation_mode=mode,
    )
    graph = helper.make_graph(
        [node],
        "resize",
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, None, None, None]),
            helper.make_tensor_value_info("sizes", TensorProto.INT64, [4]),
        ],
        [helper.make_tensor_value_info("resized", TensorProto.FLOAT, [1, None, None, None])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    sizes = np.array([1, len(scores_chw), *size_hw], np.int64)
    return session.run(None, {"scores": scores_chw[None], "sizes": sizes})[0][0]


def assert_same_class_map(actual: np.ndarray, scores_chw: np.ndarray) -> None:
    """Equal, but where the two best scores are within a few float32 steps of each other."""
    expected = scores_chw.argmax(axis=0)
    if len(scores_chw) == 1:
        assert np.array_equal(actual, expected)
        return
    second, best = np.partition(scores_chw, -2, axis=0)[-2:]
    near_tie = best - second <= 1e-4 * np.abs(scores_chw).max()
    wrong = (actual != expected) & ~near_tie
    assert not wrong.any(), f"{wrong.sum()} of {wrong.size} pixels differ"
    assert distinct_pixels(scores_chw[:, near_tie]) <= 2 + 0.02 * distinct_pixels(scores_chw)


def distinct_pixels(scores: np.ndarray) -> int:
    """Of `(C, ...)` scores; a single row or column of cells gives every pixel many times over."""
    return np.unique(scores.reshape(len(scores), -1), axis=1).shape[1]


def native(size_hw: tuple[int, int]) -> Geometry:
    return Geometry(size_hw, size_hw, size_hw)


side = st.integers(1, 40)


@settings(max_examples=150, deadline=None)
@given(
    classes=st.integers(1, 12),
    cells=st.tuples(side, side),
    pixels=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    align_corners=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@example(classes=7, cells=(1, 21), pixels=(2, 21), align_corners=False, seed=491689)
@example(classes=7, cells=(1, 21), pixels=(2, 21), align_corners=True, seed=491689)
def test_equals_resize_then_argmax_at_any_size(
    classes: int,
    cells: tuple[int, int],
    pixels: tuple[int, int],
    align_corners: bool,
    seed: int,
) -> None:
    scores = np.random.default_rng(seed).standard_normal((classes, *cells)).astype(np.float32)
    actual = class_map_from_scores(scores, native(pixels), align_corners=align_corners)
    resized = resized_by_onnx_runtime(scores, pixels, align_corners=align_corners)
    assert_same_class_map(actual, resized)


@pytest.mark.parametrize("align_corners", [False, True])
def test_equals_resize_then_argmax_on_smooth_scores_at_full_size(align_corners: bool) -> None:
    """Like a network's: large regions of one class, so that most pixels take the short way."""
    rng = np.random.default_rng(1)
    coarse = rng.standard_normal((19, 8, 16)).astype(np.float32) * 10
    scores = resized_by_onnx_runtime(coarse, (128, 256), align_corners=False)
    actual = class_map_from_scores(scores, native((512, 1024)), align_corners=align_corners)
    resized = resized_by_onnx_runtime(scores, (512, 1024), align_corners=align_corners)
    assert_same_class_map(actual, resized)


@settings(max_examples=60, deadline=None)
@given(
    classes=st.integers(1, 256),
    cells=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    pixels=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    align_corners=st.booleans(),
    spread=st.sampled_from([0.01, 1.0, 30.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_confidence_is_the_softmax_of_the_resized_scores(
    classes: int,
    cells: tuple[int, int],
    pixels: tuple[int, int],
    align_corners: bool,
    spread: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    scores = (rng.standard_normal((classes, *cells)) * spread).astype(np.float32)
    actual = confidence_from_scores(scores, native(pixels), align_corners=align_corners)
    resized = resized_by_onnx_runtime(scores, pixels, align_corners=align_corners)
    exponentials = np.exp(resized.astype(np.float64) - resized.max(axis=0))
    expected = 255 / exponentials.sum(axis=0)
    assert np.abs(actual - expected).max() <= 0.5 + 0.02


@settings(max_examples=40, deadline=None)
@given(
    classes=st.integers(2, 6),
    cells=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    pixels=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 2**32 - 1),
)
def test_probabilities_are_their_own_confidence(
    classes: int, cells: tuple[int, int], pixels: tuple[int, int], seed: int
) -> None:
    """A softmax of them would make 0.62 of a certainty."""
    scores = np.random.default_rng(seed).dirichlet([0.5] * classes, cells)
    scores = np.ascontiguousarray(scores.transpose(2, 0, 1).astype(np.float32))
    actual = confidence_from_scores(scores, native(pixels), are_probabilities=True)
    resized = resized_by_onnx_runtime(scores, pixels, align_corners=False)
    assert np.abs(actual - 255 * resized.max(axis=0)).max() <= 0.5 + 0.02


def test_scores_that_are_not_numbers_give_no_confidence() -> None:
    scores = np.zeros((3, 2, 2), np.float32)
    scores[1, 0, 0] = np.nan
    confidence = confidence_from_scores(scores, native((2, 2)))
    assert confidence.tolist() == [[0, 85], [85, 85]]
    confidence = confidence_from_scores(scores, native((2, 2)), are_probabilities=True)
    assert confidence.tolist() == [[0, 0], [0, 0]]


def test_ties_go_to_the_lower_class() -> None:
    scores = np.zeros((4, 3, 5), np.float32)
    scores[2:] = 1
    assert np.all(class_map_from_scores(scores, native((12, 20))) == 2)


def test_padding_is_cropped_before_upsampling() -> None:
    """A 30x60 picture fills the upper half of a 64x64 input; what the lower half says is lost."""
    geometry = FitPad(height=64, width=64).geometry((30, 60))
    assert geometry.content_hw == (32, 64)
    rng = np.random.default_rng(2)
    scores = rng.standard_normal((5, 16, 16)).astype(np.float32)
    scores[:, 8:] = 100
    expected = resized_by_onnx_runtime(scores[:, :8].copy(), (30, 60), align_corners=False)
    assert_same_class_map(class_map_from_scores(scores, geometry), expected)


def test_a_centred_picture_is_found_in_the_middle_of_the_scores() -> None:
    """A 30x60 picture fills rows 16 to 47 of a 64x64 input; what lies around it is lost."""
    geometry = FitPad(height=64, width=64, align="center").geometry((30, 60))
    assert (geometry.content_hw, geometry.offset_hw) == ((32, 64), (16, 0))
    scores = np.random.default_rng(2).standard_normal((5, 16, 16)).astype(np.float32)
    scores[:, :4] = scores[:, 12:] = 100
    expected = resized_by_onnx_runtime(scores[:, 4:12].copy(), (30, 60), align_corners=False)
    assert_same_class_map(class_map_from_scores(scores, geometry), expected)
    classes_hw = np.full((64, 64), 9)
    classes_hw[16:48] = np.arange(32)[:, None] // 8
    expected_hw = (np.arange(30)[:, None] * 32 + 16) // 30 // 8  # the row of each centre
    class_map_hw = class_map_at_image_size(classes_hw, geometry)
    np.testing.assert_array_equal(class_map_hw, np.broadcast_to(expected_hw, (30, 60)))


def test_class_maps_are_taken_from_the_nearest_cell() -> None:
    classes = np.arange(12, dtype=np.int64).reshape(3, 4)
    class_map = class_map_at_image_size(classes, native((6, 8)))
    assert class_map.dtype == np.uint8
    assert np.array_equal(class_map, classes.repeat(2, axis=0).repeat(2, axis=1))


DOCUMENT = {"kind": "scores", "align_corners": False, "confidence": "softmax"}


def test_json_round_trip() -> None:
    upsampling = Upsampling(kind="class_map", align_corners=True, confidence=None)
    assert Upsampling.from_json(upsampling.to_json()) == upsampling


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({**DOCUMENT, "kind": "logits"}, "upsampling.kind: expected one of"),
        ({**DOCUMENT, "align_corners": 1}, "expected true or false, got 1"),
        ({**DOCUMENT, "confidence": "sigmoid"}, "upsampling.confidence: expected one of"),
        ({**DOCUMENT, "kind": "class_map"}, "confidence: expected none of classes, got softmax"),
        ({"kind": "scores"}, "missing key"),
    ],
)
def test_bad_documents_are_refused(document: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Upsampling.from_json(document)
