"""The exit codes that `tritonseg --help` states, each from the command that a user would type."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tritonseg_engines.cli.app import cli
from tritonseg_engines.serving._keeper import STUB_LOST
from tritonseg_engines.serving.foreground import MASKS_CHANGED
from tritonseg_engines.tensorrt import inspect_machine
from tritonseg_engines.zoo.street_demo import STREET

NO_GPU = not inspect_machine().gpus


def tritonseg(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.mark.skipif(not NO_GPU, reason="this machine has a GPU to build the plan on")
def test_a_plan_without_a_gpu_says_first_what_is_missing_and_ends_with_3(tmp_path: Path) -> None:
    repository = tmp_path / "model_repository"
    outcome = tritonseg("build", "street-demo", "--runtime", "tensorrt", "--repository", repository)
    assert outcome.exit_code == 3
    first, second, *_ = outcome.output.splitlines()
    assert first.startswith("no engine was built: stopped after the ONNX and its gate")
    assert "no GPU to build a TensorRT plan on" in first
    onnx = tmp_path / "street-demo.fp32.onnx"
    assert second == f"wrote {onnx} (tensorrt, fp32)"
    assert onnx.is_file()
    assert not repository.exists()


@pytest.mark.skipif(not NO_GPU, reason="this machine has a GPU to build the plan on")
def test_the_document_says_that_there_is_no_engine(tmp_path: Path) -> None:
    outcome = tritonseg(
        "build", "street-demo", "--runtime", "tensorrt", "--repository", tmp_path / "r", "--json"
    )
    assert outcome.exit_code == 3
    assert json.loads(outcome.stdout)["lacks_engine"] is True


def test_the_onnx_alone_is_success_where_it_was_asked_for(tmp_path: Path) -> None:
    outcome = tritonseg(
        "build",
        "street-demo",
        *("--runtime", "tensorrt", "--onnx-only", "--repository", tmp_path / "model_repository"),
    )
    assert outcome.exit_code == 0
    assert outcome.output.startswith(f"built {tmp_path / 'street-demo.fp32.onnx'}")
    assert outcome.output.endswith("as asked\n")


def test_a_refusal_is_1_and_wrong_usage_is_2(tmp_path: Path) -> None:
    refused = tritonseg("build", "no-such-model", "--onnx", tmp_path / "any.onnx")
    assert (refused.exit_code, refused.output.count("\n")) == (1, 1)
    assert refused.output.startswith("Error: model 'no-such-model': expected one of street-demo,")
    assert tritonseg("build", "fastseg-small", "--precision", "fp64").exit_code == 2
    lacking = tritonseg("build", "fastseg-small")
    assert lacking.exit_code == 2
    assert "Missing option '--onnx'" in lacking.output


def test_help_states_all_of_them() -> None:
    text = tritonseg("--help").output
    stated = text.partition("Exit codes:\n")[2].split("\n")
    codes = [int(line.split()[0]) for line in stated if line.strip()]
    assert codes == [0, 1, 2, 3, MASKS_CHANGED, STUB_LOST, 130]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command as a shell does in the foreground."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tritonseg", *(str(argument) for argument in arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            # A test run in the background ignores SIGINT, and so would what it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def interrupt(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "stopped by Ctrl-C\n")


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        yield listening


def test_ctrl_c_ends_segment(start: Callable[..., subprocess.Popen[str]], silent: socket.socket):
    url = "{}:{}".format(*silent.getsockname())
    process = start("segment", STREET, "--model", "street-demo", "--url", url)
    with silent.accept()[0]:
        interrupt(process)


@pytest.mark.torch
def test_ctrl_c_ends_export(start: Callable[..., subprocess.Popen[str]], silent: socket.socket):
    pytest.importorskip("torch", reason="exporting a network needs torch")
    url = "http://{}:{}/weights.pth".format(*silent.getsockname())
    process = start("export", "fastseg-small", "--weights", url)
    with silent.accept()[0]:
        interrupt(process)


def test_ctrl_c_ends_build(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """The file is a pipe into which nobody writes, so that the build is surely at work."""
    os.mkfifo(tmp_path / "slow.onnx")
    process = start("build", "street-demo", "--onnx", "slow.onnx")
    with (tmp_path / "slow.onnx").open("wb"):
        interrupt(process)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["demo", "repository --all"])
@pytest.mark.parametrize("place", ["file/sub", "/proc/of-nobody"])
def test_a_folder_that_cannot_be_is_told_in_a_line(
    command: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    outcome = tritonseg(*command.split(), "-o", place)
    assert outcome.exit_code == 1
    (line,) = outcome.output.splitlines()
    assert line.startswith(f"Error: {place}")
    assert "director" in line
