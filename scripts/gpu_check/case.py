"""Measure one case in a process of its own: a program.

Started by `run`. A GPU error poisons the process in which it happens, a crash ends it, and memory
that one plan took would be missing for the next.
"""

from __future__ import annotations

from pathlib import Path

import click

from gpu_check.material import exported, picture_options
from gpu_check.measuring import Subject, measure
from gpu_check.rows import Case, write_measured
from tritonseg_engines import zoo
from tritonseg_engines.errors import EngineBuildError
from tritonseg_engines.progress import Progress
from tritonseg_engines.repository.published_networks import network_facts
from tritonseg_engines.tensorrt import inspect_machine

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("model")
@click.argument("precision")
@click.option("--folder", type=FOLDER, required=True)
@click.option("--weights", type=FOLDER)
@click.option("--calibration", type=FOLDER)
@click.option("--pictures", type=FOLDER)
def main(
    model: str,
    precision: str,
    folder: Path,
    weights: Path | None,
    calibration: Path | None,
    pictures: Path | None,
) -> None:
    """Measure MODEL in PRECISION and write its row into the folder."""
    case = Case(model=model, precision=precision)
    try:
        machine = inspect_machine()
        machine.first_gpu()  # before minutes of exporting and converting
        spec = zoo.get_spec(model)
        onnx_path, origin = exported(spec, folder, weights)
        subject = Subject(
            case=case,
            spec=spec,
            onnx_path=onnx_path,
            weights=origin,
            macs=round(network_facts(model).gmacs * 1e9),
            options=picture_options(spec, folder, calibration, pictures),
        )
        row = measure(subject, folder, machine, progress=_say_once())
    except EngineBuildError as error:
        text = " ".join(str(error).split())  # TensorRT's reasons have several lines
        raise click.ClickException(f"{type(error).__name__}: {text}") from error
    write_measured(row, folder / case.file_name)


def _say_once() -> Progress:
    """Return a callback that names each phase when it begins, beside the errors' stream."""
    said: set[str] = set()

    def say(what: str, _done: int, _total: int) -> None:
        if what not in said:
            said.add(what)
            click.echo(f"    {what}")

    return say


if __name__ == "__main__":
    main()
