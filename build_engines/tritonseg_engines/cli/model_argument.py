"""What the commands take as MODEL: the path of a specification, or the name of a known model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.resize_policy import Native


def shipped_onnx(model: str) -> Path:
    """Return the export that needs not be given.

    Raises:
        UsageError: Only the demo's ships.
    """
    from tritonseg_engines.zoo.street_demo import DEMO_NAME, DEMO_ONNX

    if model != DEMO_NAME:
        raise click.UsageError(
            f"Missing option '--onnx': the export of {model}; only {DEMO_NAME}'s ships"
        )
    return DEMO_ONNX


def spec_of(model: str, onnx_path: Path, *, upsampling: str | None = None) -> ModelSpec:
    """Return the specification that a command's MODEL argument means.

    Args:
        model: The argument.
        onnx_path: The export, which has the size of a resize policy where nothing else has.
        upsampling: Takes the place of the specification's, if given.

    Raises:
        SpecificationError: It is neither a zoo model nor a YAML file that describes one.
        OnnxModelError: The export was needed, and cannot be read.
    """
    from tritonseg_engines.build.declared_size import declared_hw
    from tritonseg_engines.spec_yaml import read_spec

    is_file = model.endswith((".yaml", ".yml"))
    spec = (
        read_spec(Path(model), lambda layout: declared_hw(onnx_path, layout))
        if is_file
        else _known_spec(model)
    )
    if upsampling is None:
        return spec
    return replace(spec, output=replace(spec.output, upsampling=upsampling))


def _known_spec(model: str) -> ModelSpec:
    from tritonseg_engines.zoo import get_spec

    spec = get_spec(model)
    if isinstance(spec.preprocessing.resize, Native):
        # The published size is a default of the export; the file says which one was chosen.
        return replace(spec, input=replace(spec.input, height=None, width=None))
    return spec
