"""Fixtures with a real Triton: tiny models, and a look at what a server leaves on the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pytest
import tritonclient.grpc as triton_grpc

from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.serving import TritonInstallation, find_tritonserver

ModelWriter = Callable[..., Path]

CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 0
input [{{ name: "IN" data_type: TYPE_UINT8 dims: [-1] }}]
output [{{ name: "OUT" data_type: TYPE_UINT8 dims: [-1] }}]
instance_group [{{ kind: KIND_CPU count: 1 }}]
"""

MODEL = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        {initialize}

    def execute(self, requests):
        responses = []
        for request in requests:
            array = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
            {execute}
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", array)]))
        return responses
"""


@pytest.fixture(scope="session")
def installation() -> TritonInstallation:
    """The Triton of this machine."""
    try:
        return find_tritonserver()
    except ServerStartError as error:
        pytest.skip(f"needs a real Triton: {error}")


@pytest.fixture(scope="session")
def write_model() -> ModelWriter:
    """Write a Python model that returns its input, or what its `execute` line makes of it."""

    def write(
        repository: Path, name: str, *, initialize: str = "pass", execute: str = "pass"
    ) -> Path:
        version = repository / name / "1"
        version.mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text(CONFIG.format(name=name))
        (version / "model.py").write_text(MODEL.format(initialize=initialize, execute=execute))
        return repository

    return write


@pytest.fixture
def repository(tmp_path: Path, write_model: ModelWriter) -> Path:
    """A repository with one model, `echo`."""
    return write_model(tmp_path / "repository", "echo")


@pytest.fixture(scope="session")
def infer() -> Callable[..., npt.NDArray[np.uint8]]:
    """Send bytes through a model of a running server."""

    def infer_bytes(grpc_url: str, model: str, content: bytes = b"?") -> npt.NDArray[np.uint8]:
        sent = np.frombuffer(content, np.uint8)
        tensor = triton_grpc.InferInput("IN", list(sent.shape), "UINT8")
        tensor.set_data_from_numpy(sent)
        with triton_grpc.InferenceServerClient(grpc_url) as client:
            received = client.infer(model, [tensor], client_timeout=10).as_numpy("OUT")
        assert received is not None
        return np.asarray(received, np.uint8)

    return infer_bytes


@pytest.fixture(scope="session")
def shm_regions() -> Callable[[int], list[str]]:
    """List the shared-memory regions of the servers that process `launcher_pid` started."""

    def list_regions(launcher_pid: int) -> list[str]:
        # What Triton adds to the prefix is its own affair; the launcher's id is in the prefix.
        return [file.name for file in Path("/dev/shm").glob(f"*tritonseg_{launcher_pid}_*")]

    return list_regions


@pytest.fixture(scope="session")
def is_gone() -> Callable[..., bool]:
    """Tell whether processes have ended, or do so in time; unreaped ones have ended."""

    def all_gone(processes: list[psutil.Process], within_s: float = 0) -> bool:
        deadline = time.monotonic() + within_s
        while any(_runs(process) for process in processes):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    return all_gone


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
