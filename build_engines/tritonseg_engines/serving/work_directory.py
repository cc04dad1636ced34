"""A directory of the server's own: its log, its backends, and nothing else to import from."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.serving._keeper import WORK_DIRECTORY_PREFIX

LOG_NAME: Final = "server.log"
_SHELL_SAFE: Final = re.compile(r"[\w@%+=:,./-]+", re.ASCII)


def is_shell_safe(path: Path) -> bool:
    """Tell whether a shell reads `path` as one word and as itself.

    Triton's Python backend hands its paths to `bash -c` unquoted; with a space in one it waits
    for its stub for ever. Source: `StubLauncher::Launch` in python_backend/src/stub_launcher.cc.
    """
    return _SHELL_SAFE.fullmatch(str(path)) is not None


def shell_safe(path: Path, work_directory: Path) -> Path:
    """Return `path`, or a link to it in `work_directory` where a shell would read it otherwise."""
    if is_shell_safe(path):
        return path
    link = work_directory / f"link-{len(list(work_directory.glob('link-*')))}"
    link.symlink_to(path)
    return link


def refuse_noexec(path: Path) -> None:
    """Refuse a directory from which the wheel's stub, which is copied there, cannot be run.

    Raises:
        ServerStartError: It is mounted without the right to run programs.
    """
    if os.statvfs(path).f_flag & os.ST_NOEXEC:
        raise ServerStartError(
            f"Triton's Python backend cannot run from {path.parent}, which is mounted noexec, as a "
            "container's tmpfs is by default: mount it with exec (--tmpfs /tmp:exec), or set "
            "TMPDIR to another directory"
        )


def new_work_directory() -> Path:
    """Make an empty directory for one server, readable by this user only.

    Raises:
        ServerStartError: Temporary files are in a place where Triton cannot run from.
    """
    path = Path(tempfile.mkdtemp(prefix=WORK_DIRECTORY_PREFIX)).resolve()
    if not is_shell_safe(path):
        path.rmdir()
        raise ServerStartError(
            f"Triton's Python backend cannot run from {path.parent}, whose name has a space or "
            "another character that is special to a shell: set TMPDIR to another directory"
        )
    return path


def clear_work_directory(path: Path, *, keep_log: bool) -> None:
    """Remove a server's directory, except for its log if that is kept and says anything."""
    log_path = path / LOG_NAME
    if not keep_log or not log_path.exists() or not log_path.stat().st_size:
        shutil.rmtree(path, ignore_errors=True)
        return
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry != log_path:
            entry.unlink()
