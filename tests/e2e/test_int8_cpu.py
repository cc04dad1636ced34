"""int8 repositories and the CPUs that may serve them, with a real server for each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from other_cpu import run_as_avx2
from residual_network import SIZE_HW, residual_network, residual_spec, write_pictures
from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_steps.int8_cpu import Int8Cpu, this_int8_cpu

COMMAND = ("-c", "from tritonseg_engines.cli import main; main()")
SERVE = """
import sys
import numpy as np
from PIL import Image
from tritonseg import SegmentationClient
from tritonseg_engines.serving import ServerConfig, TritonServer
from pathlib import Path
repository, picture, output = map(Path, sys.argv[1:])
with TritonServer(ServerConfig(repositories=(repository,))) as server:
    with SegmentationClient(server.grpc_url, model="residual") as client:
        np.save(output, client.segment(picture).class_map)
"""


def build(folder: Path, cpu: Int8Cpu) -> Path:
    onnx.save(residual_network(), folder / "export.onnx")
    options = BuildOptions(
        calibration=write_pictures(folder / "pictures", 4), minimum_pictures=4, cpu=cpu, accept=True
    )
    repository = folder / "repository"
    build_model(
        residual_spec(), folder / "export.onnx", repository, precision="int8", options=options
    )
    return repository


def test_a_repository_for_every_cpu_gives_the_same_masks_on_both(tmp_path: Path) -> None:
    repository = build(tmp_path, Int8Cpu.AVX2)
    picture = tmp_path / "pictures" / "000.png"
    done = run_as_avx2("-c", SERVE, repository, picture, tmp_path / "as_avx2.npy")
    assert done.returncode == 0, done.stderr
    with (
        TritonServer(ServerConfig(repositories=(repository,))) as server,
        SegmentationClient(server.grpc_url, model="residual") as client,
    ):
        here = client.segment(Image.open(picture)).class_map
    as_avx2 = np.load(tmp_path / "as_avx2.npy")
    assert here.shape == SIZE_HW
    assert len(np.unique(here)) > 1
    assert (here == as_avx2).mean() >= 0.999


@pytest.mark.skipif(this_int8_cpu() is not Int8Cpu.VNNI, reason="this CPU has no VNNI to build for")
def test_a_repository_for_vnni_is_refused_by_a_cpu_without(tmp_path: Path) -> None:
    repository = build(tmp_path, Int8Cpu.VNNI)
    done = run_as_avx2("-c", SERVE, repository, tmp_path / "pictures" / "000.png", tmp_path / "no")
    assert done.returncode != 0
    expected = "built for CPUs with VNNI; this one has AVX2 only: rebuild with --cpu avx2"
    assert expected in done.stderr
    doctor = (*COMMAND, "doctor", "--repository", repository)
    done = run_as_avx2(*doctor)
    assert (done.returncode, f"residual: {expected}" in done.stdout) == (1, True), done.stdout
    here = subprocess.run(
        [sys.executable, *map(str, doctor)], capture_output=True, text=True, check=True
    )
    assert "residual: as built, and this machine can serve it" in here.stdout
    assert "residual: int8 weights: 8 bits, for CPUs with VNNI" in here.stdout


def test_doctor_names_a_build_that_its_gate_refused(tmp_path: Path) -> None:
    repository = build(tmp_path, Int8Cpu.AVX2)
    manifest_path = repository / "residual" / "1" / "manifest.json"
    gate = json.loads(manifest_path.read_text(encoding="utf-8"))["gate"]
    assert gate["verdict"] == "accepted", "the case that this test is about"
    done = run_as_avx2(*COMMAND, "doctor", "--repository", repository)
    assert (
        "its gate refused it, and --accept built it: expected the reference's class" in done.stdout
    )
