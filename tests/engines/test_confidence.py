"""Which scores say how sure a network is, held against what ONNX Runtime makes of a picture.

A probability of classes is, per pixel, between 0 and 1 and not always the one or the other, and of
a softmax it adds up to 1 over the classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.graph.onnx_file import save_onnx
from written_exports import SCORES, picture_hwc, written_export, written_spec

MANY = "float[N, 5, 16, 24] output"
FULL_SIZE = "float[N, 5, 64, 96] output"
ONE = "float[N, 1, 16, 24] output"
HALF = {"half": np.float32(0.5), "one": np.float32(1), "zero": np.float32(0)}


@dataclass(frozen=True, kw_only=True)
class Case:
    """Nodes behind `s`, and what their output says."""

    body: str
    says: str | None
    output: str = MANY
    kind: str = "scores"
    classes: int = 5
    opset: int = 17
    constants: dict[str, Any] = field(default_factory=dict)

    def export(self) -> onnx.ModelProto:
        return written_export(
            SCORES + "\n" + self.body,
            self.output,
            opset=self.opset,
            classes=self.classes,
            **HALF,
            **self.constants,
        )


LAST = "last = Transpose <perm=[0, 2, 3, 1]> (s)\n"
PROBABILITIES = {
    "softmax": Case(body="output = Softmax <axis=1> (s)", says="probability"),
    "counted from the end": Case(body="output = Softmax <axis=-3> (s)", says="probability"),
    "between transposes": Case(
        body=LAST + "p = Softmax <axis=3> (last)\n output = Transpose <perm=[0, 3, 1, 2]> (p)",
        says="probability",
    ),
    "classes last": Case(
        body=LAST + "output = Softmax <axis=-1> (last)",
        output="float[N, 16, 24, 5] output",
        says="probability",
    ),
    "resized": Case(
        body='p = Softmax <axis=1> (s)\n output = Resize <mode="linear"> (p, roi, four)',
        output=FULL_SIZE,
        says="probability",
    ),
    "over rows and columns in one axis": Case(
        body="""flat = Reshape (s, flat_dims)
                p = Softmax <axis=1> (flat)
                output = Reshape (p, dims)""",
        constants={"flat_dims": np.array([0, 5, 384]), "dims": np.array([0, 5, 16, 24])},
        says="probability",
    ),
    "mean of two": Case(
        body="""p = Softmax <axis=1> (s)
                t = Mul (s, half)
                q = Softmax <axis=1> (t)
                sum = Add (p, q)
                output = Mul (sum, half)""",
        says="probability",
    ),
}
ONE_OF_TWO = {
    "a softmax of two": Case(
        body="""p = Softmax <axis=1> (s)
                other, output = Split <axis=1> (p)""",
        output=ONE,
        kind="binary",
        classes=2,
        says="probability",
    ),
    "gathered": Case(
        body="""p = Softmax <axis=1> (s)
                output = Gather <axis=1> (p, second)""",
        output="float[N, 16, 24] output",
        constants={"second": np.array(1)},
        kind="binary",
        classes=2,
        says="probability",
    ),
    "gathered of another axis": Case(
        body="""p = Softmax <axis=2> (s)
                output = Gather <axis=1> (p, second)""",
        output="float[N, 16, 24] output",
        constants={"second": np.array(1)},
        kind="binary",
        classes=2,
        says=None,
    ),
    "sigmoid": Case(
        body="output = Sigmoid (s)", output=ONE, kind="binary", classes=1, says="probability"
    ),
    "in steps of a byte": Case(
        body="""p = Sigmoid (s)
                bytes = Mul (p, most)
                rounded = Round (bytes)
                output = Div (rounded, most)""",
        output=ONE,
        kind="binary",
        classes=1,
        constants={"most": np.float32(255)},
        says="probability",
    ),
    "no less than a bound": Case(
        body="""p = Sigmoid (s)
                above = Greater (p, half)
                mask = Cast <to=1> (above)
                output = Mul (p, mask)""",
        output=ONE,
        kind="binary",
        classes=1,
        says="probability",
    ),
}
NONE = {
    "hardmax": Case(body="output = Hardmax <axis=1> (s)", says=None),
    "over columns": Case(body="output = Softmax <axis=3> (s)", says=None),
    "over rows": Case(body="output = Softmax <axis=2> (s)", says=None),
    "over all, as before opset 13": Case(body="output = Softmax <axis=1> (s)", opset=12, says=None),
    "over columns, where classes are last": Case(
        body=LAST + "output = Softmax <axis=2> (last)",
        output="float[N, 16, 24, 5] output",
        says=None,
    ),
    "over columns, resized": Case(
        body='p = Softmax <axis=3> (s)\n output = Resize <mode="linear"> (p, roi, four)',
        output=FULL_SIZE,
        says=None,
    ),
    "greater": Case(
        body="above = Greater (s, half)\n output = Cast <to=1> (above)",
        output=ONE,
        kind="binary",
        classes=1,
        says=None,
    ),
    "not greater": Case(
        body="above = Greater (s, half)\n bit = Cast <to=1> (above)\n output = Sub (one, bit)",
        output=ONE,
        kind="binary",
        classes=1,
        says=None,
    ),
    "greater, as a bool": Case(
        body="output = Greater (s, half)",
        output="bool[N, 1, 16, 24] output",
        kind="binary",
        classes=1,
        says=None,
    ),
    "greater, resized": Case(
        body="""above = Greater (s, half)
                bit = Cast <to=1> (above)
                output = Resize <mode="linear"> (bit, roi, four)""",
        output="float[N, 1, 64, 96] output",
        kind="binary",
        classes=1,
        says=None,
    ),
    "round": Case(
        body="p = Sigmoid (s)\n output = Round (p)",
        output=ONE,
        kind="binary",
        classes=1,
        says=None,
    ),
    "where": Case(
        body="above = Greater (s, half)\n output = Where (above, one, zero)",
        output=ONE,
        kind="binary",
        classes=1,
        says=None,
    ),
}
CASES = {**PROBABILITIES, **ONE_OF_TWO, **NONE}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_confidence_is_there_where_scores_are_degrees(case: Case, tmp_path: Path) -> None:
    save_onnx(case.export(), tmp_path / "export.onnx")
    spec = written_spec(case.kind, classes=case.classes)
    assert prepare_network(spec, tmp_path / "export.onnx").upsampling.confidence == case.says


@pytest.mark.parametrize("name", PROBABILITIES)
def test_probabilities_add_up_to_one_and_have_degrees(name: str) -> None:
    output = answer(CASES[name].export())
    axis = 1 if output.shape[1] == 5 else 3
    assert np.abs(output.sum(axis=axis) - 1).max() < 1e-5
    assert ((output > 0.01) & (output < 0.99)).any()


@pytest.mark.parametrize("name", NONE)
def test_what_says_nothing_is_hard_or_adds_up_to_something_else(name: str) -> None:
    output = answer(NONE[name].export()).astype(np.float32)
    hard = np.isin(output, (0, 1)).mean() > 0.5
    axis = 1 if output.shape[1] in (1, 5) else 3
    assert hard or np.abs(output.sum(axis=axis) - 1).max() > 0.1


def answer(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    batch = ((picture_hwc().astype(np.float32) - 127.5) / 63.75).transpose(2, 0, 1)[None]
    return session.run(["output"], {"image": np.ascontiguousarray(batch.astype(np.float32))})[0]
