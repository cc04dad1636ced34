"""What pictures cannot prove is refused: odd scales, averages beyond padding, lookups in no bounds.

Where the runtimes part is measured here, not taken from the product.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from own_mask import own_mask
from served_map import build_and_segment
from tiny_models import run_onnx
from tritonseg_engines.build.export_mask import mask_of_scores
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.beyond_proof import refuse_unprovable
from tritonseg_engines.running.networks import infer_in_openvino
from tritonseg_engines.running.pictures import smooth_noise
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.geometry import Geometry
from written_exports import PICTURE, written_export, written_spec

OPEN_PICTURE = "float[N, 3, h, w] image"
STABLE = {"margin": 1e-4}
COMMON = "s = Conv <kernel_shape=[4, 4], strides=[4, 4]> (image, weight)"
BACK = """
    shape = Shape <start=2> (image)
    outer = Shape <end=2> (s)
    sizes = Concat <axis=0> (outer, shape)
    output = Resize <mode="linear"> (s, roi, , sizes)
"""


def save(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "export.onnx")
    return folder / "export.onnx"


def resized(scale: float) -> onnx.ModelProto:
    node = helper.make_node("Resize", ["image", "", "scales"], ["output"], mode="linear")
    graph = helper.make_graph(
        [node],
        "resized",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, "h", 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, "y", 4])],
        [numpy_helper.from_array(np.array([1, 1, scale, 1], np.float32), "scales")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


SCALES = (0.125, 0.3, 1 / 3, 3 / 19, 0.35, 1.1, 7 / 6, 13 / 11, 1.25, 1.3, 1.5, 2.0, 2.7)


@pytest.mark.parametrize("scale", SCALES)
def test_a_scale_is_refused_where_the_runtimes_give_another_size(scale: float) -> None:
    model = resized(scale)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    network = openvino.Core().read_model(model.SerializeToString())
    parted = None
    for side in range(int(1 / scale) + 1, 400):
        (output,) = session.run(None, {"image": np.zeros((1, 1, side, 4), np.float32)})
        network.reshape([1, 1, side, 4])
        served = network.outputs[0].shape[2]
        if served != output.shape[2]:
            parted = f"(a side of {side} to {served}, not {output.shape[2]})"
            break
    if parted is None:
        refuse_unprovable(model, one_size=False)
    else:
        with pytest.raises(OnnxModelError, match="rounds some sizes otherwise") as caught:
            refuse_unprovable(model, one_size=False)
        assert parted in str(caught.value)
    refuse_unprovable(model, one_size=True)


ODD_SCALE = f'larger = Resize <mode="linear"> (image, roi, odd)\n{COMMON}'.replace(
    "(image, weight)", "(larger, weight)"
)
ODD = {"odd": np.array([1, 1, 1.3, 1.3], np.float32)}


def test_an_odd_scale_is_refused_at_open_sizes_and_served_at_one(tmp_path: Path) -> None:
    export = written_export(
        ODD_SCALE + BACK, "float[N, 5, h, w] output", picture=OPEN_PICTURE, **ODD
    )
    path = save(export, tmp_path)
    with pytest.raises(OnnxModelError, match=r"\(Resize\) resizes by 1\.3, .* at a fixed size"):
        prepare_network(written_spec(), path)
    path = save(written_export(ODD_SCALE + BACK, "float[N, 5, h, w] output", **ODD), tmp_path)
    check_served(path, written_spec(), tmp_path)


def check_served(path: Path, spec: ModelSpec, folder: Path) -> None:
    image_hwc = smooth_noise((64, 96), 3)[2].image_hwc
    expected_hw, stable_hw = own_mask(path, spec, image_hwc, **STABLE)
    _, actual_hw = build_and_segment(spec, path, image_hwc, folder)
    np.testing.assert_array_equal(actual_hw[stable_hw], expected_hw[stable_hw])


NEAREST = {
    "ONNX's own defaults": ("", False),
    "halves up": ('nearest_mode="round_prefer_ceil"', False),
    "corners": ('coordinate_transformation_mode="align_corners", nearest_mode="floor"', False),
    "torch's nearest": (
        'coordinate_transformation_mode="asymmetric", nearest_mode="floor"', True,
    ),
    "half pixels down": ('nearest_mode="floor"', True),
}  # fmt: skip


@pytest.mark.parametrize(("words", "taken"), NEAREST.values(), ids=NEAREST)
def test_the_nearest_cell_by_a_computed_size_is_taken_where_runtimes_agree(
    words: str, taken: bool, tmp_path: Path
) -> None:
    back = BACK.replace('mode="linear"', f'mode="nearest"{", " if words else ""}{words}')
    body = f"{COMMON}\n{back}\n".replace("output =", "full =") + "output = Neg (full)"
    for picture in (OPEN_PICTURE, PICTURE):
        export = written_export(body, "float[N, 5, h, w] output", picture=picture)
        path = save(export, tmp_path)
        if taken or picture is PICTURE:
            check_served(path, written_spec(), tmp_path)
            continue
        with pytest.raises(OnnxModelError, match=r"\(Resize\) takes the nearest cell by .* floor"):
            prepare_network(written_spec(), path)


@pytest.mark.parametrize("size", [(26, 53), (18, 75), (14, 117)])
def test_that_is_where_the_runtimes_part(size: tuple[int, int]) -> None:
    """The day on which they agree, the refusal can go."""
    source, target = size
    sizes = numpy_helper.from_array(np.array([1, 1, target, 4]), "sizes")
    node = helper.make_node("Resize", ["image", "", "", "sizes"], ["output"])
    graph = helper.make_graph(
        [node],
        "nearest",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, source, 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, target, 4])],
        [sizes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    rows = np.arange(source, dtype=np.float32)[:, None] * np.ones(4, np.float32)
    with infer_in_openvino(model, "fp32") as infer:
        served = infer(rows[None, None])
    assert (served != run_onnx(model, rows[None, None])).any()


def averaged(kernel: int, stride: int, pad: int, *, counted: int) -> str:
    words = (
        f"kernel_shape=[{kernel}, {kernel}], strides=[{stride}, {stride}], "
        f"pads=[{pad}, {pad}, {pad}, {pad}], ceil_mode=1, count_include_pad={counted}"
    )
    return f"pooled = AveragePool <{words}> (image)\n s = Conv (pooled, head)" + BACK


HEAD = np.random.default_rng(2).normal(0, 1, (5, 3, 1, 1)).astype(np.float32)


@pytest.mark.parametrize(
    ("kernel", "stride", "counted", "taken"),
    [(3, 2, 1, True), (3, 2, 0, True), (3, 7, 1, False), (3, 3, 1, False)],
)
def test_averages_that_count_beyond_padding_are_refused_at_open_sizes(
    kernel: int, stride: int, counted: int, taken: bool, tmp_path: Path
) -> None:
    body = averaged(kernel, stride, 1, counted=counted)
    path = save(
        written_export(body, "float[N, 5, h, w] output", picture=OPEN_PICTURE, head=HEAD), tmp_path
    )
    if not taken:
        with pytest.raises(OnnxModelError, match=r"counts its padding, .* count_include_pad=False"):
            prepare_network(written_spec(), path)
        return
    check_served(path, written_spec(), tmp_path)


POSITIONS = """
    rows = Shape <start=2, end=3> (s)
    count = Squeeze (rows)
    place = Range (zero, count, one)
    embedded = Gather <axis=2> (table, place)
    s = Add (plain, embedded)
"""
TABLE = {
    "table": 40 * np.random.default_rng(5).standard_normal((1, 5, 64, 1)).astype(np.float32),
    "zero": np.int64(0),
    "one": np.int64(1),
}


def with_positions(picture: str) -> onnx.ModelProto:
    body = COMMON.replace("s = ", "plain = ") + POSITIONS.replace("(s)", "(plain)") + BACK
    return written_export(body, "float[N, 5, h, w] output", picture=picture, **TABLE)


def test_a_table_of_positions_is_refused_at_open_sizes_and_served_at_one(tmp_path: Path) -> None:
    path = save(with_positions(OPEN_PICTURE), tmp_path)
    with pytest.raises(OnnxModelError, match=r"\(Gather\) looks up .* by what a picture's size"):
        prepare_network(written_spec(), path)
    check_served(save(with_positions(PICTURE), tmp_path), written_spec(), tmp_path)


def test_positions_that_are_clipped_at_the_tables_end_are_served(tmp_path: Path) -> None:
    """What `arange(h).clamp(max=63)` is: a Range that rises begins with its least."""
    held = POSITIONS.replace("Gather <axis=2> (table, place)", "Gather <axis=2> (table, within)")
    held = held.replace("embedded =", "within = Min (place, last)\n    embedded =")
    body = COMMON.replace("s = ", "plain = ") + held.replace("(s)", "(plain)") + BACK
    export = written_export(
        body, "float[N, 5, h, w] output", picture=OPEN_PICTURE, last=np.int64(63), **TABLE
    )
    check_served(save(export, tmp_path), written_spec(), tmp_path)


def looked_up(index: str) -> onnx.ModelProto:
    """A bias for every class by the picture's brightness, or by the class that is best in it."""
    body = f"""
        {COMMON}
        {index}
        bias = Gather <axis=0> (table, row)
        column = Unsqueeze (bias, last)
        moved = Add (s, column)
        output = Resize <mode="linear"> (moved, roi, four)
    """
    table = np.random.default_rng(5).standard_normal((11, 5, 1)).astype(np.float32)
    return written_export(
        body,
        "float[N, 5, 64, 96] output",
        table=table,
        last=np.array([-1]),
        five=np.float32(5),
        zero=np.float32(0),
        four_rows=np.float32(4),
        of_picture=np.array([1, 2, 3]),
        plane=np.array([2, 3]),
    )


BRIGHTNESS = "mean = ReduceMean <axes=[1, 2, 3], keepdims=0> (image)\n level = Mul (mean, five)\n"
INDICES = {
    "brightness": (BRIGHTNESS + "row = Cast <to=7> (level)", False),
    "clipped brightness": (
        BRIGHTNESS + "held = Clip (level, zero, four_rows)\n row = Cast <to=7> (held)", True,
    ),
    "best class": (
        "means = ReduceMean <axes=[2, 3], keepdims=0> (s)\n"
        "row = ArgMax <axis=1, keepdims=0> (means)", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("index", "bounded"), INDICES.values(), ids=INDICES)
def test_a_lookup_by_content_needs_bounds(index: str, bounded: bool, tmp_path: Path) -> None:
    path = save(looked_up(index), tmp_path)
    if bounded:
        check_served(path, written_spec(), tmp_path)
        return
    with pytest.raises(OnnxModelError, match=r"\(Gather\) looks up .* by what a picture gives, .*"):
        prepare_network(written_spec(), path)


@pytest.mark.parametrize("common", [0.0, -15_000.0, 15_000.0])
def test_what_all_classes_have_in_common_does_not_hide_other_classes(common: float) -> None:
    """Distances and log-likelihoods are large, and their differences are what decides."""
    scores_chw = np.random.default_rng(0).normal(0, 3, (5, 64, 96)).astype(np.float32)
    geometry = Geometry((64, 96), (64, 96), (64, 96))
    mask = mask_of_scores(scores_chw + np.float32(common), geometry)
    ranked = np.sort(scores_chw, axis=0)
    rounded = 64 * np.spacing(np.float32(max(abs(common), 1)))
    apart = ranked[-1] - ranked[-2] > max(0.01, rounded)
    assert apart.mean() > 0.9
    assert mask.stable_hw[apart].all()
    np.testing.assert_array_equal(mask.classes_hw[apart], scores_chw.argmax(axis=0)[apart])
