"""Branches and loops: the file's own mask, and the branch of a constant condition in the open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from served_map import build_and_segment
from tritonseg_engines.graph.branches import inline_branches
from tritonseg_engines.graph.constants import gather_constants
from tritonseg_engines.graph.surgery import as_proto, editable
from written_exports import FULL, own_mask, picture_hwc, written_export, written_spec

FIVE = "float[N, 5, 64, 96] output"
BRANCHES = """
    then_branch = then_graph () => (float[N, 5, 64, 96] a) { a = Identity (full) },
    else_branch = else_graph () => (float[N, 5, 64, 96] b) { b = Neg (full) }
"""
ALWAYS = "yes = Constant <value = bool {1}> ()\n always = Identity (yes)\n"
NEVER = ALWAYS.replace("{1}", "{0}")
OF_THE_PICTURE = "least = ReduceMin <keepdims=0> (image)\n always = Less (least, far)\n"
LOOP = """
    output = Loop (twice, go, full) <
        body = body_graph (int64 turn, bool on, float[N, 5, 64, 96] x)
            => (bool onward, float[N, 5, 64, 96] y) { onward = Identity (on) y = Mul (x, half) }
    >"""
OF_LOOP = {"twice": np.int64(2), "go": np.array(True), "half": np.float32(0.5)}
FORMS = {
    "taken": (ALWAYS + f"output = If (always) <{BRANCHES}>", ("Resize",)),
    "not taken": (NEVER + f"output = If (always) <{BRANCHES}>", None),
    "of the picture": (OF_THE_PICTURE + f"output = If (always) <{BRANCHES}>", ()),
    "two": (
        ALWAYS
        + f"first = If (always) <{BRANCHES}>\n full_again = Identity (first)\n"
        + f"output = If (always) <{BRANCHES.replace('full', 'full_again')}>",
        ("Resize",),
    ),
    "loop": (LOOP, ()),
}


@pytest.mark.parametrize("layout", ["single", "fused"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", FORMS)
def test_the_served_mask_is_the_files_own(
    name: str, precision: str, layout: str, tmp_path: Path
) -> None:
    body, cut = FORMS[name]
    model = written_export(FULL + body, FIVE, far=np.float32(1e9), **OF_LOOP)
    onnx.save(model, tmp_path / "export.onnx")
    report, actual_hw = build_and_segment(
        written_spec(),
        tmp_path / "export.onnx",
        picture_hwc(),
        tmp_path,
        precision=precision,
        layout=layout,
    )
    expected_hw = own_mask(model, written_spec(), lambda output: output.argmax(axis=1))
    assert (actual_hw == expected_hw).mean() >= (0.9999 if precision == "fp32" else 0.999)
    assert cut in (None, report.tail.operators)


def test_a_branch_keeps_its_names_apart_and_its_constants() -> None:
    inner = "c = Constant <value = float {2.0}> ()\n x = Mul (full, c)\n a = Add (x, c)"
    branch = f"""
        then_branch = then_graph () => (float[N, 5, 64, 96] a) {{ {inner} }},
        else_branch = else_graph () => (float[N, 5, 64, 96] b) {{ b = Neg (full) }}
    """
    body = f"{FULL}{ALWAYS} x = If (always) <{branch}>\n output = If (always) <{branch}>"
    model = written_export(body, FIVE)
    edited = editable(model)
    inline_branches(edited)
    gather_constants(edited)
    inlined = as_proto(edited)
    onnx.checker.check_model(inlined, full_check=True)
    assert [node.op_type for node in inlined.graph.node] == ["Conv", "Resize", "Mul", "Add"]
    spec = written_spec()
    own = [own_mask(one, spec, lambda output: output[0].argmax(axis=0)) for one in (model, inlined)]
    np.testing.assert_array_equal(*own)


def test_an_identity_stays_where_two_names_are_asked_for() -> None:
    model = written_export(
        FULL + "output = Relu (full)\n again = Identity (output)",
        FIVE + ", float[N, 5, 64, 96] again",
    )
    edited = editable(model)
    gather_constants(edited)
    gathered = as_proto(edited)
    onnx.checker.check_model(gathered, full_check=True)
    assert [value.name for value in gathered.graph.output] == ["output", "again"]
