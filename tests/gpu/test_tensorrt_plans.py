"""Plans on a real GPU: their scores are ONNX Runtime's, in every precision and batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from residual_network import (
    SIZE_HW,
    residual_network,
    residual_spec,
    smooth_batch,
    write_pictures,
)
from tiny_models import TinyModel, run_onnx
from tritonseg_engines.build.engine_file import judge_plan
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.build.order import BuildOrder
from tritonseg_engines.build.pictures_choice import PictureChoice
from tritonseg_engines.build.precision import convert_and_judge
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.graph.onnx_file import save_onnx
from tritonseg_engines.running.rounding import with_written_rounding
from tritonseg_engines.target import BuildTarget
from tritonseg_engines.tensorrt import (
    ENGINES_KEY,
    EngineIncompatibleError,
    Machine,
    PlanInputError,
    PlanOptions,
    check_manifest,
    plan_manifest,
)
from tritonseg_engines.tensorrt.loaded_plan import LoadedPlan, load_plan
from tritonseg_engines.tensorrt.plan import PlanReport, build_plan
from tritonseg_engines.tensorrt.timing import time_plan

TOLERANCES = {"fp32": 1e-3, "fp16": 1e-2, "int8": 5e-2}
"""Largest difference, relative to the largest score. A value on the border between two int8 steps
may fall to either side, and one step of the last activation is near one in a hundred."""

MakePlan = Callable[..., PlanReport]


@pytest.fixture
def make_plan(machine: Machine, tmp_path: Path) -> MakePlan:
    def make_plan(model: onnx.ModelProto, options: PlanOptions | None = None) -> PlanReport:
        save_onnx(model, tmp_path / "model.onnx")
        return build_plan(
            tmp_path / "model.onnx", tmp_path / "model.plan", options, gpu=machine.first_gpu()
        )

    return make_plan


@pytest.fixture
def fp32(make_plan: MakePlan) -> Iterator[LoadedPlan]:
    with load_plan(make_plan(residual_network()).plan) as plan:
        yield plan


def new_order(folder: Path, precision: str) -> BuildOrder:
    path = folder / "export.onnx"
    onnx.save(residual_network(), path)
    prepared = prepare_network(residual_spec(), path)
    pictures = write_pictures(folder / "pictures", 8)
    options = BuildOptions(calibration=pictures, minimum_pictures=1, accept=True)
    return BuildOrder(
        prepared=prepared,
        target=BuildTarget.of(precision, "tensorrt"),
        options=options,
        pictures=PictureChoice(options, path, prepared.sizes),
    )


@pytest.mark.parametrize("precision", TOLERANCES)
def test_scores_and_masks_are_the_files(
    precision: str, make_plan: MakePlan, machine: Machine, tmp_path: Path
) -> None:
    if precision == "int8" and (machine.tensorrt_version or "").startswith("8."):
        pytest.skip("int8 beside fp16 needs TensorRT 10 or newer")
    conversion, judged = convert_and_judge(new_order(tmp_path, precision))
    model = conversion.converted.model
    report = make_plan(model)
    assert report.precision == precision
    batch = np.concatenate([smooth_batch(seed) for seed in range(3)])
    expected = run_onnx(with_written_rounding(model), batch)
    with load_plan(report.plan) as plan:
        scores = plan.infer(batch)
    assert (scores.shape, scores.dtype) == (expected.shape, np.float32)
    assert np.abs(scores - expected).max() <= TOLERANCES[precision] * np.abs(expected).max()
    verdict = judge_plan(report, judged).report
    by_itself = judged.report.comparison.equal_pixels
    assert verdict.comparison.equal_pixels == pytest.approx(by_itself, abs=0.005)


def test_a_picture_gets_the_same_scores_in_any_batch(fp32: LoadedPlan) -> None:
    batch = np.concatenate([smooth_batch(seed) for seed in range(8)])
    alone = np.concatenate([fp32.infer(image[None]) for image in batch])
    for count in (1, 2, 3, 8, 5):
        together = fp32.infer(batch[:count])
        np.testing.assert_allclose(together, alone[:count], atol=1e-3 * np.abs(alone).max())


def test_a_batch_beyond_the_profile_is_refused_and_the_plan_goes_on(fp32: LoadedPlan) -> None:
    with pytest.raises(PlanInputError, match=r"to \(8, 3, 64, 96\), got \(9, 3, 64, 96\)"):
        fp32.infer(np.zeros((9, 3, *SIZE_HW), np.float32))
    assert np.isfinite(fp32.infer(smooth_batch(0))).all()


def test_pictures_go_into_a_plan_that_takes_pictures(make_plan: MakePlan) -> None:
    model = TinyModel(layout="NHWC", dtype="uint8").model()
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)
    expected = run_onnx(model, pictures)
    with load_plan(make_plan(model).plan) as plan:
        scores = plan.infer(pictures)
    np.testing.assert_allclose(scores, expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("damage", ["text", "magic tag"])
def test_a_foreign_plan_is_refused_with_tensorrts_reason(
    damage: str, make_plan: MakePlan, tmp_path: Path
) -> None:
    content = b"not a plan " * 1000
    if damage == "magic tag":
        content = bytes(reversed(range(16))) + make_plan(residual_network()).plan.read_bytes()[16:]
    (tmp_path / "foreign.plan").write_bytes(content)
    with (
        pytest.raises(EngineIncompatibleError, match=r"does not load it on .+: .+ again here"),
        load_plan(tmp_path / "foreign.plan"),
    ):
        pass


def test_timing_is_of_the_gpu(fp32: LoadedPlan) -> None:
    one, eight = (time_plan(fp32, batch, budget_s=0.2) for batch in (1, 8))
    assert 0 < one.latency_ms < 1000
    assert eight.pictures_per_s > 0
    # Eight pictures at once cannot take less time than one of them.
    assert eight.latency_ms > 0.8 * one.latency_ms


def test_the_manifest_fits_the_machine_that_built_the_plan(
    make_plan: MakePlan, machine: Machine
) -> None:
    report = make_plan(residual_network())
    plan = json.loads(json.dumps(plan_manifest(report)))
    assert plan["plan_sha256"] == hashlib.sha256(report.plan.read_bytes()).hexdigest()
    manifest = {
        "model": "residual",
        "provenance": {"runtime": "tensorrt", "precision": "fp32"},
        ENGINES_KEY: {report.plan.name: plan},
    }
    assert check_manifest(manifest, machine) == []


def test_kernel_timings_are_reused(make_plan: MakePlan, tmp_path: Path) -> None:
    options = PlanOptions(timing_cache=tmp_path / "timings")
    make_plan(residual_network(), options)
    (file,) = (tmp_path / "timings").iterdir()
    assert file.stat().st_size > 0
    make_plan(residual_network(), options)
    assert list((tmp_path / "timings").iterdir()) == [file]
