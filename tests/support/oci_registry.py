"""Debian's docker-registry on a loopback port, with its blobs in a folder that tests may damage."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = "docker-registry"


def program(name: str) -> str | None:
    """Return a program that `scripts/oci_tools.sh` provided; None without `make oci-check`."""
    folder = os.environ.get("TRITONSEG_OCI")
    return None if folder is None else str(Path(folder, "bin", name).resolve())


@dataclass(frozen=True, kw_only=True)
class RealRegistry:
    """A registry that runs.

    Attributes:
        address: `HOST:PORT`.
        store: Folder of its blobs.
    """

    address: str
    store: Path

    def blobs(self) -> list[Path]:
        """Return the files that hold what was pushed, by their digests."""
        return sorted(self.store.glob("docker/registry/v2/blobs/sha256/*/*/data"))


@contextlib.contextmanager
def running(
    folder: Path, *, auth: str = "", tls: str = "", host: str = "127.0.0.1"
) -> Iterator[RealRegistry]:
    """Run a registry; `auth` and `tls` are YAML for its configuration."""
    command = program(PROGRAM)
    if command is None:
        pytest.skip("needs Debian's docker-registry and skopeo, 20 MB of downloads: make oci-check")
    with socket.socket() as free:
        free.bind((host, 0))
        port = free.getsockname()[1]
    address = f"{host}:{port}"
    configuration = folder / "registry.yml"
    http = f"http: {{addr: '{host}:{port}'{tls}}}\n"
    configuration.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: '{folder / 'store'}'}}}}\n"
        f"{http}{auth}"
    )
    log = (folder / "registry.log").open("wb")
    process = subprocess.Popen([command, "serve", str(configuration)], stdout=log, stderr=log)
    try:
        _wait(address, process)
        yield RealRegistry(address=address, store=folder / "store")
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    host, _, port = address.partition(":")
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError(f"the registry ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(address)
