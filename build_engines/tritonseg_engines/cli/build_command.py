"""`tritonseg build`: ONNX in, model repository out, or a refusal with its reasons."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tritonseg_engines.build.options import (
    CALIBRATOR_NAMES,
    GPU_COMPATIBILITIES,
    MINIMUM_CALIBRATION_PICTURES,
    QUANTIZERS,
    BuildOptions,
)
from tritonseg_engines.cli.build_output import report_document, show_report
from tritonseg_engines.cli.model_argument import shipped_onnx, spec_of
from tritonseg_engines.cli.progress_bars import progress_bars
from tritonseg_engines.cli.typed import DEFAULT_REPOSITORY
from tritonseg_engines.repository.files import FIRST_VERSION
from tritonseg_engines.spec import UPSAMPLINGS
from tritonseg_engines.target import Precision, Runtime, ServingLayout
from tritonseg_steps.int8_cpu import Int8Cpu

NO_ENGINE = 3
"""Exit code where an engine was asked for and cannot be built on this machine."""
LARGEST_VERSION = 10**18 - 1
"""What clients ask for; Triton counts in 64 bits."""
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(name="build")
@click.argument("model")
@click.option(
    "--onnx",
    "onnx_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The export; the demo's ships.",
)
@click.option(
    "--repository",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_REPOSITORY,
    show_default=True,
)
@click.option(
    "--precision",
    type=click.Choice([word.value for word in Precision]),
    default=Precision.FP32.value,
    show_default=True,
)
@click.option(
    "--runtime",
    type=click.Choice([word.value for word in Runtime]),
    default=Runtime.OPENVINO.value,
    show_default=True,
)
@click.option(
    "--layout",
    type=click.Choice([word.value for word in ServingLayout]),
    show_default="single for openvino, ensemble for tensorrt",
    help="ensemble: normalize, engine and argmax as models of their own. single: one model that "
    "runs them in its own process, on the CPU. fused: one model with them in the "
    "engine's graph, for raw pixels of exactly the network's size and the class map only. The "
    "masks are the same.",
)
@click.option(
    "--version",
    type=click.IntRange(1, LARGEST_VERSION),
    metavar="N",
    help="Add or replace this version of the model and keep its others, in the layouts single and "
    "fused; see docs/versions.md. Callers that name none get the highest.",
)
@click.option(
    "--grace",
    "grace_s",
    type=click.IntRange(min=0),
    default=0,
    metavar="SECONDS",
    help="Where an ensemble is replaced by one model: how long its steps stay, so that a server "
    "that polls the repository always has something to serve.",
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
@click.option(
    "--labels", type=FOLDER, help="Their labels: PNGs of class indices, of the same names."
)
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
    "--hardware-compatibility",
    type=click.Choice(GPU_COMPATIBILITIES),
    default="none",
    show_default=True,
    help="With tensorrt: also for other GPUs of this compute capability (TensorRT 10 or newer), or "
    "from Ampere on, which is slower.",
)
@click.option(
    "--timing-cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="With tensorrt: a folder that keeps how fast kernels were, and which were chosen, for "
    "each GPU and TensorRT. A second build takes seconds.",
)
@click.option(
    "--reproducible",
    is_flag=True,
    help="With --timing-cache and TensorRT 10 or newer: take the kernels in it and no others, or "
    "fail. Without it the same recipe may lead to another plan.",
)
@click.option(
    "--gpu-argmax",
    is_flag=True,
    help="With tensorrt: argmax on the GPU too, in one process. Takes CuPy in the server (the "
    "extra `gpu`). New: its kernels have run on a GPU; with a plan in a Triton they have not.",
)
@click.option("--accept", is_flag=True, help="Build although the gate refuses; recorded.")
@click.option("--onnx-only", is_flag=True, help="Stop after the converted ONNX and its gate.")
@click.option(
    "--gpu",
    "gpus",
    metavar="NAMES",
    help="Where tensorrt stops at the ONNX: for which GPUs NVIDIA's compiler is asked about it, as "
    "in `tritonseg preflight`. Asked for the usual ones where the extra `preflight` is installed.",
)
@click.option("--no-preflight", is_flag=True, help="Do not ask NVIDIA's compiler.")
@click.option(
    "--upsampling",
    type=click.Choice(UPSAMPLINGS),
    help="In place of the specification's output.upsampling: how pictures of another size than the "
    "network's get their class map. direct: from the scores in front of the export's own Resize. "
    "export: from what the export gives.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a document instead of text.")
def command(
    model: str,
    onnx_path: Path | None,
    repository: Path,
    precision: str,
    runtime: str,
    layout: str | None,
    version: int | None,
    grace_s: int,
    upsampling: str | None,
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
    hardware_compatibility: str,
    timing_cache: Path | None,
    reproducible: bool,
    gpu_argmax: bool,
    accept: bool,
    onnx_only: bool,
    gpus: str | None,
    no_preflight: bool,
) -> None:
    """Build MODEL: the path of a YAML specification, or a name that `tritonseg models` lists.

    The built network is compared with the export in fp32, mask by mask, and nothing is written
    if they differ too much. The report, with pictures, lies beside what was built.

    Exit code 3 if no engine was built: a TensorRT plan takes the GPU that will run it. What a GPU
    is not needed for, the ONNX and its gate, is done and written all the same.
    """
    from tritonseg_engines.build.model import build_model

    onnx_path = onnx_path or shipped_onnx(model)
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
        hardware_compatibility=hardware_compatibility,
        timing_cache=timing_cache,
        reproducible=reproducible,
        gpu_argmax=gpu_argmax,
        accept=accept,
        onnx_only=onnx_only,
        grace_s=grace_s,
        version=None if version is None else str(version),
        preflight_gpus=_preflight_gpus(gpus, no_preflight),
    )
    spec = spec_of(model, onnx_path, upsampling=upsampling)
    folder = repository / spec.name / (options.version or FIRST_VERSION)
    replaces = not onnx_only and folder.is_dir()
    with progress_bars() as progress:
        report = build_model(
            spec,
            onnx_path,
            repository,
            precision=precision,
            runtime=runtime,
            layout=layout,
            options=options,
            progress=progress,
        )
    if report.lacks_engine:
        click.echo(f"no engine was built: {report.note}", err=True)
    if as_json:
        click.echo(json.dumps(report_document(report), indent=2, default=str))
    else:
        show_report(report, replaces=replaces)
    if report.lacks_engine:
        raise SystemExit(NO_ENGINE)


def _preflight_gpus(gpus: str | None, no_preflight: bool) -> tuple[str, ...] | None:
    if no_preflight and gpus is not None:
        raise click.UsageError("--gpu and --no-preflight contradict each other")
    if no_preflight:
        return ()
    return None if gpus is None else tuple(gpus.split(","))
