"""`tritonseg doctor`: versions, GPU, server and repository, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tritonseg_engines.serving.doctor import Diagnosis

LABEL_WIDTH = 14


@click.command(name="doctor")
@click.option("--url", metavar="HOST:PORT", help="Look at the server whose gRPC listens there.")
@click.option(
    "--repository",
    type=click.Path(file_okay=False, path_type=Path),
    help="Hold a repository's files and plans against its manifests and this machine.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a document instead of text.")
def command(url: str | None, repository: Path | None, as_json: bool) -> None:
    """Show what this machine has, and what keeps models from being served.

    Exit code 1 if a server or repository that was asked for has a problem, or the Triton here
    cannot work with the NumPy here; what is merely not installed is none.
    """
    from tritonseg_engines.serving.doctor import diagnose

    diagnosis = diagnose(url=url, repository=repository)
    if as_json:
        document = {**asdict(diagnosis), "problems": diagnosis.problems}
        click.echo(json.dumps(document, indent=2))
    else:
        for label, text in _rows(diagnosis):
            click.echo(f"{label:<{LABEL_WIDTH}}{text}")
    if diagnosis.problems:
        raise SystemExit(1)


def _rows(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    for name, version in diagnosis.versions.items():
        yield name, version or "not installed"
    machine = diagnosis.machine
    yield "tensorrt", machine.tensorrt_version or f"none: {machine.no_tensorrt_reason}"
    for gpu in machine.gpus:
        yield (
            "gpu",
            f"{gpu.name}, compute capability {gpu.compute_capability}, "
            f"{gpu.memory_bytes / 2**30:.0f} GiB, driver {gpu.driver_version or 'unknown'}, "
            f"CUDA {gpu.cuda_version}",
        )
    if not machine.gpus:
        yield "gpu", f"none: {machine.no_gpu_reason}"
    yield "tritonserver", diagnosis.tritonserver
    if diagnosis.server is not None and diagnosis.server.version is not None:
        models = diagnosis.server.models
        listed = (
            "models not listed"
            if models is None
            else f"{len(models)} model{'' if len(models) == 1 else 's'}"
        )
        yield "server", f"{diagnosis.server.url}, Triton {diagnosis.server.version}, {listed}"
    for name, found in diagnosis.models.items():
        yield "model", name if found else f"{name}: as built, and this machine can serve it"
        for line in diagnosis.remarks.get(name, ()):
            yield "remark", f"{name}: {line}"
    for line in diagnosis.problems:
        yield "problem", line
