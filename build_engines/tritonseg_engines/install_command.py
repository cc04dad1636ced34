"""The one command that brings what is missing, as this very installation was made.

The package may lie in a checkout, in a wheel that somebody built, or on an index. What can be typed
differs, and the installer wrote down which it was.

Source: PEP 610, direct_url.json.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shlex
import sys
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

DISTRIBUTION: Final = "tritonseg"


def install_command(extra: str) -> str:
    """Return the command that adds an extra to this environment.

    Where what was installed is gone from its place there is no such command; then the text says in
    words what to do.
    """
    options, source = _source()
    if source is None:
        return (
            f"install {DISTRIBUTION} with the extra '{extra}', from a checkout or a wheel "
            '("Install" in its README)'
        )
    is_url = "://" in source
    requirement = f"{DISTRIBUTION}[{extra}] @ {source}" if is_url else f"{source}[{extra}]"
    return f"{_installer()} {options}{shlex.quote(requirement)}"


def _installer() -> str:
    python = shlex.quote(sys.executable)
    # The full path, because another Python's pip may come first on the PATH.
    if importlib.util.find_spec("pip") is None:  # environments that uv made have none
        return f"uv pip install --python {python}"
    return f"{python} -m pip install"


def _source() -> tuple[str, str | None]:
    """Return options and place for the installer; no place where it cannot be had again."""
    try:
        text = importlib.metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return "", None
    if text is None:
        return "", DISTRIBUTION
    document = json.loads(text)
    url = urlsplit(document["url"])
    if url.scheme != "file":
        return "", document["url"]
    path = Path(unquote(url.path))
    is_editable = document.get("dir_info", {}).get("editable", False)
    return ("-e " if is_editable else ""), str(path) if path.exists() else None
