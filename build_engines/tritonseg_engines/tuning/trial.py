"""A server of its own for a configuration, on a copy: the repository itself is never written to.

Whatever ends a search, Ctrl-C or a crash, what is served elsewhere is as it was.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tritonseg import SegmentationError
from tritonseg_engines.errors import LoadTestError, ServerStartError
from tritonseg_engines.repository.files import CONFIG_FILE
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.tuning.candidate import Candidate
from tritonseg_engines.tuning.configs import Configs

PREFIX: Final = "tritonseg-tune-"
READY_TIMEOUT_S: Final = 300.0
FAILURES: Final = (ServerStartError, LoadTestError, SegmentationError, OSError)
"""Of one candidate, which end neither the search nor what was found."""


@contextmanager
def served(candidate: Candidate) -> Iterator[TritonServer]:
    """Serve a candidate alone.

    Raises:
        ServerStartError: It does not become ready.
        OSError: The model cannot be copied.
    """
    # In the repository's own file system links serve for engines, which may be gigabytes.
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        repository = Path(folder) / "models"
        write_copy(candidate.variant.repository, candidate.configs, repository)
        config = ServerConfig(
            repositories=(repository,),
            models=(candidate.variant.model,),
            ready_timeout_s=READY_TIMEOUT_S,
            drain_timeout_s=0,
        )
        with _running(TritonServer(config)) as server:
            yield server


@contextmanager
def _running(server: TritonServer) -> Iterator[TritonServer]:
    """Run a server that is not waited for in the end; Triton calls that an error and logs it."""
    server.start()
    try:
        yield server
    finally:
        is_explained = server.is_running
        server.stop()
        if is_explained:
            shutil.rmtree(server.log_path.parent, ignore_errors=True)


def refuse_ended(server: TritonServer) -> None:
    """Refuse what was measured of a server that has ended meanwhile.

    Raises:
        LoadTestError: It has.
    """
    exit_code = server.poll()
    if exit_code is not None:
        raise LoadTestError(
            f"its server ended by itself with exit code {exit_code}; the log is {server.log_path}"
        )


def write_copy(source: Path, configs: Configs, target: Path) -> None:
    """Write a repository with some of another's models under other configs; files are linked.

    Its folders can be written, and so removed, though those of the other may not be.
    """
    for folder, config in configs.items():
        shutil.copytree(
            source / folder,
            target / folder,
            copy_function=_link,
            ignore=shutil.ignore_patterns(CONFIG_FILE, "__pycache__"),
        )
        for path, _, _ in os.walk(target / folder):
            Path(path).chmod(Path(path).stat().st_mode | stat.S_IWUSR)
        (target / folder / CONFIG_FILE).write_text(config_text(config), encoding="utf-8")


def config_text(config: pb.ModelConfig) -> str:
    """Return a config as builds write it."""
    return str(text_format.MessageToString(config))


def _link(source: str, target: str) -> None:
    # Of a link, what it leads to: it may lead nowhere from here.
    path = os.path.realpath(source)
    try:
        os.link(path, target)
    except OSError:  # another file system
        shutil.copy2(path, target)
