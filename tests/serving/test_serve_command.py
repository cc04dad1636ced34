"""`tritonseg serve`: the ports it takes and says, and what it does without a repository."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tritonclient.grpc as triton_grpc
from click.testing import CliRunner

from tritonseg_engines.cli.app import cli
from tritonseg_engines.serving import TritonInstallation


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_free_ports_are_printed_and_a_stop_on_request_is_0(
    installation: TritonInstallation, repository: Path, number: signal.Signals
) -> None:
    ports = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
    process = subprocess.Popen(
        [sys.executable, "-m", "tritonseg", "serve", "--repository", str(repository), *ports],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        said = re.fullmatch(
            r"ready: gRPC on (127\.0\.0\.1:[1-9]\d*), HTTP on 127\.0\.0\.1:[1-9]\d*, metrics on "
            r"http://127\.0\.0\.1:[1-9]\d*/metrics; Ctrl-C stops it\n",
            line,
        )
        assert said is not None, line
        with triton_grpc.InferenceServerClient(said[1]) as client:
            assert client.is_server_ready()
        process.send_signal(number)
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_without_a_repository_it_says_how_to_get_one(
    installation: TritonInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = CliRunner().invoke(cli, ["serve"])
    assert outcome.exit_code == 1
    assert f"no model repository at {tmp_path / 'out' / 'model_repository'}" in outcome.output
    assert "`tritonseg build street-demo`" in outcome.output
