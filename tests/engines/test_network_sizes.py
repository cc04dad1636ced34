"""Sizes that a network takes are found at build time, and others are refused in words or padded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from branching_network import STRIDE, branching_network
from served_map import build_and_segment
from tiny_models import CLASSES, SIZES, TinyModel, run_onnx, tiny_spec
from tritonseg_engines.build import batch_axis
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.resize_policy import KeepRatio, Native, Stretch


def saved(path: Path, **changes: str | int) -> Path:
    onnx.save(branching_network(**changes), path)
    return path


@pytest.fixture
def open_spec() -> Callable[..., object]:
    def make(resize: object = None) -> object:
        spec = tiny_spec(height=None, width=None)
        if resize is None:
            return spec
        return replace(spec, preprocessing=replace(spec.preprocessing, resize=resize))

    return make


def test_a_limit_is_found_and_said(tmp_path: Path, open_spec: Callable[..., object]) -> None:
    export = saved(tmp_path / "export.onnx")
    image_hwc = np.random.default_rng(1).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    report, _ = build_and_segment(open_spec(), export, image_hwc, tmp_path)
    assert report.proof.sizes_hw == ((256, 512), (104, 136), (64, 200), (24, 640), (112, 128))
    assert report.pictures == (
        "takes pictures whose height and width are multiples of 8; resize: {policy: native, "
        "size_divisor: 8} pads others"
    )


def test_a_divisor_pads_and_crops(tmp_path: Path, open_spec: Callable[..., object]) -> None:
    """The mask is the export's own on the padded picture, cropped."""
    export = saved(tmp_path / "export.onnx")
    image_hwc = np.random.default_rng(1).integers(0, 256, (61, 90, 3)).astype(np.uint8)
    spec = open_spec(Native(size_divisor=STRIDE))
    report, actual_hw = build_and_segment(spec, export, image_hwc, tmp_path)
    padded = np.zeros((1, 3, 64, 96), np.float32)
    padded[0, :, :61, :90] = ((image_hwc.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)
    scores = run_onnx(onnx.load(export), padded)[0, :, :61, :90]
    assert np.array_equal(actual_hw, scores.argmax(axis=0))
    assert report.pictures is None
    assert (64, 200) in report.proof.sizes_hw
    assert report.proof.other_size.network_hw == (256, 512)


def test_a_file_of_one_height_is_for_pictures_of_that(
    tmp_path: Path, open_spec: Callable[..., object]
) -> None:
    prepared = prepare_network(open_spec(), saved(tmp_path / "export.onnx", height=64))
    assert prepared.sizes.input_hw == (64, None)
    assert prepared.sizes.multiple_of == STRIDE


@pytest.mark.parametrize("margin", [9, 384])
def test_a_least_size_is_found(
    margin: int, tmp_path: Path, open_spec: Callable[..., object]
) -> None:
    """Reflection takes as many pixels from inside as it adds, besides the one at the edge."""
    model = TinyModel(size_hw=(None, None)).model()
    pads = np.array([0, 0, margin, margin] * 2, np.int64)
    model.graph.initializer.append(numpy_helper.from_array(pads, "pads"))
    model.graph.node.insert(
        0, helper.make_node("Pad", ["image", "pads"], ["padded"], mode="reflect")
    )
    model.graph.node[1].input[0] = "padded"
    del model.graph.output[0].type.tensor_type.shape.dim[2:]
    for name in "yx":
        model.graph.output[0].type.tensor_type.shape.dim.add().dim_param = name
    path = tmp_path / "export.onnx"
    onnx.save(model, path)
    assert prepare_network(open_spec(), path).sizes.at_least == margin + 1


def test_a_policy_that_leads_nowhere_is_refused(
    tmp_path: Path, open_spec: Callable[..., object]
) -> None:
    export = saved(tmp_path / "export.onnx")
    with pytest.raises(OnnxModelError, match="the network cannot be run: Concat"):
        prepare_network(open_spec(Stretch(height=60, width=100)), export)


@pytest.mark.parametrize(
    ("sizes", "got_hw", "words"),
    [
        (NetworkSizes(), (1, 1), None),
        (SIZES, (64, 96), None),
        (SIZES, (64, 97), "pictures of 64x96"),
        (NetworkSizes(height=64), (64, 5), None),
        (NetworkSizes(height=64), (65, 5), "pictures of 64xany"),
        (NetworkSizes(multiple_of=32), (96, 64), None),
        (NetworkSizes(multiple_of=32), (97, 64), "multiples of 32, got 97x64"),
        (NetworkSizes(at_least=40), (40, 39), "at least 40 pixels in height and width, got 40x39"),
        (NetworkSizes(at_most_hw=(64, 64)), (64, 65), "at most 64x64"),
    ],
)
def test_what_is_not_taken_is_said(
    sizes: NetworkSizes, got_hw: tuple[int, int], words: str | None
) -> None:
    refusal = sizes.refusal(Geometry(got_hw, got_hw, got_hw))
    assert refusal is None if words is None else words in str(refusal)
    assert NetworkSizes.from_json(sizes.to_json()) == sizes
    assert sizes.nearest(sizes.nearest(got_hw)) == sizes.nearest(got_hw)


def test_the_ratio_is_kept_and_padded() -> None:
    geometry = KeepRatio(long_side=100, short_side=50, size_divisor=32).geometry((40, 120))
    assert geometry == Geometry((40, 120), (33, 100), (64, 128))


@pytest.mark.parametrize("batch", ["N", 1, 2, 4])
def test_a_fixed_batch_is_opened(
    batch: str | int, tmp_path: Path, open_spec: Callable[..., object]
) -> None:
    prepared = prepare_network(open_spec(), saved(tmp_path / "export.onnx", batch=batch))
    assert prepared.max_batch is None
    pair = np.random.default_rng(2).normal(0, 1, (3, 3, 32, 40)).astype(np.float32)
    together = run_onnx(prepared.network, pair)
    alone = np.concatenate([run_onnx(prepared.network, one[None]) for one in pair])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("batch", "refused"), [(1, False), (2, True)])
def test_a_batch_that_cannot_be_opened(batch: int, refused: bool, tmp_path: Path) -> None:
    """A Reshape to constants says the number of pictures once more."""
    model = TinyModel().model()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = batch
    model.graph.node[-1].output[0] = "scores"
    shape = np.array([batch, CLASSES, 16, 24], np.int64)
    model.graph.initializer.append(numpy_helper.from_array(shape, "shape"))
    model.graph.node.append(helper.make_node("Reshape", ["scores", "shape"], ["output"]))
    path = tmp_path / "export.onnx"
    onnx.save(model, path)
    if refused:
        with pytest.raises(OnnxModelError, match="takes 2 pictures at a time"):
            prepare_network(tiny_spec(), path)
    else:
        assert prepare_network(tiny_spec(), path).max_batch == 1


@pytest.mark.parametrize("mean", [127.5, 0.0])
@pytest.mark.parametrize("batch", ["N", 1, 4])
@pytest.mark.parametrize("statistic", ["ReduceMean", "ReduceMax"])
def test_statistics_of_the_whole_batch_are_found(
    statistic: str, batch: str | int, mean: float, tmp_path: Path
) -> None:
    """Of a picture and the same turned around they are what they are of it alone.

    Where no value is negative, the picture's largest may be that of both, but is not the other's.
    """
    model = TinyModel().model()
    for value in (model.graph.input[0], model.graph.output[0]):
        dim = value.type.tensor_type.shape.dim[0]
        dim.Clear()
        setattr(dim, "dim_param" if batch == "N" else "dim_value", batch)
    model.graph.node[0].input[0] = "normalized"
    nodes = [
        helper.make_node("Abs", ["image"], ["size"]),
        helper.make_node(statistic, ["size"], ["of_all"], axes=[0, 1, 2, 3], keepdims=1),
        helper.make_node("Sub", ["image", "of_all"], ["normalized"]),
    ]
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    path = tmp_path / "export.onnx"
    onnx.save(model, path)
    spec = of_mean(mean)
    if batch == 1:
        assert prepare_network(spec, path).max_batch == 1
    else:
        with pytest.raises(OnnxModelError, match="depends on chance or on the batch"):
            prepare_network(spec, path)


def of_mean(mean: float) -> ModelSpec:
    spec = tiny_spec()
    return replace(spec, preprocessing=replace(spec.preprocessing, mean=(mean,) * 3))


def rounded_by_scale(place: str) -> onnx.ModelProto:
    """A network of one picture whose image is rounded to 8 bits by its own largest value."""
    model = TinyModel().model()
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["image"], ["codes", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["rounded"]),
    ]
    if place == "function":
        opsets = [helper.make_opsetid("", 17)]
        model.functions.append(
            helper.make_function("own", "Round", ["image"], ["rounded"], nodes, opsets)
        )
        model.opset_import.append(helper.make_opsetid("own", 1))
        nodes = [helper.make_node("Round", ["image"], ["rounded"], domain="own")]
    if place == "branch":
        made = [helper.make_empty_tensor_value_info("rounded")]
        same = helper.make_node("Identity", ["image"], ["same"])
        otherwise = helper.make_graph(
            [same], "else", [], [helper.make_empty_tensor_value_info("same")]
        )
        nodes = [
            helper.make_node("ReduceMax", ["image"], ["largest"], keepdims=0),
            helper.make_node("Greater", ["largest", "nothing"], ["bright"]),
            helper.make_node(
                "If", ["bright"], ["rounded"],
                then_branch=helper.make_graph(nodes, "then", [], made), else_branch=otherwise,
            ),
        ]  # fmt: skip
        nothing = numpy_helper.from_array(np.array(0, np.float32), "nothing")
        model.graph.initializer.append(nothing)
    model.graph.node[0].input[0] = "rounded"
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


@pytest.mark.parametrize("place", ["graph", "branch", "function"])
@pytest.mark.parametrize("noticed", [True, False])
def test_scales_of_a_batch_keep_it_closed(
    noticed: bool, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not two pictures show it: their values may be much the same."""
    export = rounded_by_scale(place)
    path = tmp_path / "export.onnx"
    onnx.save(export, path)
    if not noticed:
        monkeypatch.setattr(batch_axis, "same_together", lambda *outputs: True)
    prepared = prepare_network(of_mean(0.0), path)
    assert prepared.max_batch == 1
    assert prepared.network.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    pair = np.random.default_rng(2).uniform(0, 1, (2, 3, 64, 96)).astype(np.float32)
    pair[0] *= 100
    for value in (export.graph.input[0], export.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    together = run_onnx(export, pair)[1:]
    assert not np.allclose(together, run_onnx(export, pair[1:]), rtol=1e-2)
