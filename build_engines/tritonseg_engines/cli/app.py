"""The group of commands, loaded one by one, and how their errors are shown."""

from __future__ import annotations

import errno
import importlib
import importlib.metadata
import os
from typing import Any

import click

from tritonseg_engines.cli import INTERRUPTED, extra_of
from tritonseg_engines.install_command import install_command

COMMANDS = {
    "demo": "Build, serve and segment on this machine, and write the overlay.",
    "models": "List the published models.",
    "export": "Turn an upstream checkpoint into ONNX.",
    "build": "Build a model into a Triton repository.",
    "preflight": "Ask NVIDIA's compiler whether it takes a graph, without a GPU.",
    "serve": "Start a Triton server on a repository.",
    "verify": "Hold what is served against the receipts of its builds.",
    "health": "Ask a server whether it is ready, by exit code.",
    "shm-size": "Print the shared memory that a repository's models need.",
    "segment": "Segment pictures through a running server.",
    "evaluate": "Measure a served model on a labelled data set.",
    "compare": "Hold one served model's masks against another's.",
    "perf-input": "Write pictures as input data for NVIDIA's perf_analyzer.",
    "tune": "Find how a model answers most pictures within a latency.",
    "repository": "Write the published models' repository, without engines.",
    "doctor": "Show versions, GPU, server and repository, and what is wrong.",
}
"""Name and short help; a command lives in the module `cli.<name>_command`."""

DEPENDENCIES = {
    "click",
    "cv2",
    "matplotlib",
    "numba",
    "onnx",
    "onnx_ir",
    "onnxruntime",
    "onnxscript",
    "openvino",
    "rich",
    "torch",
    "yaml",
}
"""Modules that extras bring; any other that is missing is our mistake."""

EXIT_CODES = """\b
Exit codes:
  0    done
  1    refused or failed; the last line says why
  2    wrong usage
  3    build: no engine was built, because what builds it is not here
  65   serve: the server gave other masks than its build, or a model hung
  70   serve: a model's process died
  130  stopped by Ctrl-C (a server that is told to stop and does: 0)
"""


_COMMAND = f"{__name__}.command"


class LazyGroup(click.Group):
    """Imports a command when it is called, so that `segment` need not wait for ONNX."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which one uses them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in COMMANDS:
            return None
        ctx.meta[_COMMAND] = cmd_name  # click's own note comes after the import, which may fail
        module = importlib.import_module(
            f"tritonseg_engines.cli.{cmd_name.replace('-', '_')}_command"
        )
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the short helps without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Turn the project's errors into one line and exit code 1, and Ctrl-C into 130."""
        try:
            return self._invoke(ctx)
        except KeyboardInterrupt:  # click's own answer would be "Aborted!" and 1
            click.echo("stopped by Ctrl-C", err=True)
            raise SystemExit(INTERRUPTED) from None

    def _invoke(self, ctx: click.Context) -> Any:
        from tritonseg import SegmentationError
        from tritonseg_engines.errors import EngineBuildError

        try:
            return super().invoke(ctx)
        except (EngineBuildError, SegmentationError) as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever reads has enough; click ends in silence
                raise
            raise click.ClickException(_os_reason(error)) from error
        except MemoryError as error:
            raise click.ClickException(f"not enough memory here: {error}") from error
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in DEPENDENCIES:
                raise
            hint = install_command(extra_of(ctx.meta.get(_COMMAND)))
            raise click.ClickException(f"this needs {error.name}: {hint}") from error


def _os_reason(error: OSError) -> str:
    """Return which file or folder the system refuses, and why."""
    path = error.filename2 or error.filename
    where = "" if path is None else f"{os.fsdecode(path)}: "
    return f"{where}{error.strerror or error}"


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)
@click.version_option(importlib.metadata.version("tritonseg"), prog_name="tritonseg")
def cli() -> None:
    """Semantic segmentation from a checkpoint or ONNX export to NVIDIA Triton."""
