"""Forms that exporters write every day: the served mask is the file's own in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export_forms import FIXED, OF_PADDLE, PADDLE, Form, above, as_it_is, check, highest
from written_exports import FULL, SCORES

NHWC_PICTURE = "float[N, 64, 96, 3] image"
FULL_OF_NHWC = "nchw = Transpose <perm=[0, 3, 1, 2]> (image)\n" + FULL.replace("(image", "(nchw")
LAST = FULL + "\n last = Transpose <perm=[0, 2, 3, 1]> (full)"
LAST_OF_NHWC = FULL_OF_NHWC + "\n last = Transpose <perm=[0, 2, 3, 1]> (full)"


def nhwc(**fields: Any) -> Form:
    file = {"picture": NHWC_PICTURE, "axes": np.array([3])}
    return Form(**fields, spec={"layout": "NHWC"}, file=file)


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
        + """t = Transpose <perm=[0, 3, 2, 1]> (up)
             p = Softmax <axis=3> (t)
             output = Transpose <perm=[0, 3, 2, 1]> (p)""",
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


@pytest.mark.parametrize("layout", ["single", "fused"])
@pytest.mark.parametrize("name", FORMS)
def test_the_served_mask_is_the_files_own(name: str, layout: str, tmp_path: Path) -> None:
    form = FORMS[name]
    cut = check(form, form.model(), tmp_path, layout=layout)
    assert form.tail in (None, cut)


@pytest.mark.parametrize("kind", ["scores", "class_map"])
def test_one_size_of_the_output_whatever_the_pictures(kind: str, tmp_path: Path) -> None:
    """As tf.image.resize to a constant writes it; the sizes that are tried are no squares."""
    body = SCORES + 'up = Resize <mode="linear"> (s, roi, roi, sizes)\n'
    last = "output = ArgMax <axis=1> (up)" if kind == "class_map" else "output = Relu (up)"
    form = Form(
        body=body + last,
        output=("int64[N, A, 64, 96]" if kind == "class_map" else "float[N, 5, 64, 96]")
        + " output",
        classes_of=as_it_is if kind == "class_map" else highest(1),
        kind=kind,
        file={"picture": "float[N, 3, H, W] image", "sizes": np.array([1, 5, 64, 96])},
    )
    check(form, form.model(), tmp_path)
