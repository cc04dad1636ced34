"""`tritonseg preflight`: whether NVIDIA's compiler takes a graph, without a GPU."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from tritonseg_engines.cli.model_argument import shipped_onnx, spec_of
from tritonseg_engines.cli.preflight_output import show_preflight
from tritonseg_engines.cli.progress_bars import progress_bars
from tritonseg_engines.cli.sizes import typed_size
from tritonseg_engines.target import Precision, Runtime

if TYPE_CHECKING:
    from tritonseg_engines.preflight import Limits, Preflight

GIB = 2**30
MOST_GIB = 2**30
MOST_SECONDS = 365 * 24 * 3600
OF_A_FILE = {"batch": "--batch", "size": "--size"}
OF_A_MODEL = {
    "onnx_path": "--onnx",
    "precision": "--precision",
    "calibration": "--calibration",
}


def _not_nan(_context: click.Context, _option: click.Parameter, value: float) -> float:
    """Refuse the one number that is in every range."""
    if math.isnan(value):
        raise click.BadParameter("expected a number, got nan")
    return value


@click.command(name="preflight")
@click.argument("graph")
@click.option(
    "--gpu",
    "gpus",
    default="sm_80,sm_86,sm_89,sm_120",
    show_default=True,
    help="For which GPUs, by compute capability: sm_75 T4, sm_80 A100, sm_86 A10, sm_89 L4, sm_120 "
    "Blackwell RTX.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="With a file: largest batch; a MODEL has its own.",
)
@click.option(
    "--size",
    metavar="HEIGHTxWIDTH",
    help="With a file: of pictures, where the graph leaves it open; the graph's own otherwise.",
)
@click.option(
    "--onnx",
    "onnx_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With a MODEL: its export; the demo's ships.",
)
@click.option(
    "--precision",
    type=click.Choice([word.value for word in Precision]),
    default=Precision.FP32.value,
    show_default=True,
    help="With a MODEL.",
)
@click.option(
    "--calibration",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With a MODEL in int8: pictures that it learns its scales from.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=1, max=MOST_SECONDS),
    callback=_not_nan,
    default=600,
    show_default=True,
    help="Seconds for each GPU.",
)
@click.option(
    "--memory-limit",
    type=click.FloatRange(min=1, max=MOST_GIB),
    callback=_not_nan,
    default=16,
    show_default=True,
    help="GiB that the compiler may take.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a document instead of text.")
def command(
    graph: str,
    gpus: str,
    batch: int,
    size: str | None,
    onnx_path: Path | None,
    precision: str,
    calibration: Path | None,
    time_limit: float,
    memory_limit: float,
    as_json: bool,
) -> None:
    """Ask NVIDIA's compiler whether it takes GRAPH, for GPUs that need not be here.

    GRAPH is an ONNX file, asked about in the precision that it is in, with what a build would
    refuse of it. Or a MODEL as in `tritonseg build`: the name of a published one, or a YAML file
    that describes yours. It is built for TensorRT up to its ONNX, judged, and asked about, which
    takes a minute or so. Nothing is kept.

    The compiler is TensorRT-RTX, which the extra `preflight` brings, under NVIDIA's own licence. It
    shares parser and typing rules with TensorRT 11; its engines are not plans, and what a plan
    computes is judged where it is built.

    Exit code 1 if a GPU's compiler refuses the graph.
    """
    from tritonseg_engines.preflight import LICENCE, Limits, find_compiler

    if not graph:
        raise click.UsageError("GRAPH: expected an ONNX file or the name of a model, got ''")
    is_file = graph.lower().endswith(".onnx")
    _refuse_given(OF_A_MODEL if is_file else OF_A_FILE, graph, "MODEL" if is_file else "file")
    limits = Limits(seconds=time_limit, memory_bytes=int(memory_limit * GIB))
    compiler = find_compiler()
    click.echo(
        f"asking TensorRT-RTX {compiler.version}, under NVIDIA's licence: {LICENCE}", err=True
    )
    if is_file:
        found = _of_file(Path(graph), gpus, batch, size, limits)
    else:
        found = _of_model(graph, onnx_path, precision, calibration, gpus, limits)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        show_preflight(found)
    if not found.accepted:
        raise SystemExit(1)


def _refuse_given(options: dict[str, str], graph: str, owner: str) -> None:
    """Refuse what would be ignored."""
    given = click.get_current_context().get_parameter_source
    for parameter, option in options.items():
        if given(parameter) is not ParameterSource.DEFAULT:
            hint = ""
            if owner == "MODEL":
                hint = (
                    ": a file is asked about in the precision that it is in. Describe it in YAML "
                    "(docs/model_specification.md), then: tritonseg preflight MODEL.yaml --onnx "
                    f"{graph} --precision int8 --calibration FOLDER"
                )
            raise click.UsageError(f"{option} goes with a {owner}, and {graph!r} is none{hint}")


def _of_file(graph: Path, gpus: str, batch: int, size: str | None, limits: Limits) -> Preflight:
    from tritonseg_engines.preflight import asked_sizes, own_refusals, preflight, read_gpus

    with progress_bars() as progress:
        found = preflight(
            graph,
            read_gpus(gpus.split(",")),
            asked_sizes(batch, None if size is None else _size_hw(size)),
            limits=limits,
            progress=progress,
        )
    return replace(found, own_refusals=own_refusals(graph))


def _of_model(
    model: str,
    onnx_path: Path | None,
    precision: str,
    calibration: Path | None,
    gpus: str,
    limits: Limits,
) -> Preflight:
    from tritonseg_engines.build.model import build_model
    from tritonseg_engines.build.options import BuildOptions
    from tritonseg_engines.preflight import GraphRefusedError, scratch_folder

    onnx_path = onnx_path or shipped_onnx(model)
    options = BuildOptions(
        calibration=calibration,
        onnx_only=True,
        preflight_gpus=tuple(gpus.split(",")),
        preflight_limits=limits,
    )
    with scratch_folder() as folder, progress_bars() as progress:
        try:
            report = build_model(
                spec_of(model, onnx_path),
                onnx_path,
                folder / "model_repository",
                precision=precision,
                runtime=Runtime.TENSORRT,
                options=options,
                progress=progress,
            )
            found = report.compiler.found
        except GraphRefusedError as error:
            found = error.found
    if found is None:
        raise AssertionError("a build that names GPUs asks about them")
    return replace(found, graph=Path(model))  # and not the file that is gone again


def _size_hw(text: str) -> tuple[int, int]:
    size_hw = typed_size(text)
    if size_hw is None:
        raise click.BadParameter(f"expected HEIGHTxWIDTH such as 512x1024, got {text!r}")
    return size_hw
