"""What `doctor` says of the Triton and the NumPy that are here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tritonseg_engines.cli.doctor_command import command


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first on both paths, for a Triton and the metadata of a NumPy."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def install(runtime: Path, *, triton: str, numpy: str) -> Path:
    """As NVIDIA's image has a Triton, and pip a NumPy."""
    executable = runtime / "bin" / "tritonserver"
    executable.parent.mkdir()
    executable.touch(mode=0o755)
    (runtime / "TRITON_VERSION").write_text(f"{triton}\n")
    metadata = runtime / f"numpy-{numpy}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: numpy\nVersion: {numpy}\n")
    return executable


def doctor(*arguments: str) -> Result:
    outcome = CliRunner().invoke(command, arguments)
    assert outcome.exception is None or isinstance(outcome.exception, SystemExit)
    return outcome


def test_a_triton_that_cannot_work_with_the_numpy_here_is_a_problem(runtime: Path) -> None:
    executable = install(runtime, triton="2.52.0", numpy="2.4.1")
    outcome = doctor()
    rows = [line.split(maxsplit=1) for line in outcome.output.splitlines()]
    assert ["numpy", "2.4.1"] in rows
    assert ["tritonserver", f"Triton 2.52.0: {executable}"] in rows
    assert rows[-1] == [
        "problem",
        "the Python backend of Triton 2.52.0 makes empty tensors of NumPy 2.4.1: expected NumPy "
        "below 2, install 'numpy<2' 'opencv-python-headless<4.12'; Triton takes NumPy 2 from 2.53 "
        "(24.12) on",
    ]
    assert outcome.exit_code == 1
    document = json.loads(doctor("--json").output)
    assert document["problems"] == [document["numpy_problem"]] == [rows[-1][1]]


@pytest.mark.parametrize(("triton", "numpy"), [("2.52.0", "1.26.4"), ("2.53.0", "2.4.1")])
def test_a_pair_that_works_is_none(runtime: Path, triton: str, numpy: str) -> None:
    install(runtime, triton=triton, numpy=numpy)
    outcome = doctor()
    assert outcome.exit_code == 0
    assert "problem" not in outcome.output
