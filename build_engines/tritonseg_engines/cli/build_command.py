"""`tritonseg build`: ONNX in, model repository out."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import click

from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.geometry import Native


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
    default=Path("model_repository"),
    show_default=True,
)
@click.option("--precision", type=click.Choice(["fp32"]), default="fp32", show_default=True)
@click.option("--runtime", type=click.Choice(["openvino"]), default="openvino", show_default=True)
@click.option("--keep-tail", is_flag=True, help="Leave Resize, Softmax and ArgMax in the engine.")
@click.option("--json", "as_json", is_flag=True, help="Print a document instead of text.")
def command(
    model: str,
    onnx_path: Path,
    repository: Path,
    precision: str,
    runtime: str,
    keep_tail: bool,
    as_json: bool,
) -> None:
    """Build MODEL, a published model's name or the path of a YAML specification."""
    from tritonseg_engines.build import build_model

    report = build_model(
        spec_of(model),
        onnx_path,
        repository,
        precision=precision,
        runtime=runtime,
        keep_tail=keep_tail,
    )
    if as_json:
        click.echo(json.dumps(asdict(report), indent=2, default=str))
        return
    click.echo(f"built {report.model} ({runtime}, {precision})")
    if report.tail.operators:
        click.echo(
            f"cut {' → '.join(report.tail.operators)} behind the network: "
            f"{report.equal_pixels:.4%} of the pixels equal"
        )


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
