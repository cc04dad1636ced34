"""The gate on a plan: the same pictures and bounds as for its ONNX, and a refusal that tells."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from residual_network import CLASSES, SIZE_HW, residual_network, residual_spec, write_pictures
from tensorrt_double import Scenario, tensorrt_double
from tensorrt_machines import L4
from tensorrt_runtime_double import HostDevice
from tritonseg_engines.build.engine_file import judge_plan
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.build.order import BuildOrder
from tritonseg_engines.build.pictures_choice import PictureChoice
from tritonseg_engines.build.precision import convert_and_judge
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.errors import CalibrationError
from tritonseg_engines.gate.report import write_report
from tritonseg_engines.gate.verdict import FUSED_FACT, Judged
from tritonseg_engines.progress import unheard
from tritonseg_engines.running.networks import FoldedSteps, infer_in_onnx_runtime
from tritonseg_engines.running.pictures import Picture
from tritonseg_engines.target import BuildTarget
from tritonseg_engines.tensorrt.plan import PlanReport, build_plan

Gate = Callable[..., Judged]
MakePlan = Callable[[onnx.ModelProto], PlanReport]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    def gate(**options: bool) -> Judged:
        path = tmp_path / "export.onnx"
        onnx.save(residual_network(), path)
        prepared = prepare_network(residual_spec(), path)
        chosen = BuildOptions(pictures=write_pictures(tmp_path / "pictures", 3), **options)
        order = BuildOrder(
            prepared=prepared,
            target=BuildTarget.of("fp16", "tensorrt"),
            options=chosen,
            pictures=PictureChoice(chosen, path, prepared.sizes),
        )
        return convert_and_judge(order)[1]

    return gate


@pytest.fixture
def make_plan(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakePlan:
    api = json.loads((shared / "tensorrt" / "api" / "10.16.1.11.json").read_text())
    scenario = Scenario(plan=None, input_shape=(-1, 3, *SIZE_HW))
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_double(api, scenario))

    def make_plan(model: onnx.ModelProto) -> PlanReport:
        onnx.save(model, tmp_path / "model.onnx")
        return build_plan(tmp_path / "model.onnx", tmp_path / "model.plan", gpu=L4)

    return make_plan


def test_a_plan_that_computes_the_network_passes(gate: Gate, make_plan: MakePlan) -> None:
    report = judge_plan(make_plan(residual_network()), gate(), device=HostDevice()).report
    assert report.verdict == "passed"
    assert report.comparison.equal_pixels == 1
    assert report.comparison.origin.startswith("3 pictures of")
    assert report.facts["built network ran in"] == "TensorRT 10.16.1.11 on NVIDIA L4"
    assert report.facts["the ONNX by itself"].endswith("% of the pixels, passed")


def test_a_plan_that_computes_something_else_is_refused(
    gate: Gate, make_plan: MakePlan, tmp_path: Path
) -> None:
    steps: list[tuple[str, int, int]] = []
    other = make_plan(residual_network(seed=1))
    report = judge_plan(
        other, gate(), device=HostDevice(), progress=lambda *step: steps.append(step)
    ).report
    assert report.verdict == "refused"
    assert "expected the reference's class at 99.90% of the pixels" in report.failures[0]
    assert report.comparison.equal_pixels < 0.9
    assert [step[1:] for step in steps] == [(1, 3), (2, 3), (3, 3)]
    write_report(report, tmp_path / "report.json", tmp_path / "report.html")
    assert "TensorRT 10.16.1.11 on NVIDIA L4" in (tmp_path / "report.html").read_text()
    assert len(report.panels) == 3


def test_a_plan_below_the_bounds_is_kept_only_on_demand(gate: Gate, make_plan: MakePlan) -> None:
    plan = make_plan(residual_network(seed=1))
    judged = judge_plan(plan, gate(accept=True), device=HostDevice())
    assert judged.report.verdict == "accepted"


def test_a_plan_that_gives_no_numbers_is_no_network(gate: Gate, make_plan: MakePlan) -> None:
    from tritonseg_engines.errors import OnnxModelError

    broken = residual_network()
    bias = next(t for t in broken.graph.initializer if t.name == "SCORES.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(CLASSES, np.nan, np.float32), bias.name))
    with pytest.raises(OnnxModelError, match="NaN or infinite scores"):
        judge_plan(make_plan(broken), gate(), device=HostDevice())


def test_a_graph_with_the_steps_inside_gets_pictures_and_gives_maps(gate: Gate) -> None:
    """Around it nothing is done: the map of the right one is the reference's."""
    layered = gate()
    scores = infer_in_onnx_runtime(residual_network())
    pictures = layered.bar.reference.pictures
    by_content = {pictures[i].image_hwc.tobytes(): pictures[i] for i in range(len(pictures))}

    def folded(images_nhwc: np.ndarray) -> np.ndarray:
        assert images_nhwc.dtype == np.uint8
        picture = by_content[images_nhwc.tobytes()]
        steps = layered.bar.reference.steps
        return steps.class_map(scores(steps.batch(picture)), picture)[None]

    fused = layered.with_folded_steps(SIZE_HW, 1.0)
    assert fused.report.facts[FUSED_FACT] == "100.0000%"
    right = fused.judge_engine(folded, "ONNX Runtime", unheard)
    assert right.report.comparison.equal_pixels == 1
    wrong = fused.judge_engine(lambda images: (folded(images) + 1) % CLASSES, "elsewhere", unheard)
    assert wrong.report.comparison.equal_pixels == 0


def test_a_graph_with_the_steps_inside_takes_one_size() -> None:
    picture = Picture(name="street.png", image_hwc=np.zeros((5, 7, 3), np.uint8))
    with pytest.raises(CalibrationError, match=r"street\.png: .* 4x8 pixels, got 5x7"):
        FoldedSteps((4, 8)).batch(picture)
