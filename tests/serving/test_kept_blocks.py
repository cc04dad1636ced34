"""What an ensemble's server does with the tensors that it hands from step to step."""

from __future__ import annotations

import mmap
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tiny_models import TinyModel, tiny_spec
from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.serving.installation import KEPT_BLOCKS

SIZE_HW = (1536, 2048)
NORMALIZED_BYTES = SIZE_HW[0] * SIZE_HW[1] * 3 * 4
"""More than 32 MiB, from which on glibc asks the kernel for each block by itself."""
PICTURES = 10
GLIBCS_OWN = ("65536", "131072", "131072", "0")
"""Of `KEPT_BLOCKS`, in their order. Source: mallopt(3)."""


def faults(server: TritonServer) -> int:
    """Pages that the kernel gave the server's own process. Source: proc(5), `minflt`."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[7])


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    onnx.save(TinyModel(size_hw=SIZE_HW).model(), folder / "tiny.onnx")
    spec = tiny_spec()
    spec = replace(spec, input=replace(spec.input, height=SIZE_HW[0], width=SIZE_HW[1]))
    build_model(spec, folder / "tiny.onnx", folder / "models", layout="ensemble")
    return folder / "models"


def pages_a_picture(repository: Path) -> float:
    image_hwc = np.zeros((*SIZE_HW, 3), np.uint8)
    with (
        TritonServer(ServerConfig(repositories=(repository,))) as server,
        SegmentationClient(server.grpc_url, model="tiny", timeout_s=60) as client,
    ):
        for _ in range(3):
            client.segment(image_hwc)
        before = faults(server)
        for _ in range(PICTURES):
            client.segment(image_hwc)
        return (faults(server) - before) / PICTURES


def test_its_memory_is_used_again(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = pages_a_picture(repository)
    for name, value in zip(KEPT_BLOCKS, GLIBCS_OWN, strict=True):
        monkeypatch.setenv(name, value)
    given_back = pages_a_picture(repository)
    assert given_back > NORMALIZED_BYTES / mmap.PAGESIZE
    assert kept < given_back / 4
