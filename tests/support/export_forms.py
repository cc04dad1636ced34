"""An export's form with what its output means, and the check of the mask that is served of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from served_map import build_and_segment
from written_exports import own_mask, picture_hwc, written_export, written_spec

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
