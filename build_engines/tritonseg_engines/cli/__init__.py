"""The command line, `tritonseg`.

The base install is a library; the command needs the extra `build`, and some commands more. Whatever
is missing, the message has one command that brings all of it.
"""

from __future__ import annotations

import sys
from typing import Final

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""
_LIBRARIES: Final = {"click", "rich", "yaml"}
_EXTRAS: Final = {
    "bulk": "bulk",
    "demo": "serve",
    "serve": "serve",
    "verify": "serve",
    "export": "export",
    "preflight": "preflight",
    "tune": "tune",
    "push": "oci",
    "pull": "oci",
}
"""Commands that need more than the extra `build`; each of these brings `build` as well."""


def main() -> None:
    """Run the command line; `tritonseg --help` has the exit codes."""
    try:  # around the imports, too: they take longer than a user who mistyped waits
        try:
            from tritonseg_engines.cli.app import cli
        except ModuleNotFoundError as error:
            if error.name not in _LIBRARIES:
                raise
            from tritonseg_engines.install_command import install_command

            hint = install_command(extra_of(next(iter(sys.argv[1:]), None)))
            sys.stderr.write(f"tritonseg: the command needs {error.name}: {hint}\n")
            raise SystemExit(1) from None
        cli.main(prog_name="tritonseg")
    except KeyboardInterrupt:
        sys.stderr.write("stopped by Ctrl-C\n")
        raise SystemExit(INTERRUPTED) from None


def extra_of(command: str | None) -> str:
    """Return the extra that brings all that a command needs."""
    return _EXTRAS.get(command or "", "build")
