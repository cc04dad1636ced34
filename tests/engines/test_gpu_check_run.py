"""The GPU check from end to end, on a stand-in for TensorRT, and in processes that find no GPU."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import click
import onnx
import pytest
from click.testing import CliRunner

from gpu_check import run
from gpu_check.__main__ import given_peaks, main
from gpu_check.measuring import Subject, machine_key, measure
from gpu_check.rows import Case, Failed, Measured, write_measured
from gpu_check.run import Material, run_cases
from residual_network import SIZE_HW, residual_network, residual_spec, write_pictures
from tensorrt_double import Scenario, tensorrt_double
from tensorrt_machines import L4_MACHINE, TENSORRT_VERSION
from tensorrt_runtime_double import HostDevice
from tritonseg_engines.build.options import BuildOptions

CASES = [Case(model="fastseg-small", precision=precision) for precision in ("fp32", "int8")]


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a machine with a GPU shows none to the processes that a test starts."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture(params=["fp32", "fp16", "int8"])
def measured(
    request: pytest.FixtureRequest, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Measured:
    api = json.loads((shared / "tensorrt" / "api" / f"{TENSORRT_VERSION}.json").read_text())
    scenario = Scenario(plan=None, input_shape=(-1, 3, *SIZE_HW))
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_double(api, scenario))
    onnx.save(residual_network(), tmp_path / "export.onnx")
    folder = write_pictures(tmp_path / "pictures", 3)
    subject = Subject(
        case=Case(model="residual", precision=request.param),
        spec=residual_spec(),
        onnx_path=tmp_path / "export.onnx",
        weights="random",
        macs=1000,
        options=BuildOptions(calibration=folder, minimum_pictures=1, accept=True),
    )
    return measure(
        subject, tmp_path / "out", L4_MACHINE, device=HostDevice(), batches=(1, 4), budget_s=0.01
    )


def test_a_case_is_converted_judged_and_timed(measured: Measured, tmp_path: Path) -> None:
    assert measured.machine == "NVIDIA L4, TensorRT 10.16.1.11"
    assert [timing.batch for timing in measured.timings] == [1, 4]
    assert all(t.latency_ms > 0 and t.pictures_per_s > 0 for t in measured.timings)
    assert measured.equal_pixels > 0.97
    assert abs(measured.equal_pixels - measured.onnx_equal_pixels) < 0.02
    assert measured.work.macs == 1000
    plan = tmp_path / "out" / f"residual.{measured.case.precision}.plan"
    assert measured.plan_bytes == plan.stat().st_size


@pytest.mark.usefixtures("no_gpu")
def test_a_case_that_fails_is_a_row_with_its_reason(tmp_path: Path) -> None:
    said: list[str] = []
    rows = run_cases(CASES, Material(folder=tmp_path), L4_MACHINE, say=said.append)
    assert [row.case for row in rows] == CASES
    for row in rows:
        assert isinstance(row, Failed)
        assert "TensorRTUnavailableError: no GPU to build a TensorRT plan on" in row.reason
        assert "\n" not in row.reason
    assert said[0] == "fastseg-small, fp32"
    assert said[1].startswith("    failed: ")


@pytest.mark.usefixtures("no_gpu")
def test_what_this_machine_measured_is_not_measured_again(
    measured: Measured, tmp_path: Path
) -> None:
    material = Material(folder=tmp_path / "rows")
    rows = [replace(measured, case=case) for case in CASES]
    rows[1] = replace(rows[1], machine="NVIDIA L4, TensorRT 10.3.0")
    for row in rows:
        write_measured(row, material.folder / row.case.file_name)
    assert machine_key(L4_MACHINE) == rows[0].machine
    found = run_cases(CASES, material, L4_MACHINE)
    assert found[0] == rows[0]
    assert isinstance(found[1], Failed)
    assert isinstance(run_cases(CASES[:1], material, L4_MACHINE, again=True)[0], Failed)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was ended by signal 9"),
        ("raise SystemExit(3)", "exit code 3, no message"),
        ("pass", "exit code 0, no message"),
        ("import time; time.sleep(60)", "took more than 2 s"),
        ("raise SystemExit('x' * 5000)", "x" * 300 + "..."),
    ],
)
def test_a_process_that_ends_in_any_other_way_is_a_row_too(
    program: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ending.py").write_text(program)
    paths = filter(None, (str(tmp_path), os.environ.get("PYTHONPATH")))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setattr(run, "CASE_MODULE", "ending")
    timeout_s = 2 if "sleep" in program else 300
    (row,) = run_cases(CASES[:1], Material(folder=tmp_path), L4_MACHINE, timeout_s=timeout_s)
    assert isinstance(row, Failed)
    assert row.reason.endswith(reason)


def test_material_reaches_the_case(tmp_path: Path) -> None:
    material = Material(folder=tmp_path, weights=Path("w"), pictures=Path("p"))
    assert list(material.arguments()) == [f"--folder={tmp_path}", "--weights=w", "--pictures=p"]


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- gpu-check:begin -->old<!-- gpu-check:end -->")
    outcome = CliRunner().invoke(main, ["--page", str(page), "--folder", str(tmp_path / "out")])
    assert outcome.exit_code == 1
    assert "no GPU to build a TensorRT plan on" in outcome.output
    assert "old" in page.read_text()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "unet"], "'unet' is not one of 'fastseg-small'"),
        (["--precisions", "int4"], "'int4' is not one of"),
        (["--peak-tflops", "fp16=121"], "go together"),
        (["--bandwidth", "300"], "go together"),
        (["--bandwidth", "300", "--peak-tflops", "fp16=fast"], "expected e.g. fp16=121"),
        (["--bandwidth", "300", "--peak-tflops", "int4=1"], "expected e.g. fp16=121"),
        (["--bandwidth", "300", "--peak-tflops", "fp16=-1"], "expected e.g. fp16=121"),
        (["--bandwidth", "0", "--peak-tflops", "fp16=1"], "0.0 is not in the range x>0"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments: list[str], message: str) -> None:
    outcome = CliRunner().invoke(main, arguments)
    assert outcome.exit_code == 2
    assert message in outcome.output


def test_peaks_can_be_given() -> None:
    peaks = given_peaks(("fp16=121", "int8=242.5"), 300)
    assert peaks is not None
    assert (peaks.tflops, peaks.bandwidth_gb_s) == ({"fp16": 121.0, "int8": 242.5}, 300)
    assert given_peaks((), None) is None
    with pytest.raises(click.BadParameter):
        given_peaks((), 300)
