"""How far networks see, as computed, against what ONNX Runtime changes when pixels change."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from reaching_networks import Upsampled, plain_network, reaching_network, stride_of
from tritonseg_engines.graph.reach import Reach, reach_of
from tritonseg_engines.zoo.street_demo import DEMO_ONNX
from tritonseg_steps.upsampling import Upsampling

SCORES = Upsampling()
NETWORKS = 60


def side_for(reach: Reach, axis: int) -> int:
    """A side of several tiles, a multiple of the grid."""
    grid = reach.grid_hw[axis]
    return -(-(reach.before_hw[axis] + reach.after_hw[axis]) // grid) * grid + 4 * grid


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_tiles_of_random_networks_are_the_whole_within_their_margins(seed):
    model = reaching_network(seed)
    reach, run = reach_of(model, SCORES), Upsampled(model, stride_of(model))
    assert reach.unbounded_by is None
    height, width = (side_for(reach, axis) for axis in (0, 1))
    batch = np.random.default_rng(seed).normal(0, 1, (1, 3, height, width)).astype(np.float32)
    whole = run(batch)
    (top, left), (bottom, right) = reach.before_hw, reach.after_hw
    row, column = reach.grid_hw
    inner = run(batch[:, :, row:-row, column:-column])
    expected = whole[:, :, row + top : -row - bottom or None, column + left : -column - right]
    found = inner[:, :, top : inner.shape[2] - bottom, left : inner.shape[3] - right]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(whole).max())
    corner = run(batch[:, :, :-row, :-column])
    kept = corner[:, :, : corner.shape[2] - bottom, : corner.shape[3] - right]
    expected = whole[:, :, : kept.shape[2], : kept.shape[3]]
    np.testing.assert_allclose(kept, expected, atol=1e-4 * np.abs(whole).max())


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_nothing_beyond_the_reach_of_random_networks_changes(seed):
    model = reaching_network(seed)
    reach, run = reach_of(model, SCORES), Upsampled(model, stride_of(model))
    for axis in (0, 1):
        for pixel, changed in _changes(run, reach, axis, seed):
            assert changed.size == 0 or changed.min() >= pixel - reach.after_hw[axis]
            assert changed.size == 0 or changed.max() <= pixel + reach.before_hw[axis]


@pytest.mark.parametrize(
    ("steps", "reach"),
    [
        # A 3x3 convolution: a pixel each side.
        ([1], Reach(before_hw=(1, 1), after_hw=(1, 1), grid_hw=(1, 1))),
        ([1, 1, 1], Reach(before_hw=(3, 3), after_hw=(3, 3), grid_hw=(1, 1))),
        # Cell c reads pixels 2c-1 to 2c+1, pixel 2c cells c-1 and c, pixel 2c+1 cells c and c+1.
        ([2], Reach(before_hw=(3, 3), after_hw=(2, 2), grid_hw=(2, 2))),
        ([2, 2, 1], None),
        ([1, 2, 2, 2], None),
    ],
)
def test_the_reach_of_plain_networks_is_tight(steps, reach):
    model = plain_network(0, steps)
    found, run = reach_of(model, SCORES), Upsampled(model, stride_of(model))
    assert reach in (None, found)
    for axis in (0, 1):
        changes = [
            (pixel - changed.min(), changed.max() - pixel)
            for pixel, changed in _changes(run, found, axis, 0)
        ]
        after, before = (max(side) for side in zip(*changes, strict=True))
        assert (before, after) == (found.before_hw[axis], found.after_hw[axis])


def _changes(run, reach, axis, seed):
    """Yield every row, or column, of one grid in the middle, and those that change with it.

    Far from the borders: what a Pad mirrors there is read from further inside.
    """
    sides = [3 * side_for(reach, one) if one == axis else 8 * reach.grid_hw[one] for one in (0, 1)]
    rng = np.random.default_rng(seed)
    batch = rng.uniform(0.1, 1, (1, 3, *sides)).astype(np.float32)
    before = run(batch)
    start = sides[axis] // 2 // reach.grid_hw[axis] * reach.grid_hw[axis]
    for pixel in range(start, start + reach.grid_hw[axis]):
        other = batch.copy()
        np.moveaxis(other, 2 + axis, 0)[pixel] += 10
        differs = (run(other) != before).any(axis=(0, 1, 3 - axis))
        yield pixel, np.flatnonzero(differs)


def test_nothing_beyond_the_reach_of_the_demo_model_changes():
    model = onnx.load(DEMO_ONNX)
    reach = reach_of(model, SCORES)
    assert reach == Reach(before_hw=(316, 316), after_hw=(285, 285), grid_hw=(32, 32))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(0)
    batch = rng.normal(0, 1, (1, 3, 512, 1024)).astype(np.float32)
    before = session.run(None, {"image": batch})[0]
    seen = []
    for pixel in (512, 527, 543):
        other = batch.copy()
        other[..., pixel] += 100
        changed = (session.run(None, {"image": other})[0] != before).any(axis=(0, 1, 2))
        # Cell c is at pixel 4c + 1.5; pixels up to 3.5 from it are interpolated from it.
        cells = np.flatnonzero(changed)
        seen += [4 * cells.min() + 1.5 - 3.5 - pixel, 4 * cells.max() + 1.5 + 3.5 - pixel]
        assert seen[-2] >= -reach.after_hw[1]
        assert seen[-1] <= reach.before_hw[1]
    # And close to it, so far as float32 shows: what comes by 32nds of the size fades.
    assert min(seen) < -200
    assert max(seen) > 200


def graph_of(*nodes, constants=None, opset=17, size=("H", "W"), given="SCORES"):
    graph = helper.make_graph(
        list(nodes), "g",
        [helper.make_tensor_value_info("NORMALIZED", TensorProto.FLOAT, ["N", 3, *size])],
        [helper.make_empty_tensor_value_info(given)],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in (constants or {}).items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(op_type, inputs, output="SCORES", **attributes):
    return helper.make_node(op_type, inputs.split(), [output], f"a {op_type}", **attributes)


def resize(scale, **attributes):
    scales = np.array([1, 1, scale, scale], np.float32)
    one = helper.make_node(
        "Resize", ["NORMALIZED", "", "scales"], ["SCORES"], "a Resize", **attributes
    )
    return graph_of(one, constants={"scales": scales})


HALF = np.array([0.5], np.float32)
UNBOUNDED = {
    "GlobalAveragePool": graph_of(
        node("GlobalAveragePool", "NORMALIZED", "mean"), node("Mul", "NORMALIZED mean")
    ),
    "ReduceMean": graph_of(
        node("ReduceMean", "NORMALIZED", "mean", axes=[2, 3]), node("Sub", "NORMALIZED mean")
    ),
    "ReduceMax": graph_of(
        node("ReduceMax", "NORMALIZED", "most"), node("Div", "NORMALIZED most")
    ),
    "InstanceNormalization": graph_of(
        node("InstanceNormalization", "NORMALIZED c c"), constants={"c": np.ones(3, np.float32)}
    ),
    "Softmax": graph_of(node("Softmax", "NORMALIZED", axis=3)),
    "Reshape": graph_of(
        node("Reshape", "NORMALIZED line", "flat"), node("Softmax", "flat", "soft", axis=2),
        node("Reshape", "soft square"),
        constants={"line": np.array([0, 3, -1]), "square": np.array([1, 3, 8, 8])}, size=(8, 8),
    ),
    "MatMul": graph_of(
        node("MatMul", "NORMALIZED bins"), constants={"bins": np.ones((8, 8), np.float32)},
        size=(8, 8),
    ),
    "Add": graph_of(
        node("Add", "NORMALIZED place"), constants={"place": np.ones((1, 3, 8, 8), np.float32)},
        size=(8, 8),
    ),
    "Mul": graph_of(  # by the picture's own height
        node("Shape", "NORMALIZED", "shape", start=2, end=3),
        node("Cast", "shape", "height", to=TensorProto.FLOAT), node("Mul", "NORMALIZED height"),
    ),
    "CumSum": graph_of(node("CumSum", "NORMALIZED axis"), constants={"axis": np.array(3)}),
    "Pad": graph_of(
        node("Pad", "NORMALIZED pads", mode="wrap"), opset=19,
        constants={"pads": np.array([0, 0, 1, 1, 0, 0, -1, -1])},
    ),
    "If": graph_of(
        helper.make_node(
            "If", ["yes"], ["SCORES"], "a If",
            **{f"{side}_branch": helper.make_graph(
                [node(op, "NORMALIZED", "inner")], side, [],
                [helper.make_empty_tensor_value_info("inner")],
            ) for side, op in (("then", "GlobalAveragePool"), ("else", "GlobalMaxPool"))},
        ),
        constants={"yes": np.array(True)},
    ),
    "Resize aligns corners": resize(
        2, mode="linear", coordinate_transformation_mode="align_corners"
    ),
    "Resize resizes by 1.5": resize(1.5, mode="linear"),
    "Resize has the coordinates": resize(
        2, mode="nearest", coordinate_transformation_mode="tf_crop_and_resize"
    ),
    "Slice": graph_of(
        node("Slice", "NORMALIZED starts ends axes"),
        constants={"starts": np.array([0]), "ends": np.array([8]), "axes": np.array([2])},
    ),
}  # fmt: skip


@pytest.mark.parametrize("reason", UNBOUNDED)
def test_what_sees_everything_is_named(reason):
    operator, _, words = reason.partition(" ")
    reach = reach_of(UNBOUNDED[reason], SCORES)
    assert reach.unbounded_by.startswith(f"{operator} 'a {operator}' {words}")
    assert reach.to_json() == {"unbounded_by": reach.unbounded_by}


@pytest.mark.parametrize(
    "op_type", ["FancyNewOperator", "GridSample", "NonMaxSuppression", "Einsum", "TopK"]
)
def test_an_unknown_operator_sees_everything(op_type):
    model = graph_of(node(op_type, "NORMALIZED"))
    assert f"{op_type} 'a {op_type}' sees all" in reach_of(model, SCORES).unbounded_by


def test_aligned_corners_of_the_last_step_go_by_the_size():
    model = plain_network(0, [2])
    reach = reach_of(model, Upsampling(align_corners=True))
    assert "aligned corners" in reach.unbounded_by
    assert reach_of(plain_network(0, [1]), Upsampling(align_corners=True)).before_hw == (1, 1)


def test_classes_are_taken_from_the_cell_they_lie_in():
    model = plain_network(0, [2])
    classes = Upsampling(kind="class_map", confidence=None)
    assert reach_of(model, classes) == Reach(before_hw=(2, 2), after_hw=(1, 1), grid_hw=(2, 2))


def test_a_network_without_padding_has_scores_of_another_size():
    model = graph_of(
        node("MaxPool", "NORMALIZED", kernel_shape=[3, 3], strides=[1, 1], pads=[0] * 4)
    )
    assert "size" in reach_of(model, SCORES).unbounded_by
