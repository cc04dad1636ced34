"""The steps in the graph: the masks that torch gives in float64, in both runtimes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from fused_graph import fuse
from residual_network import residual_network, residual_spec, smooth_batch
from tiny_models import ARGMAX, RESIZE, RESIZE_CORNERS, SIZE_HW, STRIDE, TinyModel, tiny_spec
from tritonseg_engines.build import fuse_check
from tritonseg_engines.build.fuse_check import fixed_sizes, fuse_and_check, without_resize
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.build.prepared import Prepared
from tritonseg_engines.errors import OnnxModelError, SpecificationError
from tritonseg_engines.graph.fuse import FUSED_PREFIX, fuse_steps
from tritonseg_engines.precision import (
    Converted,
    Int8Conversion,
    convert_to_half,
    lint,
    tensorrt_releases,
)
from tritonseg_engines.running.networks import infer_in_onnx_runtime, infer_in_openvino
from tritonseg_engines.running.pictures import smooth_noise
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.target import BuildTarget
from tritonseg_steps.preprocessing import Preprocessing
from tritonseg_steps.resampling import Resampling
from tritonseg_steps.resize_policy import FitPad, KeepRatio, Native, Stretch

ODD_HW = (67, 101)
"""No multiple of the stride, so that heights and widths are scaled by different odd factors."""
CITYSCAPES = Preprocessing(mean=(123.675, 116.28, 103.53), scale=(58.395, 57.12, 57.375))
BGR = replace(CITYSCAPES, color_order="BGR")

Fuse = Callable[..., onnx.ModelProto]


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[..., Prepared]:
    def prepare(model: TinyModel, spec: ModelSpec) -> Prepared:
        onnx.save(model.model(), tmp_path / "export.onnx")
        return prepare_network(spec, tmp_path / "export.onnx")

    return prepare


def spec_of(
    model: TinyModel, preprocessing: Preprocessing = CITYSCAPES, **more: object
) -> ModelSpec:
    height, width = model.size_hw
    spec = tiny_spec(classes=more.pop("classes", model.classes), height=height, width=width, **more)
    return replace(spec, preprocessing=preprocessing)


def pixels(size_hw: tuple[int, int], count: int = 2) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, *size_hw, 3)).astype(np.uint8)


def upsampled_scores(
    model: TinyModel,
    preprocessing: Preprocessing,
    images_nhwc: np.ndarray,
    *,
    align_corners: bool = False,
    sigmoid: bool = False,
) -> np.ndarray:
    """`(N, C, H, W)` by torch, in float64."""
    torch = pytest.importorskip("torch", reason="the reference is computed by torch")
    normalized = (images_nhwc - np.array(preprocessing.mean)) / np.array(preprocessing.scale)
    if preprocessing.color_order == "BGR":
        normalized = normalized[..., ::-1]
    batch = torch.from_numpy(np.ascontiguousarray(normalized.transpose(0, 3, 1, 2)))
    (weight,) = (v for v in model.model().graph.initializer if v.name == "weight")
    kernel = torch.from_numpy(numpy_helper.to_array(weight).astype(np.float64))
    scores = torch.nn.functional.conv2d(batch, kernel, stride=STRIDE)
    if sigmoid:
        scores = scores.sigmoid()
    size_hw = images_nhwc.shape[1:3]
    return torch.nn.functional.interpolate(
        scores, size_hw, mode="bilinear", align_corners=align_corners
    ).numpy()


def in_both_runtimes(fused: onnx.ModelProto, images_nhwc: np.ndarray) -> list[np.ndarray]:
    with infer_in_openvino(fused, "fp32") as infer:
        return [infer_in_onnx_runtime(fused)(images_nhwc), infer(images_nhwc).copy()]


@pytest.mark.parametrize("classes", [2, 19, 255])
@pytest.mark.parametrize("size_hw", [SIZE_HW, ODD_HW])
@pytest.mark.parametrize("preprocessing", [CITYSCAPES, BGR], ids=["RGB", "BGR"])
def test_the_class_map_is_torchs(
    preprocessing: Preprocessing,
    size_hw: tuple[int, int],
    classes: int,
    prepare: Callable[..., Prepared],
) -> None:
    model = TinyModel(classes=classes, size_hw=size_hw)
    fused = fuse(prepare(model, spec_of(model, preprocessing)))
    images_nhwc = pixels(size_hw)
    expected = upsampled_scores(model, preprocessing, images_nhwc).argmax(axis=1)
    for actual in in_both_runtimes(fused, images_nhwc):
        assert (actual.dtype, actual.shape) == (np.uint8, expected.shape)
        assert (actual == expected).mean() >= 0.9995


def test_of_an_old_file_that_lists_its_weights_as_inputs_the_picture_stays(
    prepare: Callable[..., Prepared],
) -> None:
    model = TinyModel()
    prepared = prepare(model, spec_of(model))
    network = onnx.ModelProto()
    network.CopyFrom(prepared.network)
    network.graph.input.extend(
        onnx.helper.make_tensor_value_info(value.name, value.data_type, list(value.dims))
        for value in network.graph.initializer
    )
    fused, expected = fuse(prepared, network), fuse(prepared)
    assert [value.name for value in fused.graph.input] == ["IMAGE"]
    images_nhwc = pixels(SIZE_HW)
    class_maps = [infer_in_onnx_runtime(graph)(images_nhwc) for graph in (fused, expected)]
    assert np.array_equal(*class_maps)


def test_corners_are_aligned_where_the_export_aligned_them(
    prepare: Callable[..., Prepared],
) -> None:
    model = TinyModel(tail=[RESIZE_CORNERS, ARGMAX])
    fused = fuse(prepare(model, spec_of(model)))
    images_nhwc = pixels(SIZE_HW)
    aligned, other = (
        upsampled_scores(model, CITYSCAPES, images_nhwc, align_corners=corners).argmax(axis=1)
        for corners in (True, False)
    )
    for actual in in_both_runtimes(fused, images_nhwc):
        assert (actual == aligned).mean() >= 0.9995
        assert (actual == other).mean() < 0.95


@pytest.mark.parametrize("sigmoid", [False, True], ids=["score", "sigmoid"])
def test_one_score_is_compared_with_its_threshold(
    sigmoid: bool, prepare: Callable[..., Prepared]
) -> None:
    model = TinyModel(classes=1, tail=[("Sigmoid", {})] if sigmoid else [])
    fused = fuse(prepare(model, spec_of(model, kind="binary", classes=2)))
    images_nhwc = pixels(SIZE_HW)
    scores = upsampled_scores(model, CITYSCAPES, images_nhwc, sigmoid=sigmoid)[:, 0]
    for actual in in_both_runtimes(fused, images_nhwc):
        assert (actual == (scores > (0.5 if sigmoid else 0))).mean() >= 0.9995


@pytest.mark.parametrize("size_hw", [SIZE_HW, ODD_HW])
def test_a_network_that_gives_classes_is_upsampled_to_the_nearest(
    size_hw: tuple[int, int], prepare: Callable[..., Prepared]
) -> None:
    model = TinyModel(tail=[ARGMAX], size_hw=size_hw)
    prepared = prepare(model, spec_of(model, kind="class_map", upsampling="export"))
    images_nhwc = pixels(size_hw)
    normalized = (images_nhwc - np.array(CITYSCAPES.mean)) / np.array(CITYSCAPES.scale)
    batch_nchw = np.ascontiguousarray(normalized.transpose(0, 3, 1, 2), np.float32)
    classes = infer_in_onnx_runtime(model.model())(batch_nchw)
    rows, columns = (
        np.floor((np.arange(size) + 0.5) * cells / size).astype(int)
        for size, cells in zip(size_hw, classes.shape[1:], strict=True)
    )
    expected = classes[:, rows[:, None], columns]
    for actual in in_both_runtimes(fuse(prepared), images_nhwc):
        assert (actual == expected).mean() >= 0.999


def test_a_full_size_class_map_needs_no_resize(prepare: Callable[..., Prepared]) -> None:
    model = TinyModel(tail=[RESIZE, ARGMAX])
    prepared = prepare(model, spec_of(model, kind="class_map", upsampling="export"))
    fused = fuse(prepared)
    assert [node.op_type for node in fused.graph.node].count("Resize") == 1
    images_nhwc = pixels(SIZE_HW)
    expected = upsampled_scores(model, CITYSCAPES, images_nhwc).argmax(axis=1)
    for actual in in_both_runtimes(fused, images_nhwc):
        assert (actual == expected).mean() >= 0.9995


def test_ties_go_to_the_lower_class_in_both_runtimes(prepare: Callable[..., Prepared]) -> None:
    """A grey picture of the mean: every score is 0."""
    model = TinyModel(classes=19)
    flat = Preprocessing(mean=(128.0,) * 3, scale=(64.0,) * 3)
    images_nhwc = np.full((1, *SIZE_HW, 3), 128, np.uint8)
    for actual in in_both_runtimes(fuse(prepare(model, spec_of(model, flat))), images_nhwc):
        assert not actual.any()


@pytest.mark.parametrize("opset", [11, 12, 13, 18, 21])
def test_every_opset_that_exports_come_in(opset: int, prepare: Callable[..., Prepared]) -> None:
    model = TinyModel(opset=opset)
    fused = fuse(prepare(model, spec_of(model)))
    images_nhwc = pixels(SIZE_HW)
    expected = upsampled_scores(model, CITYSCAPES, images_nhwc).argmax(axis=1)
    for actual in in_both_runtimes(fused, images_nhwc):
        assert (actual == expected).mean() >= 0.9995


def test_an_export_may_have_our_own_names(tmp_path: Path) -> None:
    """NHWC keeps the old input's name inside the graph, a class map the old output's."""
    model = TinyModel(tail=[RESIZE, ARGMAX], layout="NHWC").model()
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = {"image": "IMAGE", "output": "CLASS_MAP"}.get(name, name)
    model.graph.input[0].name, model.graph.output[0].name = "IMAGE", "CLASS_MAP"
    onnx.save(model, tmp_path / "export.onnx")
    spec = tiny_spec(kind="class_map", input_name="IMAGE", layout="NHWC", upsampling="export")
    spec = replace(spec, output=replace(spec.output, name="CLASS_MAP"))
    prepared = prepare_network(spec, tmp_path / "export.onnx")
    fused = fuse(prepared)
    images_nhwc = pixels(SIZE_HW)
    normalized = ((images_nhwc - 127.5) / 127.5).astype(np.float32)
    expected = infer_in_onnx_runtime(model)(normalized)
    for actual in in_both_runtimes(fused, images_nhwc):
        assert (actual == expected).mean() >= 0.999


def converted(precision: str) -> Converted:
    """`residual_network` in a precision; "int8" as OpenVINO, "int8, fp16" as TensorRT takes it."""
    network = residual_network()

    def batches() -> list[np.ndarray]:
        return [smooth_batch(seed) for seed in range(4)]

    if precision == "fp32":
        return Converted(model=network, kept_float={})
    if precision == "fp16":
        return convert_to_half(network, batches)
    int8 = Int8Conversion(
        network, batches, 4, calibrator="percentile", half_rest=precision != "int8"
    )
    return int8.convert(int8.layers)


PRECISIONS = ("fp32", "fp16", "int8", "int8, fp16")


@pytest.fixture
def residual(tmp_path: Path) -> Prepared:
    onnx.save(residual_network(), tmp_path / "residual.onnx")
    return prepare_network(residual_spec(), tmp_path / "residual.onnx")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_engines_are_built_from_stays_as_it_was(precision: str, residual: Prepared) -> None:
    """No rule but the one about the steps' own boundary, and the same TensorRT releases."""
    network = converted(precision)
    fused = fuse(residual, network.model)
    added = {node.name for node in fused.graph.node if node.name.startswith(FUSED_PREFIX)}
    assert len(added) == len(fused.graph.node) - len(network.model.graph.node) == 14
    kept = {*network.kept_float, *added}
    findings = lint(fused, kept_float=kept, releases=())
    assert {finding.rule for finding in findings} == {"boundary"}
    opset = fused.opset_import[0].version
    releases = tensorrt_releases({node.op_type for node in fused.graph.node}, opset)
    assert releases == tensorrt_releases({n.op_type for n in network.model.graph.node}, opset)
    assert releases


@pytest.mark.parametrize("precision", PRECISIONS)
def test_bytes_stand_at_the_border_only_beside_a_cast_of_float(
    precision: str, residual: Prepared
) -> None:
    """Source: TensorRT's `DataType.UINT8`: converted from and to float32 and float16 only."""
    graph = onnx.shape_inference.infer_shapes(fuse(residual, converted(precision).model)).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    bytes_ = {name for name, element in types.items() if element == TensorProto.UINT8}
    assert bytes_ == {"IMAGE", "CLASS_MAP"}
    beside = [node for node in graph.node if bytes_ & {*node.input, *node.output}]
    assert [node.op_type for node in beside] == ["Cast", "Cast"]
    others = {name for node in beside for name in (*node.input, *node.output)} - bytes_
    assert {types[name] for name in others} == {TensorProto.FLOAT}


@pytest.mark.parametrize("runtime", ["openvino", "tensorrt"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_fusing_changes_no_mask(precision: str, runtime: str, residual: Prepared) -> None:
    network = converted(precision).model
    pictures = smooth_noise((64, 96), 6)
    target = BuildTarget.of(precision[:4], runtime)
    fused, equal = fuse_and_check(residual, network, pictures, target)
    assert equal >= 0.9999
    assert [value.name for value in (*fused.graph.input, *fused.graph.output)] == [
        "IMAGE",
        "CLASS_MAP",
    ]


def test_a_fused_graph_that_differs_is_refused(
    residual: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_wrong_order(
        network: onnx.ModelProto, spec: Preprocessing, *more: object, **sizes: object
    ):
        return fuse_steps(network, replace(spec, color_order="BGR"), *more, **sizes)

    monkeypatch.setattr(fuse_check, "fuse_steps", in_wrong_order)
    with pytest.raises(OnnxModelError, match=r"changes \d+\.\d+% of the pixels.*--layout ensemble"):
        fuse_and_check(residual, residual.network, smooth_noise((64, 96), 1), BuildTarget.of())


def test_pictures_of_another_size_are_compared_at_the_networks(residual: Prepared) -> None:
    spec = replace(
        residual.spec,
        preprocessing=replace(residual.spec.preprocessing, resize=FitPad(height=64, width=96)),
    )
    _, equal = fuse_and_check(
        replace(residual, spec=spec),
        residual.network,
        smooth_noise((50, 130), 2),
        BuildTarget.of(),
    )
    assert equal >= 0.9999


@pytest.mark.parametrize(
    "resize",
    [
        Native(),
        Stretch(height=64, width=96),
        FitPad(height=64, width=96),
        KeepRatio(long_side=96, short_side=64),
    ],
    ids=lambda resize: resize.policy,
)
def test_a_policy_that_leaves_the_networks_size_alone_can_be_fused(
    resize: Native | Stretch | FitPad | KeepRatio, residual: Prepared
) -> None:
    preprocessing = replace(
        residual.spec.preprocessing,
        resize=resize,
        resampling=Resampling(antialias=True, after_normalization=True),
    )
    prepared = replace(residual, spec=replace(residual.spec, preprocessing=preprocessing))
    assert fixed_sizes(prepared).image_hw == (64, 96)
    assert fixed_sizes(prepared).scores_hw == (16, 24)
    document = without_resize(prepared.spec).preprocessing.to_json()
    assert document["resize"] == {"policy": "native", "size_divisor": 1}
    assert "resampling" not in document


@pytest.mark.parametrize("after_normalization", [False, True])
def test_a_policy_that_would_resize_is_refused(
    residual: Prepared, after_normalization: bool
) -> None:
    preprocessing = replace(
        residual.spec.preprocessing,
        resize=KeepRatio(long_side=48, short_side=32),
        resampling=Resampling(after_normalization=after_normalization),
    )
    prepared = replace(residual, spec=replace(residual.spec, preprocessing=preprocessing))
    with pytest.raises(SpecificationError, match=r"'keep_ratio' makes 32x48 of .* size 64x96"):
        fixed_sizes(prepared)


def test_an_open_size_is_refused(prepare: Callable[..., Prepared]) -> None:
    model = TinyModel(size_hw=(None, None))
    prepared = prepare(model, spec_of(model))
    with pytest.raises(
        SpecificationError, match=r"one size, but the export leaves it open \(input \?x\?"
    ):
        fixed_sizes(prepared)
