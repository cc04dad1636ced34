"""The group of commands, loaded one by one, and how their errors are shown."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

import click

COMMANDS = {
    "demo": "Build, serve and segment on this machine, and write the overlay.",
    "models": "List the published models.",
    "export": "Turn an upstream checkpoint into ONNX.",
    "build": "Build a model into a Triton repository.",
    "serve": "Start a Triton server on a repository.",
    "segment": "Segment pictures through a running server.",
    "repository": "Write the published models' repository, without engines.",
    "doctor": "Show versions, GPU, server and repository, and what is wrong.",
}
"""Name and short help; a command lives in the module `cli.<name>_command`."""

EXTRAS = {
    "onnx": "build",
    "onnxruntime": "build",
    "cv2": "steps",
    "numba": "steps",
    "torch": "export",
    "openvino": "openvino",
    "yaml": "cli",
}
"""Which extra brings a module."""


class LazyGroup(click.Group):
    """Imports a command when it is called, so that `segment` need not wait for ONNX."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which one uses them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"tritonseg_engines.cli.{cmd_name}_command")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the short helps without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Turn the project's errors into one line and exit code 1."""
        from tritonseg import SegmentationError
        from tritonseg_engines.errors import EngineBuildError

        try:
            return super().invoke(ctx)
        except (EngineBuildError, SegmentationError) as error:
            raise click.ClickException(str(error)) from error
        except ModuleNotFoundError as error:
            extra = EXTRAS.get((error.name or "").partition(".")[0])
            if extra is None:
                raise
            raise click.ClickException(
                f"this needs {error.name}: pip install 'tritonseg[{extra}]'"
            ) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(importlib.metadata.version("tritonseg"), prog_name="tritonseg")
def cli() -> None:
    """Semantic segmentation from a checkpoint or ONNX export to NVIDIA Triton."""
