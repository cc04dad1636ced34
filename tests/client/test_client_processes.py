"""Forked, spawned and preloaded: each process makes its own client, or is told to."""

from __future__ import annotations

import http.client
import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tritonseg.testing import FakeTriton

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
WARM_UP = "\n\nassert client_of(os.getpid()).describe().name == 'street-demo'\n"
"""What makes the master use a client before it forks."""
WORKERS = 2
CLIENTS = {
    "threads": """
with tritonseg.SegmentationClient(url, model="street-demo", timeout_s=5.0) as own:
    for _ in range(5):
        own.segment(image)
""",
    "asyncio": """
async def main():
    async with tritonseg.AsyncSegmentationClient(url, model="street-demo", timeout_s=5.0) as own:
        for _ in range(5):
            await own.segment(image)
asyncio.run(main())
""",
}

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")


@pytest.fixture
def street():
    with FakeTriton() as triton:
        yield triton


def program(name: str, url: str) -> str:
    """The page's program of this name, for this server."""
    (found,) = re.findall(rf"^```python\n(# {name}\n.*?)^```", PAGE, re.M | re.S)
    assert found.count("localhost:8001") == 1
    return found.replace("localhost:8001", url)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


@needs_fork
@pytest.mark.parametrize("child", CLIENTS)
@pytest.mark.parametrize("parent", CLIENTS)
def test_a_forked_child_may_make_its_own_whatever_the_parent_did(street, tmp_path, parent, child):
    # In a process of its own: from Python 3.12 on, forking one with threads is a warning.
    script = tmp_path / "forking.py"
    script.write_text(f"""
import asyncio, os, numpy as np, tritonseg
url, image = {street.url!r}, np.zeros((2, 3, 3), np.uint8)
{CLIENTS[parent]}
kept = tritonseg.SegmentationClient(url, model="street-demo", timeout_s=5.0)
kept.segment(image)
for _ in range(3):
    child = os.fork()
    if child == 0:
        try:
            exec({CLIENTS[child]!r})
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    kept.segment(image)
kept.close()
""")
    done = run(tmp_path, str(script))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(street.requests) == 5 + 1 + 3 * (5 + 1)


@needs_fork
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing(street, tmp_path, method):
    (tmp_path / "workers.py").write_text(program("workers.py", street.url))
    for number in range(4):
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / f"{number}.png")
    pictures = [f"{number}.png" for number in range(4)]
    done = run(tmp_path, "workers.py", method, *pictures)
    assert done.stderr == ""
    assert done.stdout == "100% road, 100% road\n" * 2
    assert len(street.requests) == 4


@needs_fork
@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("warm_up", ["", WARM_UP])
def test_gunicorn(street, tmp_path, preload, warm_up):
    pytest.importorskip("gunicorn")
    (tmp_path / "wsgi.py").write_text(program("wsgi.py", street.url) + warm_up)
    street.mask = lambda image_hwc: np.ones(image_hwc.shape[:2], np.uint8)
    with gunicorn(tmp_path, preload) as port:
        answers = [asked(port) for _ in range(20)]
        end_s = time.monotonic() + 20
        while len({worker for _, worker, _ in answers}) < WORKERS and time.monotonic() < end_s:
            answers.append(asked(port))
    assert {status for status, _, _ in answers} == {200}
    assert len({worker for _, worker, _ in answers}) == WORKERS
    assert all(body.startswith(b"\x89PNG") for _, _, body in answers)


@needs_fork
def test_gunicorn_with_one_client_for_all_says_so(street, tmp_path):
    pytest.importorskip("gunicorn")
    text = program("wsgi.py", street.url).replace("client_of(os.getpid())", "client_of(0)")
    (tmp_path / "wsgi.py").write_text(text + "\n\nclient_of(0).describe()\n")
    with gunicorn(tmp_path, preload=True) as port:
        status, _, body = asked(port)
    assert status == 502
    assert re.match(rb"the client belongs to process \d+, .*make one client in each process", body)


class gunicorn:  # noqa: N801 - reads as the program that it is
    """A real gunicorn with `wsgi.py` of a folder; comes to its port."""

    def __init__(self, folder: Path, preload: bool) -> None:
        self._log = folder / "log"
        options = ["--preload"] if preload else []
        command = [sys.executable, "-W", "ignore", "-m", "gunicorn", *options]
        command += ["--workers", str(WORKERS), "--bind", "127.0.0.1:0", "wsgi:application"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)

    def __enter__(self) -> int:
        end_s = time.monotonic() + 30
        while not (found := re.search(r"Listening at: \S+:(\d+)", self._log.read_text())):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end_s, self._log.read_text()
            time.sleep(0.05)
        return int(found[1])

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        assert self._process.wait(30) == 0, self._log.read_text()


def asked(port: int) -> tuple[int, str | None, bytes]:
    """Send a picture; return status, worker and body."""
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(file := io.BytesIO(), "PNG")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/", file.getvalue())
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers["X-Worker"], body
