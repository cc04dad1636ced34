"""The GPU check's arithmetic and its page, against figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from gpu_check.roofline import Work, least_ms, work_of
from gpu_check.rows import (
    Case,
    Failed,
    Measured,
    read_measured,
    write_measured,
)
from gpu_check.table import (
    BEGIN,
    END,
    Circumstances,
    PageError,
    insert_table,
    table,
)
from residual_network import residual_network, residual_spec
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.preflight.gpu_peaks import PEAKS, GpuPeaks
from tritonseg_engines.tensorrt import Gpu, Machine
from tritonseg_engines.tensorrt.timing import PlanTiming

MACHINE = Machine(
    gpus=(
        Gpu(
            name="NVIDIA L4",
            compute_capability="8.9",
            memory_bytes=23_700_000_000,
            driver_version="570.86.15",
            cuda_version="12.8",
        ),
    ),
    tensorrt_version="10.16.1.11",
)
PEAK = GpuPeaks(tflops={"fp32": 10.0, "fp16": 100.0, "int8": 200.0}, bandwidth_gb_s=500.0)
MEASURED = Measured(
    case=Case(model="fastseg-small", precision="fp16"),
    weights="random",
    verdict="passed",
    equal_pixels=0.99987,
    onnx_equal_pixels=0.99991,
    pictures="4 pictures",
    build_s=61.5,
    plan_bytes=5_000_000,
    timings=(
        PlanTiming(batch=1, runs=100, latency_ms=2.0, pictures_per_s=550.0),
        PlanTiming(batch=4, runs=50, latency_ms=6.0, pictures_per_s=800.0),
        PlanTiming(batch=8, runs=20, latency_ms=13.0, pictures_per_s=620.0),
    ),
    # 50e9 MACs are 1e11 operations: 1 ms at 100 TFLOPS.
    work=Work(macs=50_000_000_000, weight_bytes=10_000_000, picture_bytes=40_000_000),
    machine="NVIDIA L4, TensorRT 10.16.1.11",
)
FAILED = Failed(case=Case(model="pspnet-pytorch", precision="int8"), reason="no | memory")


def circumstances(peaks: GpuPeaks | None = PEAK) -> Circumstances:
    return Circumstances(machine=MACHINE, date="2026-11-20", peaks=peaks)


def cells(text: str, model: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {model} "))
    return [cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")]


@pytest.mark.parametrize(
    ("batch", "precision", "work", "expected_ms"),
    [
        # 2 x 747.5e9 operations at 10 TFLOPS.
        (1, "fp32", Work(macs=747_500_000_000, weight_bytes=1, picture_bytes=1), 149.5),
        (4, "fp32", Work(macs=747_500_000_000, weight_bytes=1, picture_bytes=1), 598.0),
        (1, "int8", Work(macs=747_500_000_000, weight_bytes=1, picture_bytes=1), 7.475),
        # 100 MB of weights and 3 x 50 MB of pictures at 500 GB/s.
        (3, "fp16", Work(macs=1, weight_bytes=100_000_000, picture_bytes=50_000_000), 0.5),
    ],
)
def test_the_bound_is_what_takes_longer(
    batch: int, precision: str, work: Work, expected_ms: float
) -> None:
    assert least_ms(work, batch, precision, PEAK) == pytest.approx(expected_ms)


@pytest.mark.parametrize(("precision", "weight_bytes"), [("fp32", 4), ("fp16", 2), ("int8", 1)])
def test_work_is_counted_from_the_network(
    precision: str, weight_bytes: int, tmp_path: Path
) -> None:
    """Weights of four convolutions without biases; the boundary is float32 in every precision."""
    onnx.save(residual_network(), tmp_path / "export.onnx")
    prepared = prepare_network(residual_spec(), tmp_path / "export.onnx")
    assert work_of(prepared, precision, 123) == Work(
        macs=123,
        weight_bytes=(8 * 3 * 4 * 4 + 2 * 8 * 8 * 3 * 3 + 4 * 8) * weight_bytes,
        picture_bytes=(3 * 64 * 96 + 4 * 16 * 24) * 4,
    )


@pytest.mark.parametrize("name", PEAKS)
def test_data_sheets_are_without_sparsity_and_in_order(name: str) -> None:
    """int8 is twice fp16 on every one of these, which a mixed-up column would not be."""
    peaks = PEAKS[name]
    assert peaks.tflops["int8"] == pytest.approx(2 * peaks.tflops["fp16"], rel=0.02)
    assert peaks.tflops["fp32"] < peaks.tflops["fp16"]
    assert 250 < peaks.bandwidth_gb_s < 5000


def test_a_row_says_latency_throughput_and_share_of_the_bound() -> None:
    text = table([MEASURED, FAILED], circumstances())
    assert cells(text, "fastseg-small") == [
        "fastseg-small",
        "random",
        "fp16",
        "99.987%",
        "99.991%",
        "passed",
        "2.00 ms",
        "50%",  # of 1 ms
        "800.0 (4)",
        "80%",  # four pictures take 5 ms where 4 ms would do
    ]
    assert text.startswith(
        "NVIDIA L4, 24 GB, driver 570.86.15 (CUDA 12.8), TensorRT 10.16.1.11, 2026-11-20.\n"
        "Bound: fp32 10, fp16 100, int8 200 TFLOPS, 500 GB/s.\nCompared on: 4 pictures.\n\n"
    )


def test_a_failure_is_a_row_and_takes_no_other_with_it() -> None:
    text = table([FAILED, MEASURED], circumstances())
    failed = cells(text, "pspnet-pytorch")
    assert failed[5] == "failed: no ¦ memory"
    assert len(failed) == len(cells(text, "fastseg-small")) == 10


def test_an_unknown_gpu_has_times_but_no_shares() -> None:
    text = table([MEASURED], circumstances(None))
    assert "give its figures with --peak-tflops and --bandwidth" in text
    assert cells(text, "fastseg-small")[6:] == ["2.00 ms", "–", "800.0 (4)", "–"]
    fp32_only = GpuPeaks(tflops={"fp32": 1.0}, bandwidth_gb_s=1.0)
    assert cells(table([MEASURED], circumstances(fp32_only)), "fastseg-small")[7] == "–"


@pytest.mark.parametrize(
    ("weights", "precision", "verdict", "alarming"),
    [
        ("random", "int8", "accepted", False),
        ("random", "fp32", "accepted", True),
        ("trained.pth", "int8", "accepted", True),
        ("trained.pth", "int8", "passed", False),
    ],
)
def test_what_makes_the_check_fail(
    weights: str, precision: str, verdict: str, alarming: bool
) -> None:
    case = Case(model="m", precision=precision)
    row = replace(MEASURED, case=case, weights=weights, verdict=verdict)
    assert row.is_alarming is alarming


def test_a_row_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "rows" / "row.json"
    assert read_measured(path) is None
    write_measured(MEASURED, path)
    assert read_measured(path) == MEASURED


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"case": 1}'])
def test_a_row_of_another_version_is_no_row(content: str, tmp_path: Path) -> None:
    path = tmp_path / "row.json"
    path.write_text(content)
    assert read_measured(path) is None


def test_only_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    insert_table(page, "new")
    insert_table(page, "newer")
    assert page.read_text() == f"before\n\n{BEGIN}\nnewer\n{END}\n\nafter\n"


@pytest.mark.parametrize(
    "content", ["none", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}", f"{BEGIN}{END}{END}"]
)
def test_a_page_without_a_place_is_left_as_it_is(content: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(content)
    with pytest.raises(PageError, match=r"page\.md: expected one line <!-- gpu-check:begin -->"):
        insert_table(page, "new")
    assert page.read_text() == content
