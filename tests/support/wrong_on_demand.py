"""`tritonseg serve` whose last steps give other masks from the moment that a file appears.

    python wrong_on_demand.py FILE [OPTION...]

As after a fault of the machine: the repository, its files and the server's start are all right.
The launcher and Triton's Python processes both import this module; the latter have the fault.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np


def wait_for(file: str) -> None:
    """In a model's process: watch for the file, and change the step's answers from then on."""
    threading.Thread(target=_wait_and_change, args=(Path(file),), daemon=True).start()


def _wait_and_change(file: Path) -> None:
    while not file.exists():
        time.sleep(0.05)
    module = sys.modules.get("tritonseg_steps.argmax_step")
    if module is None:
        return  # another step's process
    right = module.ArgmaxStep.run

    def wrong(self: Any, requests: Any) -> Any:
        answers = right(self, requests)
        return [{**one, "CLASS_MAP": np.roll(one["CLASS_MAP"], 3, axis=-1)} for one in answers]

    module.ArgmaxStep.run = wrong


def main() -> None:
    """Run the command, whose servers' processes import this, too."""
    from tritonseg_engines.cli.app import cli
    from tritonseg_engines.serving import installation

    file, *options = sys.argv[1:]
    finds_modules = installation._import_path_statement()
    statement = f"{finds_modules}; import wrong_on_demand; wrong_on_demand.wait_for({file!a})"
    installation._import_path_statement = lambda: statement
    cli(["serve", *options], prog_name="tritonseg")


if __name__ == "__main__":
    main()
