"""`tritonseg build`: ONNX in, model repository out, or a refusal with its reasons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tritonseg_engines.build.options import (
    CALIBRATOR_NAMES,
    MINIMUM_CALIBRATION_PICTURES,
    QUANTIZERS,
    BuildOptions,
)
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.geometry import Native
from tritonseg_steps.int8_cpu import Int8Cpu

if TYPE_CHECKING:
    from collections.abc import Callable

    from tritonseg_engines.build.model import BuildReport

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(name="build")
@click.argument("model")
@click.option(
    "--onnx",
    "onnx_path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The export.",
)
@click.option(
    "--repository",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out/model_repository"),
    show_default=True,
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
)
@click.option(
    "--runtime",
    type=click.Choice(["openvino", "tensorrt"]),
    default="openvino",
    show_default=True,
)
@click.option(
    "--layout",
    type=click.Choice(["ensemble", "single", "fused"]),
    show_default="single for openvino, ensemble for tensorrt",
    help="ensemble: normalize, engine and argmax as models of their own. single: one model that "
    "runs them in its own process, on the CPU. fused: one model with them in the "
    "engine's graph, for raw pixels of exactly the network's size and the class map only. The "
    "masks are the same.",
)
@click.option("--calibration", type=FOLDER, help="Pictures that int8 learns its scales from.")
@click.option(
    "--calibrator",
    type=click.Choice(CALIBRATOR_NAMES),
    default=CALIBRATOR_NAMES[0],
    show_default=True,
)
@click.option(
    "--quantizer",
    type=click.Choice(QUANTIZERS),
    default=QUANTIZERS[0],
    show_default=True,
    help="modelopt: NVIDIA's, in an environment of its own; see docs/precision.md.",
)
@click.option(
    "--modelopt-python",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Interpreter of that environment.",
)
@click.option(
    "--minimum-pictures",
    type=click.IntRange(min=1),
    default=MINIMUM_CALIBRATION_PICTURES,
    show_default=True,
    help="Fewer are refused for int8.",
)
@click.option("--pictures", type=FOLDER, help="Pictures on which the built network is judged.")
@click.option("--labels", type=FOLDER, help="Their labels: 8-bit PNGs of the same names.")
@click.option(
    "--keep-fp32", multiple=True, metavar="PATTERN", help="Nodes to leave in fp32; repeatable."
)
@click.option(
    "--max-miou-drop",
    type=click.FloatRange(min=0),
    metavar="POINTS",
    help="Leave the costliest layers in high precision until int8 loses no more than this.",
)
@click.option(
    "--cpu",
    type=click.Choice(["this", *(cpu.value for cpu in Int8Cpu)]),
    default="this",
    show_default=True,
    help="What int8 weights for openvino are made for. avx2: 7 bits, right on every CPU. vnni: 8 "
    "bits, refused by CPUs without VNNI. this: what this machine has.",
)
@click.option(
    "--gpu-steps",
    is_flag=True,
    help="With tensorrt: normalize and argmax on the GPU too, so that tensors stay there. Takes "
    "CuPy in the server (tritonseg[gpu]). New: tested on a GPU, but not in a Triton yet.",
)
@click.option("--accept", is_flag=True, help="Build although the gate refuses; recorded.")
@click.option("--onnx-only", is_flag=True, help="Stop after the converted ONNX and its gate.")
@click.option("--keep-tail", is_flag=True, help="Leave Resize, Softmax and ArgMax in the engine.")
@click.option("--json", "as_json", is_flag=True, help="Print a document instead of text.")
def command(
    model: str,
    onnx_path: Path,
    repository: Path,
    precision: str,
    runtime: str,
    layout: str | None,
    keep_tail: bool,
    as_json: bool,
    keep_fp32: tuple[str, ...],
    calibration: Path | None,
    calibrator: str,
    quantizer: str,
    modelopt_python: Path | None,
    minimum_pictures: int,
    pictures: Path | None,
    labels: Path | None,
    max_miou_drop: float | None,
    cpu: str,
    gpu_steps: bool,
    accept: bool,
    onnx_only: bool,
) -> None:
    """Build MODEL, a published model's name or the path of a YAML specification.

    The built network is compared with the export in fp32, mask by mask, and nothing is written
    if they differ too much. The report, with pictures, lies beside what was built.
    """
    from tritonseg_engines.build.model import build_model

    options = BuildOptions(
        calibration=calibration,
        minimum_pictures=minimum_pictures,
        calibrator=calibrator,
        quantizer=quantizer,
        modelopt_python=modelopt_python,
        pictures=pictures,
        labels=labels,
        keep_fp32=keep_fp32,
        max_miou_drop=max_miou_drop,
        cpu=None if cpu == "this" else Int8Cpu(cpu),
        gpu_steps=gpu_steps,
        accept=accept,
        onnx_only=onnx_only,
    )
    with _progress() as progress:
        report = build_model(
            spec_of(model),
            onnx_path,
            repository,
            precision=precision,
            runtime=runtime,
            layout=layout,
            keep_tail=keep_tail,
            options=options,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(_document(report), indent=2, default=str))
    else:
        _show(report)


def spec_of(model: str) -> ModelSpec:
    """Return the specification that a command's MODEL argument means.

    Raises:
        SpecificationError: It is neither a zoo model nor a YAML file that describes one.
    """
    from tritonseg_engines.spec_yaml import read_spec
    from tritonseg_engines.zoo import get_spec

    if model.endswith((".yaml", ".yml")):
        return read_spec(Path(model))
    spec = get_spec(model)
    if isinstance(spec.preprocessing.resize, Native):
        # The published size is a default of the export; the file says which one was chosen.
        return replace(spec, input=replace(spec.input, height=None, width=None))
    return spec


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show one line per thing that takes time, on standard error and only on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bars:
        tasks = {}

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield update


def _document(report: BuildReport) -> dict[str, object]:
    return {
        "model": report.model,
        "tail": asdict(report.tail),
        "layout": report.layout,
        "proof": asdict(report.proof),
        "kept_tail": report.kept_tail,
        "equal_pixels_after_fuse": report.equal_pixels_after_fuse,
        "provenance": asdict(report.provenance),
        "gate": report.gate.to_json(),
        "report": report.report,
        "note": report.note,
    }


def _show(report: BuildReport) -> None:
    provenance, gate = report.provenance, report.gate
    click.echo(f"built {report.model} ({provenance.runtime}, {provenance.precision})")
    if report.tail.operators:
        click.echo(f"cut {' → '.join(report.tail.operators)} behind the network")
    if report.kept_tail:
        click.echo(f"left the tail in the network: {report.kept_tail}")
    sizes = ", ".join(f"{height}x{width}" for height, width in report.proof.sizes_hw)
    click.echo(
        f"proven against the export as it came, at {sizes}: {report.proof.equal_pixels:.4%} of the "
        "pixels equal on the worst picture"
    )
    if report.equal_pixels_after_fuse is not None:
        click.echo(
            f"fused the steps into the graph: {report.equal_pixels_after_fuse:.4%} of the pixels "
            "as in the ensemble"
        )
    comparison = gate.comparison
    click.echo(
        f"gate {gate.verdict}: {comparison.equal_pixels:.4%} of the pixels as in fp32, mIoU "
        f"between the two {comparison.agreement_miou:.4f} ({comparison.origin})"
    )
    if comparison.miou_drop_points is not None:
        click.echo(
            f"mIoU against labels {comparison.built_miou:.4f}, fp32 "
            f"{comparison.reference_miou:.4f}: {comparison.miou_drop_points:.2f} points lost"
        )
    kept = sum(cost.kept for cost in gate.costs)
    if kept:
        click.echo(f"{kept} of {len(gate.costs)} layers left in high precision")
    click.echo(f"report {report.report}")
    if report.note:
        click.echo(report.note)
