"""What an export needs is told apart: a least size, multiples of something, and a most."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    RuntimeException,
)

import tiny_models
from own_mask import own_mask
from served_map import build_and_segment
from tiny_models import CLASSES, run_onnx, tiny_spec
from tritonseg_engines.build.engine_file import plan_sizes
from tritonseg_engines.build.export_truth import ExportTruth
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.build.pictures_choice import PictureChoice
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.build.size_limits import find_sizes
from tritonseg_engines.build.size_remark import size_remark
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.geometry import Geometry, Size
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.resize_policy import KeepRatio, Native, ResizePolicy

OPEN = ("h", "w")
Node = tuple[str, list[str], str, dict[str, object]]


def network(
    nodes: list[Node], constants: dict[str, np.ndarray], size: tuple[str | int, str | int] = OPEN
) -> onnx.ModelProto:
    """A graph of nodes from `image` to `features`, and a 1x1 convolution behind it."""
    nodes = [*nodes, ("Conv", ["features", "head"], "output", {})]
    channels = constants.pop("channels", np.array(3))
    head = np.random.default_rng(3).normal(0, 1, (CLASSES, int(channels), 1, 1))
    constants = {**constants, "head": head.astype(np.float32)}
    graph = helper.make_graph(
        [helper.make_node(kind, fed, [made], made, **words) for kind, fed, made, words in nodes],
        "limited",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, *size])],
        [helper.make_empty_tensor_value_info("output")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def needing(least: int, multiple: int, size: tuple[str | int, str | int] = OPEN) -> onnx.ModelProto:
    """Blocks of pixels are moved into channels and back; then two taps lie far from each other."""
    taps = np.random.default_rng(1).normal(0, 1, (3, 3, 2, 2)).astype(np.float32)
    nodes: list[Node] = [
        ("SpaceToDepth", ["image"], "blocks", {"blocksize": multiple}),
        ("DepthToSpace", ["blocks"], "pixels", {"blocksize": multiple}),
        ("Conv", ["pixels", "taps"], "features", {"dilations": [least - 1] * 2}),
    ]
    return network(nodes, {"taps": taps}, size)


def reflecting(margin: int) -> onnx.ModelProto:
    pads = np.array([0, 0, margin, margin] * 2, np.int64)
    return network([("Pad", ["image", "pads"], "features", {"mode": "reflect"})], {"pads": pads})


def pooling(window: int) -> onnx.ModelProto:
    return network([("MaxPool", ["image"], "features", {"kernel_shape": [window] * 2})], {})


def with_positions(cells: int, size: tuple[str | int, str | int] = OPEN) -> onnx.ModelProto:
    """Patches of 4 pixels, to which a table of positions is added as far as it goes."""
    rng = np.random.default_rng(2)
    nodes: list[Node] = [
        ("Conv", ["image", "patches"], "cells", {"strides": [4, 4]}),
        ("Shape", ["cells"], "cells_hw", {"start": 2}),
        ("Slice", ["table", "zeros", "cells_hw", "axes"], "positions", {}),
        ("Add", ["cells", "positions"], "features", {}),
    ]
    constants = {
        "patches": rng.normal(0, 1, (6, 3, 4, 4)).astype(np.float32),
        "table": rng.normal(0, 1, (1, 6, cells, cells)).astype(np.float32),
        "zeros": np.zeros(2, np.int64),
        "axes": np.array([2, 3]),
        "channels": np.array(6),
    }
    return network(nodes, constants, size)


def with_token_positions(tokens: int) -> onnx.ModelProto:
    """The table goes by the number of all patches."""
    rng = np.random.default_rng(2)
    nodes: list[Node] = [
        ("Conv", ["image", "patches"], "cells", {"strides": [4, 4]}),
        ("Shape", ["cells"], "cells_shape", {}),
        ("Reshape", ["cells", "flat"], "tokens", {}),
        ("Shape", ["tokens"], "count", {"start": 2}),
        ("Slice", ["table", "zero", "count", "axis"], "positions", {}),
        ("Add", ["tokens", "positions"], "placed", {}),
        ("Reshape", ["placed", "cells_shape"], "features", {}),
    ]
    constants = {
        "patches": rng.normal(0, 1, (6, 3, 4, 4)).astype(np.float32),
        "table": rng.normal(0, 1, (1, 6, tokens)).astype(np.float32),
        "flat": np.array([0, 6, -1]),
        "zero": np.zeros(1, np.int64),
        "axis": np.array([2]),
        "channels": np.array(6),
    }
    return network(nodes, constants)


def open_spec(resize: ResizePolicy | None = None) -> ModelSpec:
    spec = tiny_spec(height=None, width=None)
    return replace(spec, preprocessing=replace(spec.preprocessing, resize=resize or Native()))


def found(
    export: onnx.ModelProto,
    size: tuple[str | int, str | int] = OPEN,
    resize: ResizePolicy | None = None,
) -> NetworkSizes:
    spec = open_spec(resize)
    truth = ExportTruth(export, spec, kind="scores", threshold=0.0)
    height, width = (side if isinstance(side, int) else None for side in size)
    return find_sizes(truth, (height, width), spec.preprocessing.resize)


def runs(export: onnx.ModelProto, size_hw: Size) -> bool:
    """Whether ONNX Runtime runs the export on a picture of a size."""
    try:
        run_onnx(export, np.zeros((1, 3, *size_hw), np.float32))
    except (Fail, InvalidArgument, RuntimeException):
        return False
    return True


def check_asked_at_its_limits(export: onnx.ModelProto, sizes: NetworkSizes) -> None:
    """Each limit is the export's own: it runs there, and not beyond."""
    least, step = sizes.nearest((1, 1))[0], sizes.multiple_of
    assert runs(export, (least, least))
    assert runs(export, (least + step, least + 3 * step))
    assert step == 1 or not runs(export, (least + 1, least + step))
    assert least == step or not runs(export, (least - step, least))
    if sizes.at_most_hw is not None:
        height, width = sizes.at_most_hw
        assert runs(export, (height, width))
        assert not runs(export, (height + step, width))
        assert not runs(export, (height, width + step))


@pytest.mark.parametrize("least", [2, 40, 62, 80, 100, 200, 450, 600])
def test_a_least_size_is_no_divisor(least: int) -> None:
    export = needing(least, 1)
    sizes = found(export)
    assert sizes == NetworkSizes(at_least=least)
    check_asked_at_its_limits(export, sizes)


@pytest.mark.parametrize("export", [reflecting(61), pooling(62)], ids=["reflection", "window"])
def test_a_least_size_has_many_causes(export: onnx.ModelProto) -> None:
    sizes = found(export)
    assert sizes == NetworkSizes(at_least=62)
    check_asked_at_its_limits(export, sizes)


@pytest.mark.parametrize("multiple", [7, 11, 14, 32, 49, 70, 112, 224, 256])
def test_a_divisor_is_no_least_size(multiple: int) -> None:
    export = needing(2, multiple)
    sizes = found(export)
    assert sizes == NetworkSizes(multiple_of=multiple)
    check_asked_at_its_limits(export, sizes)


@pytest.mark.parametrize(
    ("least", "multiple", "at_least"),
    [(62, 16, 64), (70, 13, 78), (100, 7, 105), (100, 8, 104), (224, 32, 224), (300, 11, 308),
     (300, 32, 320), (600, 14, 602)],
)  # fmt: skip
def test_a_divisor_and_a_least_size_are_told_apart(
    least: int, multiple: int, at_least: int
) -> None:
    export = needing(least, multiple)
    sizes = found(export)
    assert sizes == NetworkSizes(multiple_of=multiple, at_least=at_least)
    check_asked_at_its_limits(export, sizes)


@pytest.mark.parametrize("least", [2, 62, 600])
def test_few_large_pictures_are_asked(least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All together cost what a handful of pictures of 1024x2048 would."""
    pixels = []
    run = ExportTruth.run

    def counted(truth: ExportTruth, batch_nchw: np.ndarray) -> np.ndarray:
        pixels.append(batch_nchw.shape[2] * batch_nchw.shape[3])
        return run(truth, batch_nchw)

    monkeypatch.setattr(ExportTruth, "run", counted)
    found(needing(least, 1))
    assert max(pixels) <= 1024 * 1024
    assert sum(pixels) <= (5 if least > 100 else 1) * 1024 * 2048


def test_an_export_of_squares_is_not_said_to_take_multiples() -> None:
    turned: list[Node] = [
        ("Transpose", ["image"], "turned", {"perm": [0, 1, 3, 2]}),
        ("Add", ["image", "turned"], "features", {}),
    ]
    with pytest.raises(OnnxModelError, match=r"takes 224x224, expected it to take 224x448 too"):
        found(network(turned, {}))


@pytest.mark.parametrize("cells", [75, 100, 128])
def test_a_most_is_found_where_the_gates_own_size_is_too_large(cells: int) -> None:
    """The last patch that fits may have up to three pixels behind it."""
    export = with_positions(cells)
    sizes = found(export)
    assert sizes == NetworkSizes(at_least=4, at_most_hw=(cells * 4 + 3, cells * 4 + 3))
    check_asked_at_its_limits(export, sizes)


def test_no_most_is_asked_for_where_that_is_taken() -> None:
    assert found(with_positions(256)).at_most_hw is None
    resize = KeepRatio(long_side=300, short_side=200)
    assert found(with_positions(100), resize=resize).at_most_hw is None


def test_a_most_of_all_pixels_has_the_shape_of_the_gates() -> None:
    export = with_token_positions(8192)
    height, width = found(export).at_most_hw or (0, 0)
    assert runs(export, (height, width))
    assert not runs(export, (height + 8, width + 16))
    assert width == pytest.approx(2 * height, abs=4)


def test_a_most_is_a_size_that_padding_leads_to() -> None:
    assert found(with_positions(100), resize=Native(size_divisor=32)).at_most_hw == (384, 384)


def test_the_gates_noise_is_of_a_size_that_is_taken(tmp_path: Path) -> None:
    """The mask served is the export's own, at the largest size; a larger one is refused."""
    path = tmp_path / "export.onnx"
    onnx.save(with_positions(100), path)
    image_hwc = np.random.default_rng(1).integers(0, 256, (403, 90, 3)).astype(np.uint8)
    spec = open_spec()
    report, actual_hw = build_and_segment(spec, path, image_hwc, tmp_path)
    expected_hw, stable_hw = own_mask(path, spec, image_hwc)
    assert (actual_hw == expected_hw)[stable_hw].all()
    assert report.gate.verdict == "passed"
    assert (403, 403) not in report.proof.sizes_hw  # (256, 512) is (256, 403), and so on
    assert {(256, 403), (17, 403)} <= set(report.proof.sizes_hw)
    assert "of at most 403x403 (height x width)" in str(report.pictures)
    sizes = found(onnx.load(path))
    choice = PictureChoice(BuildOptions(), path, sizes)
    assert choice.for_gate("fp32")[0].image_hwc.shape == (403, 403, 3)
    refusal = sizes.refusal(Geometry((404, 90), (404, 90), (404, 90)))
    assert "at most 403x403 (height x width), got 404x90; shrink the picture" in str(refusal)


def test_a_plan_takes_no_more_than_its_network() -> None:
    sizes = NetworkSizes(multiple_of=4, at_most_hw=(400, 4096))
    assert plan_sizes(sizes) == replace(sizes, at_least=32, at_most_hw=(400, 2048))
    assert plan_sizes(NetworkSizes()).at_most_hw == (1024, 2048)


@pytest.mark.parametrize(
    ("export", "size", "remark", "refused_hw", "refusal"),
    [
        (
            needing(2, 32, (64, "w")), (64, "w"),
            "of 64xany only, a size that is fixed, and whose width is a multiple of 32; "
            "resize: {policy: native, size_divisor: 32} pads others; resize: {policy: stretch}",
            (64, 97), "whose width is a multiple of 32, got 64x97; pad the picture, or build",
        ),
        (
            needing(70, 10, ("h", 150)), ("h", 150),
            "of anyx150 only, a size that is fixed, and whose height is a multiple of 10; "
            "resize: {policy: native, size_divisor: 10} pads others, and of at least 70 pixels in "
            "height; resize: {policy: stretch}",
            (60, 150), "of at least 70 pixels in height, got 60x150; enlarge",
        ),
        (
            with_positions(100, ("h", 64)), ("h", 64),
            "of anyx64 only, a size that is fixed, and of at least 4 pixels in height, and "
            "of at most 403x64 (height x width); resize: {policy: stretch}",
            (404, 64), "of at most 403x64 (height x width), got 404x64; shrink",
        ),
    ],
)  # fmt: skip
def test_limits_of_one_open_side_are_said(
    export: onnx.ModelProto,
    size: tuple[str | int, str | int],
    remark: str,
    refused_hw: Size,
    refusal: str,
) -> None:
    sizes = found(export, size)
    assert str(size_remark(open_spec(), sizes)).startswith(f"takes pictures {remark}")
    assert not runs(export, refused_hw)
    assert refusal in str(sizes.refusal(Geometry(refused_hw, refused_hw, refused_hw)))


def test_a_fixed_side_below_the_least_of_the_other_is_not_meant() -> None:
    """64 rows are all that there are; it is the columns that are no multiple."""
    sizes = NetworkSizes(height=64, multiple_of=3, at_least=99)
    refusal = str(sizes.refusal(Geometry((64, 100), (64, 100), (64, 100))))
    assert refusal.endswith("whose width is a multiple of 3, got 64x100; pad the picture")


@pytest.mark.parametrize(
    ("sizes", "policy", "advice"),
    [
        (NetworkSizes(at_most_hw=(403, 403)), KeepRatio(long_side=600, short_side=300), "smaller"),
        (NetworkSizes(at_least=99), KeepRatio(long_side=90, short_side=60), "larger"),
    ],
)
def test_where_the_policy_settles_the_size_it_is_what_to_change(
    sizes: NetworkSizes, policy: ResizePolicy, advice: str
) -> None:
    refusal = str(sizes.refusal(policy.geometry((100, 200))))
    assert refusal.endswith(f"; build the model with a resize policy of {advice} bounds")


def test_a_pooling_that_leaves_nothing_does_not_end_the_process(tmp_path: Path) -> None:
    """In a process of its own, which ONNX Runtime's blocked convolutions would take along."""
    rng = np.random.default_rng(0)
    constants = {
        "first": rng.normal(0, 0.3, (16, 3, 3, 3)).astype(np.float32),
        "second": rng.normal(0, 0.3, (16, 16, 1, 1)).astype(np.float32),
        "channels": np.array(16),
    }
    nodes: list[Node] = [
        ("Conv", ["image", "first"], "convolved", {"strides": [2, 2], "pads": [1] * 4}),
        ("MaxPool", ["convolved"], "pooled", {"kernel_shape": [3, 3], "strides": [2, 2]}),
        ("Conv", ["pooled", "second"], "features", {}),
    ]
    onnx.save(network(nodes, constants), tmp_path / "export.onnx")
    program = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[2]);"
        "from tiny_models import tiny_spec;"
        "from tritonseg_engines.build.prepare import prepare_network;"
        "spec = tiny_spec(height=None, width=None);"
        "print(prepare_network(spec, pathlib.Path(sys.argv[1])).sizes.at_least)"
    )
    support = Path(tiny_models.__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "export.onnx"), str(support)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 3


def test_an_export_of_one_size_that_says_any_is_served_at_that(tmp_path: Path) -> None:
    """A position embedding of 64x96 cells, folded, in a file whose axes are open."""
    table = np.random.default_rng(2).normal(0, 1, (1, 3, 64, 96)).astype(np.float32)
    export = network([("Add", ["image", "table"], "features", {})], {"table": table})
    path = tmp_path / "export.onnx"
    onnx.save(export, path)
    with pytest.raises(OnnxModelError, match=r"give input\.height and input\.width"):
        prepare_network(tiny_spec(height=None, width=None), path)
    prepared = prepare_network(tiny_spec(height=64, width=96), path)
    assert prepared.sizes.fixed_hw == (64, 96)
    image_hwc = np.random.default_rng(3).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    expected_hw, stable_hw = own_mask(path, tiny_spec(), image_hwc)
    _, actual_hw = build_and_segment(tiny_spec(height=64, width=96), path, image_hwc, tmp_path)
    np.testing.assert_array_equal(actual_hw[stable_hw], expected_hw[stable_hw])
