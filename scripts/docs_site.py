"""The project's pages as one site, `out/docs/site`: every Markdown file where it stands.

    python scripts/docs_site.py

The pages are copied in their own tree, so that a link between two of them is the same on the site
and in the repository. A link to another file of the repository leads to its text. Broken links,
anchors and pages that no menu names are errors.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[1]
PAGES: Final = PROJECT / "out" / "docs" / "pages"
LINK: Final = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def tracked(pattern: str) -> list[Path]:
    """Return the repository's files of a pattern, relative to its root."""
    done = subprocess.run(  # noqa: S603
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],  # noqa: S607
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [Path(line) for line in done.stdout.splitlines()]


def put_together(folder: Path) -> None:
    """Copy all pages and what they link to into an empty folder, in the repository's own tree."""
    shutil.rmtree(folder, ignore_errors=True)
    for page in tracked("*.md"):
        _copy(page, folder)
        for target in LINK.findall((PROJECT / page).read_text(encoding="utf-8")):
            linked = (PROJECT / page).parent / target
            if linked.is_file():
                _copy(linked.resolve().relative_to(PROJECT), folder)


def _copy(file: Path, folder: Path) -> None:
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PROJECT / file, folder / file)


def main() -> int:
    """Build the site; return the exit code of the builder."""
    put_together(PAGES)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=PROJECT, env=environment, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
