"""An S3 server, and the chart's container that fetches models from it, run on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chart import Object
from real_envoy import container, free_port

RCLONES = {"Debian's": "rclone/usr/bin/rclone", "a newer one": "rclone-new/bin/rclone"}
SECRET = {
    "RCLONE_CONFIG_SOURCE_ACCESS_KEY_ID": "test",
    "RCLONE_CONFIG_SOURCE_SECRET_ACCESS_KEY": "test",
}
"""As the chart's secret has them; moto takes any."""


@contextmanager
def s3_server(tools: Path, log: Path) -> Iterator[str]:
    """Run moto's; yield its URL."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(tools / "moto")}
    with (
        log.open("w") as stream,
        subprocess.Popen(command, env=environment, stdout=stream, stderr=stream) as process,
    ):
        try:
            _await_answer(f"http://127.0.0.1:{port}", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _await_answer(url: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)


def bucket_values(url: str, path: str) -> Object:
    """Values of the chart that fetch from here."""
    image = {"repository": "rclone/rclone"}
    environment = {
        "RCLONE_CONFIG_SOURCE_PROVIDER": "Other",
        "RCLONE_CONFIG_SOURCE_ENDPOINT": url,
    }
    bucket = {"path": path, "secretName": "bucket", "environment": environment, "image": image}
    return {"image": {"repository": "x"}, "source": {"type": "bucket", "bucket": bucket}}


class Fetching:
    """The container's own words and variables.

    Args:
        rclone: The program, which is the image's entrypoint.
        objects: The chart's.
        volume: What stands for the pod's volume.
    """

    def __init__(self, rclone: Path, objects: list[Object], volume: Path) -> None:
        fetch = container(objects, "fetch")
        assert {"secretRef": {"name": "bucket"}} in fetch["envFrom"]
        self._rclone, self._volume = rclone, volume
        places = {"/fetched": volume, "--config=/tmp/rclone.conf": f"--config={volume.parent}/conf"}
        assert places.keys() <= set(fetch["args"])
        self._words = [str(places.get(word, word)) for word in fetch["args"]]
        self._environment = SECRET | {one["name"]: one["value"] for one in fetch["env"]}

    def start(self, **more: str) -> subprocess.Popen[str]:
        """Start it, with more variables of rclone's."""
        return self._popen(self._words, more)

    def run(self) -> int:
        return self.start().wait(60)

    def of_operator(self, *words: str) -> None:
        """Have rclone do what an operator does with the place of the models."""
        (place,) = (word for word in self._words if word.startswith("source:"))
        assert self._popen([*words, place], {}).wait(60) == 0

    def interrupted(self, share: float, total_bytes: int) -> None:
        """Run it slowly, and kill it when that share has come."""
        process = self.start(RCLONE_BWLIMIT=f"{total_bytes // 4 // 1024}k")
        deadline = time.monotonic() + 60
        while self.fetched_bytes() < share * total_bytes:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.wait()

    def fetched_bytes(self) -> int:
        return sum(path.stat().st_size for path in self._volume.rglob("*") if path.is_file())

    def _popen(self, words: list[str], more: Mapping[str, str]) -> subprocess.Popen[Any]:
        return subprocess.Popen(
            [str(self._rclone), *words],
            env={"HOME": str(self._volume.parent), **self._environment, **more},
        )


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
