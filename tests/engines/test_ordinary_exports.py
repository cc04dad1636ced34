"""Forms that exporters write every day: the served mask is the file's own in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

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
    written_export,
    written_spec,
)

NHWC_PICTURE = "float[N, 64, 96, 3] image"
FULL_OF_NHWC = "nchw = Transpose <perm=[0, 3, 1, 2]> (image)\n" + FULL.replace("(image", "(nchw")
LAST = FULL + "\n last = Transpose <perm=[0, 2, 3, 1]> (full)"
LAST_OF_NHWC = FULL_OF_NHWC + "\n last = Transpose <perm=[0, 2, 3, 1]> (full)"
FIXED = "float[1, 3, 64, 96] image"

ClassesOf = Callable[[np.ndarray], np.ndarray]


def highest(axis: int) -> ClassesOf:
    return lambda output: output.argmax(axis=axis)


def above(threshold: float) -> ClassesOf:
    return lambda output: output.astype(np.float32) > threshold


def as_it_is(output: np.ndarray) -> np.ndarray:
    return output


@dataclass(frozen=True, kw_only=True)
class Form:
    """A file and what its output means."""

    body: str
    output: str
    classes_of: ClassesOf
    kind: str = "scores"
    tail: tuple[str, ...] | None = None
    spec: dict[str, Any] = field(default_factory=dict)
    file: dict[str, Any] = field(default_factory=dict)

    def model(self) -> onnx.ModelProto:
        binary = self.kind == "binary" and "classes" not in self.file
        return written_export(
            self.body, self.output, **({"classes": 1} if binary else {}), **self.file
        )


def nhwc(**fields: Any) -> Form:
    file = {"picture": NHWC_PICTURE, "axes": np.array([3])}
    return Form(**fields, spec={"layout": "NHWC"}, file=file)


ONE_SCORE = "float[N, 1, 64, 96] output"
PADDLE = """
 shape = Shape (image)
 begin = Constant <value = int64[1] {2}> ()
 end = Constant <value = int64[1] {4}> ()
 axis = Constant <value = int64[1] {0}> ()
 sliced = Slice (shape, begin, end, axis)
 hw32 = Cast <to = 6> (sliced)
 conv = Conv <kernel_shape=[4, 4], strides=[4, 4]> (image, weight)
 bias = Constant <value = float[5] {0.1, -0.1, 0.2, -0.2, 0.0}> ()
 dims = Constant <value = int64[4] {1, 5, 1, 1}> ()
 dims_again = Identity (dims)
 bias_nchw = Reshape (bias, dims_again)
 added = Add (conv, bias_nchw)
 s = Identity (added)
 s_shape = Shape (s)
 zero = Constant <value = int64[1] {0}> ()
 two = Constant <value = int64[1] {2}> ()
 nc = Slice (s_shape, zero, two, axis)
 hw = Cast <to = 7> (hw32)
 sizes = Concat <axis = 0> (nc, hw)
 region = Constant <value = float[0] {}> ()
 factors = Constant <value = float[0] {}> ()
 up = Resize <mode="linear", coordinate_transformation_mode="half_pixel"> (
     s, region, factors, sizes)
"""
"""As paddle2onnx writes it: no size and no bias that shape inference could follow."""
OF_PADDLE = {"opset": 11, "ir_version": 6}

FORMS = {
    "paddle": Form(
        body=PADDLE + "output = Identity (up)",
        output="float[A, B, C, D] output",
        classes_of=highest(1),
        tail=("Resize",),
        file=OF_PADDLE,
    ),
    "paddle, softmax with classes last": Form(
        body=PADDLE
        + """t = Transpose <perm=[0, 2, 3, 1]> (up)
             p = Softmax <axis=3> (t)
             output = Transpose <perm=[0, 3, 1, 2]> (p)""",
        output="float[A, B, C, D] output",
        classes_of=highest(1),
        tail=("Resize", "Transpose", "Softmax", "Transpose"),
        file=OF_PADDLE,
    ),
    "resize, sigmoid, transpose": Form(
        body=FULL + "p = Sigmoid (full)\n output = Transpose <perm=[0, 2, 3, 1]> (p)",
        output="float[N, 64, 96, 1] output",
        classes_of=above(0.5),
        kind="binary",
    ),
    "sigmoid of channels last": nhwc(
        body=FULL_OF_NHWC + "t = Transpose <perm=[0, 2, 3, 1]> (full)\n output = Sigmoid (t)",
        output="float[N, 64, 96, 1] output",
        classes_of=above(0.5),
        kind="binary",
    ),
    "one score, squeezed": Form(
        body=FULL + "p = Sigmoid (full)\n output = Squeeze (p, axes)",
        output="float[N, 64, 96] output",
        classes_of=above(0.5),
        kind="binary",
        file={"axes": np.array([1])},
    ),
    "one score of one picture": Form(
        body=FULL + "output = Squeeze (full, axes)",
        output="float[64, 96] output",
        classes_of=above(0),
        kind="binary",
        file={"axes": np.array([0, 1]), "picture": FIXED},
    ),
    "scores of one picture": Form(
        body=FULL + "output = Squeeze (full, axes)",
        output="float[5, 64, 96] output",
        classes_of=highest(0),
        file={"axes": np.array([0]), "picture": FIXED},
    ),
    "scores, every axis of one squeezed": Form(
        body=FULL + "output = Squeeze (full)",
        output="float[A, B, C] output",
        classes_of=highest(0),
        tail=("Resize", "Squeeze"),
    ),
    "one score, every axis of one squeezed": Form(
        body=FULL + "p = Sigmoid (full)\n output = Squeeze (p)",
        output="float[A, B] output",
        classes_of=above(0.5),
        kind="binary",
        tail=("Squeeze",),
    ),
    "channels last, squeezed": nhwc(
        body=LAST_OF_NHWC + "p = Sigmoid (last)\n output = Squeeze (p, axes)",
        output="float[N, 64, 96] output",
        classes_of=above(0.5),
        kind="binary",
    ),
    "logits with classes last": nhwc(
        body=LAST_OF_NHWC + "output = Identity (last)",
        output="float[N, 64, 96, 5] output",
        classes_of=highest(3),
        tail=("Resize", "Transpose"),
    ),
    "softmax with classes last": nhwc(
        body=LAST_OF_NHWC + "output = Softmax <axis=-1> (last)",
        output="float[N, 64, 96, 5] output",
        classes_of=highest(3),
        tail=("Resize", "Transpose", "Softmax"),
    ),
    "argmax over the last axis": nhwc(
        body=LAST_OF_NHWC + "output = ArgMax <axis=-1, keepdims=1> (last)",
        output="int64[N, 64, 96, 1] output",
        classes_of=as_it_is,
        kind="class_map",
        tail=("Resize", "Transpose", "ArgMax"),
    ),
    "argmax, then channels last": Form(
        body=FULL + "m = ArgMax <axis=1> (full)\n output = Transpose <perm=[0, 2, 3, 1]> (m)",
        output="int64[N, 64, 96, 1] output",
        classes_of=as_it_is,
        kind="class_map",
        tail=("Resize", "ArgMax", "Transpose"),
    ),
    "class map of one picture": Form(
        body=FULL
        + """m = ArgMax <axis=1, keepdims=0> (full)
             more = Add (m, zero)
             output = Squeeze (more, axes)""",
        output="int64[64, 96] output",
        classes_of=as_it_is,
        kind="class_map",
        tail=(),
        file={"axes": np.array([0]), "zero": np.int64(0), "picture": FIXED},
    ),
    "the later of two equals": Form(
        body=SCORES
        + """coarse = Sign (s)
             full = Resize <mode="nearest"> (coarse, roi, four)
             output = ArgMax <axis=1, keepdims=0, select_last_index=1> (full)""",
        output="int64[N, 64, 96] output",
        classes_of=as_it_is,
        kind="class_map",
        tail=(),
    ),
    "bool": Form(
        body=FULL + "output = Greater (full, zero)",
        output="bool[N, 1, 64, 96] output",
        classes_of=as_it_is,
        kind="class_map",
        spec={"classes": 2},
        file={"zero": np.float32(0), "classes": 1},
    ),
    "bool as binary": Form(
        body=FULL + "output = Greater (full, zero)",
        output="bool[N, 1, 64, 96] output",
        classes_of=as_it_is,
        kind="binary",
        file={"zero": np.float32(0)},
    ),
    "probability of bytes": Form(
        body=FULL
        + """p = Sigmoid (full)
             scaled = Mul (p, most)
             output = Cast <to=2> (scaled)""",
        output="uint8[N, 1, 64, 96] output",
        classes_of=above(127.5),
        kind="binary",
        spec={"threshold": 127.5},
        file={"most": np.float32(255)},
    ),
    "queries, combined": Form(
        body=SCORES
        + """pooled = GlobalAveragePool (s)
             queries = Reshape (pooled, to_rows)
             logits = MatMul (queries, to_classes)
             all = Softmax <axis=-1> (logits)
             chances = Slice (all, zero, last, two)
             cells = Sigmoid (s)
             combined = Einsum <equation="nqc,nqhw->nchw"> (chances, cells)
             output = Resize <mode="linear"> (combined, roi, four)""",
        output="float[N, 5, 64, 96] output",
        classes_of=highest(1),
        tail=("Resize",),
        file={
            "to_rows": np.array([-1, 5, 1]),
            "to_classes": np.array([[9, -9, 5, -5, 1, 0]], np.float32),
            "zero": np.array([0]),
            "last": np.array([-1]),
            "two": np.array([2]),
        },
    ),
    "half_pixel_symmetric": Form(
        body=SCORES
        + """
        output = Resize <
            mode="linear", coordinate_transformation_mode="half_pixel_symmetric"
        > (s, roi, four)""",
        output="float[N, 5, 64, 96] output",
        classes_of=highest(1),
        tail=("Resize",),
        file={"opset": 19, "ir_version": 9},
    ),
    **{
        f"argmax as {name}": Form(
            body=FULL + f"m = ArgMax <axis=1> (full)\n output = Cast <to={code}> (m)",
            output=f"{name}[N, 1, 64, 96] output",
            classes_of=as_it_is,
            kind="class_map",
            tail=("Resize", "ArgMax", "Cast"),
        )
        for name, code in {"float": 1, "uint8": 2, "int32": 6}.items()
    },
}


def check(form: Form, model: onnx.ModelProto, folder: Path, **build: Any) -> tuple[str, ...]:
    """Compare masks and return the operators that were cut."""
    spec = written_spec(form.kind, **form.spec)
    expected_hw = own_mask(model, spec, form.classes_of)
    assert len(np.unique(expected_hw)) > 1
    onnx.save(model, folder / "export.onnx")
    report, actual_hw = build_and_segment(
        spec, folder / "export.onnx", picture_hwc(), folder, **build
    )
    assert (actual_hw == expected_hw).mean() >= 0.999
    return report.tail.operators


@pytest.mark.parametrize("layout", ["single", "fused"])
@pytest.mark.parametrize("name", FORMS)
def test_the_served_mask_is_the_files_own(name: str, layout: str, tmp_path: Path) -> None:
    form = FORMS[name]
    cut = check(form, form.model(), tmp_path, layout=layout)
    assert form.tail in (None, cut)


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


@pytest.mark.parametrize("name", ["paddle", "resize, sigmoid, transpose"])
def test_fp16(name: str, tmp_path: Path) -> None:
    check(FORMS[name], FORMS[name].model(), tmp_path, precision="fp16")


@pytest.mark.parametrize("layout", ["single", "fused"])
@pytest.mark.parametrize("listed", [False, True], ids=["paddle", "initializers as inputs"])
def test_int8(listed: bool, layout: str, tmp_path: Path) -> None:
    form = FORMS["paddle"]
    model = form.model()
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
