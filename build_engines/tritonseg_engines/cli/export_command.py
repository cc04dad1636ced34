"""`tritonseg export`: upstream checkpoint in, ONNX out."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="export")
@click.argument("model")
@click.option(
    "--weights",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The published checkpoint.",
)
@click.option("--onnx", "onnx_path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--height", type=click.IntRange(min=1), help="Pixels; the model's own unless given.")
@click.option("--width", type=click.IntRange(min=1))
@click.option("--any-size", is_flag=True, help="Leave height and width open.")
@click.option(
    "--num-classes", type=click.IntRange(1, 256), help="If the checkpoint was trained on others."
)
def command(
    model: str,
    weights: Path,
    onnx_path: Path | None,
    height: int | None,
    width: int | None,
    any_size: bool,
    num_classes: int | None,
) -> None:
    """Export a published MODEL's checkpoint as ONNX (opset 17, open batch axis)."""
    from tritonseg_engines import zoo
    from tritonseg_engines.checkpoints import read_checkpoint
    from tritonseg_engines.export import export_onnx

    if (height is None) != (width is None):
        raise click.UsageError("--height and --width go together")
    spec = zoo.get_spec(model)
    size_hw = (height, width) if height and width else spec.input.size_hw
    network = zoo.build_network(model, num_classes)
    zoo.load_upstream(network, read_checkpoint(weights))
    report = export_onnx(
        network,
        onnx_path or Path(f"{model}.onnx"),
        size_hw=None if any_size else size_hw,
        input_name=spec.input.name,
        output_name=spec.output.name,
    )
    operators = ", ".join(f"{name} {count}" for name, count in report.operators.items())
    click.echo(f"wrote {report.path}: {operators}")
    click.echo(
        f"ONNX Runtime differs from torch by at most {report.max_difference:.2g} "
        f"(largest score {report.max_score:.3g})"
    )
