"""Files that are quantized already: built as they are, said so, and judged by int8's bounds.

They are made with onnxruntime.quantization, as people make them, and the truth is ONNX Runtime on
the file as it came.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from PIL import Image

from own_mask import own_mask
from random_exports import bilinear
from residual_network import residual_network, residual_spec, smooth_batch, write_pictures
from served_map import build_and_segment
from tiny_models import TinyModel, run_onnx, tiny_spec
from tritonseg_engines.build import precision as build_precision
from tritonseg_engines.build.model import BuildReport, build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.cli.build_output import show_report
from tritonseg_engines.errors import EngineBuildError, OnnxModelError, SpecificationError
from tritonseg_engines.gate.thresholds import THRESHOLDS, GateError, Thresholds
from tritonseg_engines.graph.onnx_file import computes_in_half, load_onnx
from tritonseg_engines.precision.existing import existing_int8
from tritonseg_engines.precision.int8_cpu import needed_int8_cpu
from tritonseg_engines.rebuild import rebuild_command
from tritonseg_steps.int8_cpu import Int8Cpu, this_int8_cpu

pytestmark = pytest.mark.int8_cpu
PRECISIONS = ("fp32", "fp16", "int8")
NO_VNNI = this_int8_cpu() is not Int8Cpu.VNNI
INT8 = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
PAIRS = {"quant_format": QuantFormat.QDQ, "reduce_range": True, **INT8}
SYMMETRIC = {"extra_options": {"ActivationSymmetric": True, "QuantizeBias": False}}
FORMS: dict[str, dict[str, Any]] = {
    "pairs per tensor": PAIRS,
    "pairs per channel": {**PAIRS, "per_channel": True},
    "pairs of bytes": {**PAIRS, "per_channel": True, "activation_type": QuantType.QUInt8},
    "pairs of some layers": {**PAIRS, **SYMMETRIC, "nodes_to_exclude": ["stem"]},
}
OPERATORS = {
    "quant_format": QuantFormat.QOperator,
    "activation_type": QuantType.QUInt8,
    "weight_type": QuantType.QInt8,
}


class Batches(CalibrationDataReader):
    def __init__(self, name: str = "NORMALIZED") -> None:
        self._left = [{name: smooth_batch(seed)} for seed in range(4)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self._left.pop() if self._left else None


def static(folder: Path, **options: Any) -> Path:
    onnx.save(residual_network(), folder / "float.onnx")
    quantize_static(folder / "float.onnx", folder / "export.onnx", Batches(), **options)
    return folder / "export.onnx"


def dynamic(folder: Path, *, one_picture: bool) -> Path:
    model = residual_network()
    if one_picture:
        for value in (model.graph.input[0], model.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, folder / "float.onnx")
    quantize_dynamic(folder / "float.onnx", folder / "export.onnx", weight_type=QuantType.QUInt8)
    return folder / "export.onnx"


def pictures_in(folder: Path) -> Path:
    return write_pictures(folder / "pictures", 4)


def build(export: Path, **options: Any) -> BuildReport:
    options = {"pictures": pictures_in(export.parent), **options}
    targets = {key: options.pop(key) for key in ("precision", "runtime") if key in options}
    return build_model(
        residual_spec(),
        export,
        export.parent / "repository",
        options=BuildOptions(**options),
        **targets,
    )


def check_served(export: Path, precision: str) -> BuildReport:
    pictures = pictures_in(export.parent)
    image_hwc = np.asarray(Image.open(pictures / "001.png"))
    report, actual = build_and_segment(
        residual_spec(), export, image_hwc, export.parent, precision=precision,
        options=BuildOptions(pictures=pictures),
    )  # fmt: skip
    assert (report.gate.verdict, report.gate.thresholds) == ("passed", THRESHOLDS["int8"])
    expected, _ = own_mask(export, residual_spec(), image_hwc)
    assert (actual == expected).mean() >= 0.98
    return report


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("form", FORMS)
def test_pairs_are_served_in_every_precision(form: str, precision: str, tmp_path: Path) -> None:
    """Weights of 7 bits, so that CPUs without VNNI serve them too."""
    report = check_served(static(tmp_path, **FORMS[form]), precision)
    layers = 3 if form == "pairs of some layers" else 4
    assert report.quantized_export == f"Q/DQ pairs, {layers} of 4 layers"
    manifest = json.loads((report.model / "1" / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["int8_cpu"], manifest["quantized_export"]) == ("avx2", report.quantized_export)
    assert "--calibration" not in rebuild_command(manifest)


@pytest.mark.skipif(NO_VNNI, reason="this CPU has no VNNI")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("form", ["integer operators", "dynamic scales"])
def test_integer_operators_are_served_as_they_are(
    form: str, precision: str, tmp_path: Path
) -> None:
    is_dynamic = form == "dynamic scales"
    export = dynamic(tmp_path, one_picture=True) if is_dynamic else static(tmp_path, **OPERATORS)
    report = check_served(export, precision)
    assert report.quantized_export == f"{form}, 4 of 4 layers"
    assert report.gate.facts["int8 weights"] == "8 bits, for CPUs with VNNI"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_scales_of_a_batch_are_refused(precision: str, tmp_path: Path) -> None:
    with pytest.raises(OnnxModelError, match=r"dynamic scales \(DynamicQuantizeLinear\): .* batch"):
        build(dynamic(tmp_path, one_picture=False), precision=precision)


@pytest.mark.parametrize("mean", [127.5, 0.0])
def test_scales_of_one_picture_stay_those_of_one_picture(mean: float, tmp_path: Path) -> None:
    """A batch of one is not opened, whatever values the proof's pictures have."""
    spec = residual_spec()
    spec = replace(spec, preprocessing=replace(spec.preprocessing, mean=(mean,) * 3))
    assert prepare_network(spec, dynamic(tmp_path, one_picture=True)).max_batch == 1


@pytest.mark.skipif(NO_VNNI, reason="this CPU has no VNNI, and that is said first")
def test_what_openvino_does_not_read_is_refused_with_a_remedy(tmp_path: Path) -> None:
    export = static(tmp_path, **OPERATORS, per_channel=True)
    with pytest.raises(OnnxModelError, match=r"integer operators.*QuantFormat\.QDQ") as error:
        build(export, precision="int8")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"precision": "int8", "max_miou_drop": 1.0}, "leave out --max-miou-drop"),
        ({"precision": "int8", "keep_fp32": ("head",)}, "leave out --keep-fp32"),
        ({"precision": "fp32", "keep_fp32": ("head",)}, "leave out --keep-fp32"),
        (
            {"precision": "int8", "quantizer": "modelopt", "modelopt_python": Path("python")},
            "leave out --quantizer modelopt",
        ),
    ],
)
def test_what_cannot_be_done_again_is_refused(
    options: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecificationError, match=rf"^the export is quantized already \(.*{says}"):
        build(static(tmp_path, **PAIRS), **options)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_one_line_says_so(
    precision: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_report(build(static(tmp_path, **PAIRS), precision=precision))
    lines = capsys.readouterr().out.splitlines()
    said = "the export is quantized already (Q/DQ pairs, 4 of 4 layers)"
    assert sum(line.startswith(said) for line in lines) == 1
    assert any("of the pixels as in the export" in line for line in lines)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_refusal_advises_nothing_that_cannot_be_done(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = Thresholds(equal_pixels=1.1, miou_drop_points=0)
    monkeypatch.setitem(build_precision.THRESHOLDS, "int8", strict)
    with pytest.raises(GateError) as error:
        build(static(tmp_path, **PAIRS), precision=precision)
    said = str(error.value)
    assert "export it in float and build that with --precision int8" in said
    assert all(option not in said for option in ("--keep-fp32", "--max-miou-drop", "--pictures"))


def test_a_float_network_in_fp32_has_no_nodes_to_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = Thresholds(equal_pixels=1.1, miou_drop_points=0)
    monkeypatch.setitem(build_precision.THRESHOLDS, "fp32", strict)
    onnx.save(residual_network(), tmp_path / "export.onnx")
    with pytest.raises(GateError, match=r"To change that: --accept builds it nevertheless$"):
        build(tmp_path / "export.onnx")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tensorrt_takes_symmetric_pairs_only(precision: str, tmp_path: Path) -> None:
    symmetric = static(tmp_path, **{**PAIRS, **SYMMETRIC})
    report = build(symmetric, precision=precision, runtime="tensorrt", onnx_only=True)
    assert report.gate.verdict == "passed"
    assert computes_in_half(load_onnx(report.model)) == (precision != "fp32")
    says = r"TensorRT does not take: .* expected int8 zeros.*symmetrically"
    with pytest.raises(OnnxModelError, match=says):
        build(static(tmp_path, **PAIRS), precision=precision, runtime="tensorrt")
    with pytest.raises(EngineBuildError, match="TensorRT does not read that"):
        build(static(tmp_path, **OPERATORS), precision=precision, runtime="tensorrt")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_was_made_for_tensorrt_is_a_quantized_export_too(
    precision: str, tmp_path: Path
) -> None:
    """int8 between float16 values, as ModelOpt writes it and this project."""
    onnx.save(residual_network(), tmp_path / "float.onnx")
    made = build(
        tmp_path / "float.onnx", precision="int8", runtime="tensorrt", onnx_only=True,
        calibration=pictures_in(tmp_path), minimum_pictures=4,
    )  # fmt: skip
    if NO_VNNI:
        pytest.skip("this CPU has no VNNI, and weights for TensorRT have 8 bits")
    check_served(made.model, precision)


@pytest.mark.parametrize("form", ["pairs", "operators"])
def test_a_quantized_probability_is_still_one(form: str, tmp_path: Path) -> None:
    """A Sigmoid in int8 lies between 0 and 1 too: its threshold is 0.5, and nothing is asked."""
    model = TinyModel(tail=[("Sigmoid", {})], classes=1).model()
    onnx.save(model, tmp_path / "float.onnx")
    options = OPERATORS if form == "operators" else PAIRS
    quantize_static(tmp_path / "float.onnx", tmp_path / "export.onnx", Batches("image"), **options)
    prepared = prepare_network(tiny_spec(kind="binary", classes=2), tmp_path / "export.onnx")
    assert prepared.threshold == 0.5
    assert prepared.upsampling.confidence == "probability"


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("own_pad", [False, True])
def test_pads_beside_int8_pad_with_their_own_value(
    own_pad: bool, precision: str, tmp_path: Path
) -> None:
    """The threshold of a binary output is padded, and so are pictures: OpenVINO moves both."""
    model = behind_a_pad() if own_pad else TinyModel(classes=1).model()
    onnx.save(model, tmp_path / "float.onnx")
    quantize_static(tmp_path / "float.onnx", tmp_path / "export.onnx", Batches("image"), **PAIRS)
    spec = tiny_spec(kind="binary", classes=2)
    image_hwc = np.asarray(Image.open(pictures_in(tmp_path) / "001.png"))
    options = BuildOptions(pictures=tmp_path / "pictures")
    report, actual = build_and_segment(
        spec, tmp_path / "export.onnx", image_hwc, tmp_path, precision=precision, options=options
    )
    assert report.gate.verdict == "passed"
    batch = ((image_hwc.transpose(2, 0, 1)[None] - 127.5) / 127.5).astype(np.float32)
    scores = run_onnx(onnx.load(tmp_path / "export.onnx"), batch)[0, 0]
    expected = bilinear(scores, image_hwc.shape[:2]) > 0
    assert 0.1 < expected.mean() < 0.9
    assert (actual == expected).mean() >= 0.985


def behind_a_pad() -> onnx.ModelProto:
    """A binary network whose only convolution reads a picture with a frame of its own."""
    model = TinyModel(classes=1).model()
    graph = model.graph
    (conv,) = graph.node
    pads = numpy_helper.from_array(np.array([0, 0, 4, 4, 0, 0, 4, 4], np.int64), "frame")
    graph.initializer.append(pads)
    pad = helper.make_node("Pad", ["image", "frame"], ["framed"], "pad")
    conv.input[0], conv.output[0] = "framed", "wide"
    for name, ends in (("starts", [1, 1]), ("ends", [-1, -1]), ("axes", [2, 3])):
        graph.initializer.append(numpy_helper.from_array(np.array(ends, np.int64), name))
    cut = helper.make_node("Slice", ["wide", "starts", "ends", "axes"], ["output"], "cut")
    nodes = [pad, onnx.NodeProto.FromString(conv.SerializeToString()), cut]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return onnx.shape_inference.infer_shapes(model)


def weights_only(folder: Path, *, per_channel: bool) -> Path:
    """The pairs of activations taken out again: int8 weights, and all arithmetic float."""
    model = onnx.load(static(folder, **{**PAIRS, **SYMMETRIC}, per_channel=per_channel))
    graph = model.graph
    quantized = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "QuantizeLinear"}
    same = {
        n.output[0]: quantized[n.input[0]]
        for n in graph.node
        if n.op_type == "DequantizeLinear" and n.input[0] in quantized
    }
    kept = [n for n in graph.node if not ({*n.output} & {*quantized, *same})]
    for node in kept:
        node.input[:] = [same.get(name, name) for name in node.input]
        node.output[:] = ["SCORES" if same.get("SCORES") == n else n for n in node.output]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(kept)
    onnx.save(model, folder / "export.onnx")
    return folder / "export.onnx"


@pytest.mark.parametrize("per_channel", [False, True])
def test_int8_weights_alone_make_a_float_network(per_channel: bool, tmp_path: Path) -> None:
    export = weights_only(tmp_path, per_channel=per_channel)
    assert needed_int8_cpu(load_onnx(export)) is not None
    pictures = pictures_in(tmp_path)
    image_hwc = np.asarray(Image.open(pictures / "001.png"))
    expected, stable = own_mask(export, residual_spec(), image_hwc)
    for precision, bound in (("fp32", 0.9999), ("fp16", 0.999), ("int8", 0.985)):
        options = BuildOptions(pictures=pictures, calibration=pictures, minimum_pictures=4)
        report, actual = build_and_segment(
            residual_spec(), export, image_hwc, tmp_path, precision=precision, options=options
        )
        assert report.quantized_export is None
        assert report.gate.thresholds == THRESHOLDS[precision]
        assert (actual == expected)[stable].mean() >= bound


def test_a_float_network_has_no_int8() -> None:
    assert existing_int8(residual_network()) is None
