"""The command line, `tritonseg`.

The base install is a library; the command needs the extra `cli`, and most commands more. What is
missing is named with the extra that brings it.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed with one clear line, 2 wrong usage."""
    try:
        from tritonseg_engines.cli.app import cli
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich", "yaml"}:
            raise
        sys.stderr.write("tritonseg: the command line needs: pip install 'tritonseg[cli]'\n")
        raise SystemExit(1) from None
    cli.main(prog_name="tritonseg")
