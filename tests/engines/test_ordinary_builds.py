"""Ordinary exports in every layout and precision, and files that hide what others say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from export_forms import FIXED, OF_PADDLE, PADDLE, Form, check, highest
from residual_network import write_pictures
from served_map import build_and_segment
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from written_exports import (
    CLASSES,
    FULL,
    SCORES,
    list_initializers_as_inputs,
    own_mask,
    picture_hwc,
    written_spec,
)

OF_PADDLES = Form(
    body=PADDLE + "output = Identity (up)",
    output="float[A, B, C, D] output",
    classes_of=highest(1),
    tail=("Resize",),
    file=OF_PADDLE,
)


@pytest.mark.parametrize("layout", ["single", "ensemble", "fused"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_initializers_may_be_listed_as_inputs(precision: str, layout: str, tmp_path: Path) -> None:
    form = Form(
        body=FULL + "output = Relu (full)",
        output="float[N, 5, 64, 96] output",
        classes_of=highest(1),
        file={"opset": 11, "ir_version": 3},
    )
    model = form.model()
    list_initializers_as_inputs(model)
    check(form, model, tmp_path, layout=layout, precision=precision)


def test_fp16(tmp_path: Path) -> None:
    check(OF_PADDLES, OF_PADDLES.model(), tmp_path, precision="fp16")


@pytest.mark.parametrize("layout", ["single", "fused"])
@pytest.mark.parametrize("listed", [False, True], ids=["paddle", "initializers as inputs"])
def test_int8(listed: bool, layout: str, tmp_path: Path) -> None:
    model = OF_PADDLES.model()
    if listed:
        model.ir_version = 3
        list_initializers_as_inputs(model)
    onnx.save(model, tmp_path / "export.onnx")
    options = BuildOptions(
        calibration=write_pictures(tmp_path / "calibration", 8),
        pictures=write_pictures(tmp_path / "pictures", 2),
        minimum_pictures=8,
        accept=True,  # random weights; the gate is not the matter here
    )
    report = build_model(
        written_spec(),
        tmp_path / "export.onnx",
        tmp_path / "repository",
        precision="int8",
        layout=layout,
        options=options,
    )
    assert report.tail.operators == ("Resize",)
    assert report.gate.comparison.equal_pixels > 0.9


@pytest.mark.parametrize("layout", ["single", "fused"])
@pytest.mark.parametrize("declared", [False, True], ids=["no shape", "a rank"])
def test_a_size_that_only_a_run_tells(declared: bool, layout: str, tmp_path: Path) -> None:
    """The network's scores are shaped by a number that depends on the picture, if only by 0."""
    form = Form(
        body=SCORES
        + """least = ReduceMin <keepdims=0> (image)
             nothing = Mul (least, zero)
             wanted = Add (shape, nothing)
             dims = Cast <to=7> (wanted)
             shaped = Reshape (s, dims)
             output = Resize <mode="linear"> (shaped, roi, four)""",
        output="float[A, B, C, D] output",
        classes_of=highest(1),
        file={"zero": np.float32(0), "shape": np.array([-1, CLASSES, 16, 24], np.float32)},
    )
    model = form.model()
    if not declared:
        model.graph.output[0].type.tensor_type.ClearField("shape")
    assert check(form, model, tmp_path, layout=layout) == ("Resize",)


GRID = np.stack(np.meshgrid(np.linspace(-0.9, 0.9, 96), np.linspace(-0.9, 0.9, 64)), -1)[None]
SAMPLED = (
    FULL
    + """
    wide = Cast <to={code}> (full)
    there = Cast <to={code}> (grid)
    sampled = GridSample <mode="bilinear"> (wide, there)
    output = Cast <to=1> (sampled)"""
)
FLOAT, DOUBLE = 1, 11


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_float64_that_onnx_runtime_does_not_have(precision: str, tmp_path: Path) -> None:
    """The mask is that of the same file in float32, for there is no other to be had."""
    forms = {
        code: Form(
            body=SAMPLED.format(code=code),
            output="float[1, 5, 64, 96] output",
            classes_of=highest(1),
            file={"grid": GRID.astype(np.float32), "picture": FIXED},
        )
        for code in (FLOAT, DOUBLE)
    }
    expected_hw = own_mask(forms[FLOAT].model(), written_spec(), highest(1))
    onnx.save(forms[DOUBLE].model(), tmp_path / "export.onnx")
    _, actual_hw = build_and_segment(
        written_spec(), tmp_path / "export.onnx", picture_hwc(), tmp_path, precision=precision
    )
    assert (actual_hw == expected_hw).mean() >= 0.999


def test_tensors_of_the_file_may_have_the_names_of_the_steps(tmp_path: Path) -> None:
    form = Form(
        body=FULL
        + """NORMALIZED = Relu (full)
             SCORES = Neg (full)
             output = Sub (NORMALIZED, SCORES)""",
        output="float[N, 5, 64, 96] output",
        classes_of=highest(1),
    )
    check(form, form.model(), tmp_path)
