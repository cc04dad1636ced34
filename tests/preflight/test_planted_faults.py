"""Lint and compiler held against each other by planted faults.

With the lint out of the way NVIDIA's refusal has to reach the user with node, words and cure.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from planted_fault import Fault
from planted_faults import FAULTS
from planted_graphs import F16, behind_conv, node, one_or_two, quantized
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.chance import refuse_chance
from tritonseg_engines.graph.finite_weights import check_weights
from tritonseg_engines.graph.onnx_file import load_onnx
from tritonseg_engines.graph.readable import readable
from tritonseg_engines.graph.surgery import as_proto
from tritonseg_engines.precision import lint
from tritonseg_engines.precision.checked_graph import CheckedGraph
from tritonseg_engines.precision.parser_rules import PARSER_RULES
from tritonseg_engines.precision.structure import check_releases
from tritonseg_engines.preflight.cures import CURES
from tritonseg_engines.running.networks import infer_in_onnx_runtime

SOURCE_PATHS = re.compile(r"\.(cpp|hpp|h|cu)\b|/_src/|Assertion failed|&& \"|cudaError|\n")
ONLY_RTX = ("NonZero", "RoiAlign")
"""TensorRT has them, as its operators' list says; TensorRT-RTX not."""
OPTIONAL_OUTPUT = "MaxPool whose indices nobody reads"


def ours(model: onnx.ModelProto, folder: Path) -> str:
    """All that is said before NVIDIA's compiler is asked, as a build has it said."""
    path = folder / "export.onnx"
    onnx.save(model, path)
    said = []
    try:
        edited = readable(load_onnx(path))
        check_weights(edited.graph)
        refuse_chance(edited.graph)
    except OnnxModelError as error:
        said.append(str(error))
    said += [finding.message for finding in lint(model, releases=("11",))]
    for check in (check_releases, run):
        try:
            check(model)
        except OnnxModelError as error:
            said.append(str(error))
    return "; ".join(said)


def run(model: onnx.ModelProto) -> None:
    """A build runs the export on two pictures at once."""
    fed = model.graph.input[0].type.tensor_type
    batch, *shape = (dim.dim_value for dim in fed.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(fed.elem_type)
    pictures = np.random.default_rng(0).uniform(0, 1, (batch or 2, *shape)).astype(dtype)
    if not np.isfinite(infer_in_onnx_runtime(model)(pictures)).all():
        raise OnnxModelError("scores are not all finite")


@pytest.mark.parametrize("name", FAULTS)
def test_what_this_project_says(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    said = ours(fault.make(), tmp_path)
    if fault.ours:
        assert re.search(fault.ours, said), said
    else:
        assert not said


@pytest.mark.parametrize("name", FAULTS)
def test_what_nvidia_says(ask, name: str) -> None:
    fault: Fault = FAULTS[name]
    model = fault.make()
    (verdict,) = ask(model, options=one_or_two(model)).verdicts
    warnings = "; ".join(verdict.answer.warnings)
    said = warnings if fault.warns else verdict.answer.refusal or ""
    if not fault.nvidia:
        assert (verdict.refusal, warnings) == (None, "")
        return
    assert re.search(fault.nvidia, said), said
    if not fault.cure:
        assert verdict.refusal is None
        assert "(" in verdict.notes[0], "no reason why it changes nothing"
        return
    assert verdict.refusal is not None
    words, _, cure = verdict.refusal.partition("What to do: ")
    assert fault.cure in cure
    assert not SOURCE_PATHS.search(words), words
    if "parser refuses" in words:
        names = [one.name for one in nodes_of(model.graph)]
        assert any(name in words for name in (*names, "the file:")), words


def nodes_of(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Nodes, those of loops too."""
    found = list(graph.node)
    for one in graph.node:
        for attribute in one.attribute:
            found += nodes_of(attribute.g)
    return found


def test_what_nvidia_refuses_is_refused_before() -> None:
    """The table has no row in which NVIDIA alone finds a fault of TensorRT's."""
    unseen = [name for name, fault in FAULTS.items() if fault.cure and not fault.ours]
    assert unseen == list(ONLY_RTX)


@pytest.mark.parametrize("cure", [cure for _, cure in CURES])
def test_every_cure_has_a_fault_that_it_is_for(cure: str) -> None:
    assert any(fault.cure and fault.cure in cure for fault in FAULTS.values())


def test_every_rule_of_the_parser_has_a_fault() -> None:
    graphs = [CheckedGraph(fault.make()) for fault in FAULTS.values()]
    for rule in PARSER_RULES:
        assert any(list(rule(graph)) for graph in graphs), rule.__name__


def test_a_warning_of_a_binding_changes_nothing(ask) -> None:
    model = behind_conv(
        node("ArgMax", "conv", axis=1), shape=("N", 1, 8, 8), dtype=onnx.TensorProto.INT64
    )
    (verdict,) = ask(model, options=one_or_two(model)).verdicts
    assert verdict.refusal is None
    assert verdict.notes == (
        "Make sure output SCORES has Int64 binding (it is int64 in the file too)",
    )


def test_a_float16_scale_that_becomes_float32_changes_nothing(ask) -> None:
    model = quantized(scale=F16(0.05), weight_scale=np.full(4, 0.01, F16), opset=19)
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    (verdict,) = ask(model, options=one_or_two(model)).verdicts
    assert verdict.refusal is None
    assert all("every float16 scale is a float32" in note for note in verdict.notes)
    assert verdict.notes


def test_outputs_that_nobody_reads_are_left_out(ask, tmp_path: Path) -> None:
    """NVIDIA refuses those too, and the network that is built has none of them."""
    model = FAULTS[OPTIONAL_OUTPUT].make()
    edited = as_proto(readable(model))
    assert list(edited.graph.node[0].output) == ["SCORES"]
    assert ours(edited, tmp_path) == ""
    assert ask(edited).accepted
