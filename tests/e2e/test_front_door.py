"""What the README and the demo print works as it is printed, in that order."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tritonseg_engines.serving import TritonServer
from tritonseg_engines.zoo.street_demo import STREET

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def foreground() -> None:
    """Take Ctrl-C, as a shell's foreground job does; a run in the background ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(command: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        shlex.split(command),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=foreground,
    )


def run(command: str, folder: Path) -> str:
    output, errors = start(command, folder).communicate(timeout=120)
    assert errors == ""
    return output


def runs(process: psutil.Process) -> bool:
    """Tell whether a process is at work; one that nobody has waited for has ended all the same."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A new folder in which the demo ran, and the commands with which it ended."""
    folder = tmp_path_factory.mktemp("new user")
    output = run(f"{shlex.quote(sys.executable)} -m tritonseg demo", folder)
    _, _, ending = output.partition("Next, each from this folder as it is printed:")
    commands = [line.strip() for line in ending.splitlines() if line.strip()]
    return folder, [command for command in commands if not command.startswith("#")]


@pytest.fixture
def served(walked: tuple[Path, list[str]]) -> Iterator[str]:
    """Where the demo's model is served by the command that the demo printed."""
    folder, (serve, *_) = walked
    server = start(f"{serve} --grpc-port 0", folder)  # 8001 may be another's on this machine
    assert server.stdout is not None
    ready = re.fullmatch(r"ready: gRPC on (\S+:\d+); Ctrl-C stops it\n", server.stdout.readline())
    assert ready is not None
    yield ready[1]
    server.send_signal(signal.SIGINT)
    told, verified = server.communicate(timeout=30)
    assert told == ""
    assert re.fullmatch(r"street-demo: \d+ canaries and \d+ files as built\n", verified)
    assert server.returncode == 0


def test_the_demo_ends_with_three_commands_that_work(
    walked: tuple[Path, list[str]], served: str
) -> None:
    folder, (serve, segment, build) = walked
    assert served.rpartition(":")[2] != "0"
    assert [shlex.split(command)[-1] for command in (serve, build)] == [
        "serve",
        "out/street-demo.onnx",
    ]
    assert run(f"{segment} --url {served}", folder).startswith("out/street.jpg: ")
    with Image.open(folder / "out/segmented/street.png") as mask, Image.open(STREET) as street:
        assert mask.size == street.size
    assert run(build, folder).startswith("built out/model_repository/street-demo (openvino, fp32)")


def test_a_folder_of_ones_own_stands_in_the_commands(tmp_path: Path) -> None:
    picture = tmp_path / "my picture.png"
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(picture)
    output = run(f"{shlex.quote(sys.executable)} -m tritonseg demo 'my picture.png' -o o", tmp_path)
    assert "serve --repository o/model_repository\n" in output
    assert "segment 'my picture.png' --model street-demo -o o/segmented\n" in output
    assert (tmp_path / "o" / "street.jpg").is_file()
    assert "--onnx o/street-demo.onnx --repository o/model_repository\n" in output


def test_the_first_lines_of_the_readme_run(
    demo_server: TritonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder where the demo's picture lies, as the demo leaves it."""
    (tmp_path / "out").mkdir()
    shutil.copy(STREET, tmp_path / "out" / "street.jpg")
    monkeypatch.chdir(tmp_path)
    code = README.partition("```python\n")[2].partition("```")[0]
    assert code.count("localhost:8001") == 1
    exec(code.replace("localhost:8001", demo_server.grpc_url))
    with Image.open("overlay.png") as overlay, Image.open(STREET) as street:
        assert overlay.size == street.size


def test_the_readme_types_nothing_that_no_index_has() -> None:
    for page in [PROJECT / "README.md", *PROJECT.glob("*/*.md")]:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"pip install '?tritonseg|git clone <", text), page


def test_the_picture_of_the_readme_is_small() -> None:
    (name,) = re.findall(r"!\[.*\]\((\S+)\)", README.partition("## Try it")[0])
    assert (PROJECT / name).stat().st_size <= 150 * 1024


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_refuses_a_python_that_triton_has_no_wheel_for(tmp_path: Path) -> None:
    """Before anything is installed into it: pip would fail late, with a riddle."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\ntest "$1" = --version && echo Python 3.13.0\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "demo", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.startswith(
        f"Triton's wheel works with Python 3.10 to 3.12, {python} is Python 3.13.0: give one of "
        "those, as in: make PYTHON=python3.12\n"
    )


def test_ctrl_c_ends_the_demo_and_its_server(tmp_path: Path) -> None:
    demo = start(f"{shlex.quote(sys.executable)} -m tritonseg demo", tmp_path)
    assert demo.stdout is not None
    assert "built the ensemble" in demo.stdout.readline()
    children = psutil.Process(demo.pid).children(recursive=True)
    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=30)
    assert (demo.returncode, errors) == (130, "stopped by Ctrl-C\n")
    deadline = time.monotonic() + 10
    while any(map(runs, children)):
        assert time.monotonic() < deadline, children
        time.sleep(0.05)
    assert not list(Path("/dev/shm").glob(f"*tritonseg_{demo.pid}_*"))


def test_the_command_is_found_without_the_path() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tritonseg", "--version"],
        env={**os.environ, "PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("tritonseg, version ")
