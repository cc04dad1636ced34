"""The rows as Markdown, and their place in a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gpu_check.roofline import least_ms
from gpu_check.rows import Failed, Measured, Row
from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.errors import EngineBuildError
from tritonseg_engines.preflight.gpu_peaks import GpuPeaks
from tritonseg_engines.tensorrt.machine import Machine

BEGIN: Final = "<!-- gpu-check:begin -->"
END: Final = "<!-- gpu-check:end -->"
HEADINGS: Final = (
    "model",
    "weights",
    "precision",
    "pixels as in fp32",
    "its ONNX on the CPU",
    "gate",
    "latency, batch 1",
    "of the bound",
    "pictures/s (batch)",
    "of the bound",
)
UNKNOWN: Final = "–"


class PageError(EngineBuildError, ValueError):
    """A page has no place for the table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """Where and when the rows were measured.

    Attributes:
        machine: GPU and TensorRT.
        date: ISO 8601, e.g. "2026-11-20".
        peaks: Of the GPU, or None where they are not known.
    """

    machine: Machine
    date: str
    peaks: GpuPeaks | None


def table(rows: Sequence[Row], circumstances: Circumstances) -> str:
    """Return the table with what has to be known to read it."""
    return "\n".join((*_caption(rows, circumstances), "", *_lines(rows, circumstances.peaks)))


def insert_table(page: Path, text: str, *, begin: str = BEGIN, end: str = END) -> None:
    """Replace what stands between two markers of a page.

    Raises:
        PageError: The page has not exactly one pair of markers.
    """
    content = page.read_text()
    before, found_begin, rest = content.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end or begin in after or end in before or end in after:
        raise PageError(f"{page}: expected one line {begin} and then one line {end}")
    write_atomically(page, f"{before}{begin}\n{text}\n{end}{after}".encode())


def _caption(rows: Sequence[Row], circumstances: Circumstances) -> Iterator[str]:
    machine, peaks = circumstances.machine, circumstances.peaks
    gpu = machine.first_gpu()
    yield (
        f"{gpu.name}, {gpu.memory_bytes / 1e9:.0f} GB, driver {gpu.driver_version or 'unknown'} "
        f"(CUDA {gpu.cuda_version}), TensorRT {machine.tensorrt_version}, {circumstances.date}."
    )
    if peaks is None:
        yield (
            "The bound is not known for this GPU: give its figures with --peak-tflops and "
            "--bandwidth."
        )
    else:
        figures = ", ".join(f"{name} {value:g}" for name, value in peaks.tflops.items())
        yield f"Bound: {figures} TFLOPS, {peaks.bandwidth_gb_s:g} GB/s."
    pictures = dict.fromkeys(row.pictures for row in rows if isinstance(row, Measured))
    if pictures:
        yield f"Compared on: {'; '.join(pictures)}."


def _lines(rows: Sequence[Row], peaks: GpuPeaks | None) -> Iterator[str]:
    yield line(HEADINGS)
    yield "|---" * len(HEADINGS) + "|"
    for row in rows:
        yield line(_failed(row) if isinstance(row, Failed) else _measured(row, peaks))


def _failed(row: Failed) -> tuple[str, ...]:
    head = (row.case.model, UNKNOWN, row.case.precision, UNKNOWN, UNKNOWN, f"failed: {row.reason}")
    return (*head, *[UNKNOWN] * (len(HEADINGS) - len(head)))


def _measured(row: Measured, peaks: GpuPeaks | None) -> tuple[str, ...]:
    single, best = row.single, row.best
    return (
        row.case.model,
        row.weights,
        row.case.precision,
        f"{row.equal_pixels:.3%}",
        f"{row.onnx_equal_pixels:.3%}",
        "passed" if row.verdict == "passed" else "below its bounds",
        f"{single.latency_ms:.2f} ms",
        _share(row, single.batch, single.latency_ms, peaks),
        f"{best.pictures_per_s:.1f} ({best.batch})",
        _share(row, best.batch, 1000 * best.batch / best.pictures_per_s, peaks),
    )


def _share(row: Measured, batch: int, measured_ms: float, peaks: GpuPeaks | None) -> str:
    if peaks is None or row.case.precision not in peaks.tflops:
        return UNKNOWN
    return f"{least_ms(row.work, batch, row.case.precision, peaks) / measured_ms:.0%}"


def line(cells: Sequence[str]) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
