"""The entrypoint of both server images with the real Triton from PyPI."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton_grpc
from click.testing import CliRunner
from tritonclient.utils import InferenceServerException

from entrypoint import Served, can_make_a_pid_namespace, entrypoint
from tiny_models import ARGMAX, RESIZE, SIZE_HW, TinyModel, run_onnx, tiny_spec
from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.cli.app import cli
from tritonseg_engines.repository.shared_memory import shared_memory_mib
from tritonseg_engines.serving import TritonInstallation, _keeper
from tritonseg_engines.serving.health import health

SHARED_MEMORY = Path("/dev/shm")
CALLERS = 12


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one model, `tiny`, of the layout that a CPU serves."""
    folder = tmp_path_factory.mktemp("built")
    onnx.save(TinyModel(tail=[RESIZE]).model(), folder / "export.onnx")
    build_model(tiny_spec(), folder / "export.onnx", folder / "repository")
    return folder / "repository"


@pytest.fixture
def serve(installation: TritonInstallation, tmp_path: Path) -> Iterator[Callable[[Path], Served]]:
    if not can_make_a_pid_namespace():
        pytest.skip("needs the right to make a PID namespace, as root has it")
    started: list[Served] = []

    def start(repository: Path) -> Served:
        started.append(Served(repository, tmp_path / f"log{len(started)}"))
        return started[-1]

    yield start
    for served in started:
        served.kill()
    _keeper.remove_abandoned()


def asked_by_command(url: str) -> tuple[int, str]:
    outcome = CliRunner().invoke(cli, ["health", "--url", url])
    return outcome.exit_code, outcome.output


def regions() -> set[str]:
    """Of servers that are process 1, whose id is in the name."""
    return {file.name for file in SHARED_MEMORY.glob("*_tritonseg_1_*")}


def work_directory(served: Served) -> Path:
    (log,) = {
        Path(file.path)
        for process in served.processes
        for file in process.open_files()
        if Path(file.path).name == "server.log"
    }
    return log.parent


def spoil_manifest(repository: Path) -> None:
    (repository / "tiny" / "1" / "manifest.json").write_text('{"model": "tiny", ')


def spoil_contract(repository: Path) -> None:
    path = repository / "tiny" / "config.pbtxt"
    path.write_text(path.read_text().replace(r'"\"3\""', r'"\"2\""'))


def spoil_engine(repository: Path) -> None:
    (repository / "tiny" / "1" / "model.onnx").unlink()


def spoil_runtime(repository: Path) -> None:
    """As if the repository had come from a machine with a GPU."""
    path = repository / "tiny" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["provenance"]["runtime"] = "tensorrt"
    manifest["engines"] = {"model.plan": {}}
    del manifest["receipt"]  # or else the change of the manifest is what is told
    (path.parent / "receipt.json").unlink()
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("spoil", "arguments", "line"),
    [
        (spoil_manifest, ["tiny"], "tiny: tiny/1/manifest.json is not the file that was built"),
        (spoil_contract, [], 'tiny: was written for contract "2", the installed tritonseg_steps'),
        (spoil_engine, [], "tiny: tiny/1/model.onnx is missing; build it again: tritonseg build"),
        (spoil_runtime, [], "tiny: needs a GPU, and this machine has none: "),
        (None, ["other"], " has no other; it has tiny"),
        (shutil.rmtree, [], "there is no model repository at "),
    ],
    ids=["manifest", "contract", "engine", "gpu", "model", "nothing mounted"],
)
def test_what_cannot_be_served_is_refused_in_one_line(
    installation: TritonInstallation,
    built: Path,
    tmp_path: Path,
    spoil: Callable[[Path], None] | None,
    arguments: list[str],
    line: str,
) -> None:
    repository = shutil.copytree(built, tmp_path / "repository")
    if spoil is not None:
        spoil(repository)
    command = entrypoint(repository, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    if "this machine has none" in line and "needs a GPU" not in done.stderr:
        pytest.skip(f"this machine has a GPU: {done.stderr}")
    assert (done.returncode, done.stdout) == (1, "")
    (said,) = done.stderr.splitlines()
    assert said.startswith("Error: ")
    assert line in said


@pytest.mark.parametrize(
    ("mount", "line"),
    [
        ("mount -t tmpfs -o size=2m tmpfs /dev/shm", "/dev/shm has 2 MiB, and the models in "),
        ("mount -t tmpfs -o noexec tmpfs $TMPDIR", ", which is mounted noexec, as a container's "),
    ],
    ids=["too little shared memory", "noexec"],
)
def test_a_container_that_cannot_serve_is_refused_in_one_line(
    installation: TritonInstallation, built: Path, tmp_path: Path, mount: str, line: str
) -> None:
    """Triton would end by signal 11 in the first, and wait for its stub in the second."""
    if not can_make_a_pid_namespace():
        pytest.skip("needs the right to mount, as root has it")
    command = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", *entrypoint(built)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=20
    )
    assert (done.returncode, done.stdout) == (1, "")
    (said,) = done.stderr.splitlines()
    assert line in said


def test_it_serves_the_exports_masks_closed_warm_and_within_its_shared_memory(
    serve: Callable[[Path], Served], built: Path
) -> None:
    served = serve(built)
    assert asked_by_command(served.url) == (0, "SERVING\n")
    assert asked_by_command("127.0.0.1:1") == (1, "127.0.0.1:1: no answer (UNAVAILABLE)\n")
    with urllib.request.urlopen(served.metrics_url) as response:
        metrics = response.read().decode()
    # The warm-up and the canaries, before anybody asked.
    canaries = json.loads((built / "tiny/1/receipt.json").read_text())["canaries"]
    assert f'nv_inference_exec_count{{model="tiny",version="1"}} {1 + len(canaries)}' in metrics
    image_hwc = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    batch = ((image_hwc.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None]
    expected = run_onnx(TinyModel(tail=[RESIZE, ARGMAX]).model(), batch)[0]
    masks: list[np.ndarray] = []

    def call() -> None:
        with SegmentationClient(served.url, model="tiny") as client:
            masks.extend(client.segment(image_hwc, confidence=True).class_map for _ in range(5))

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(masks) == 5 * CALLERS
    assert min(np.mean(mask == expected) for mask in masks) > 0.9999
    used = sum((SHARED_MEMORY / name).stat().st_size for name in regions())
    assert used <= shared_memory_mib(built) * 2**20
    with triton_grpc.InferenceServerClient(served.url) as client:
        for closed in (client.get_inference_statistics, client.get_model_repository_index):
            with pytest.raises(InferenceServerException):
                closed()


def test_what_a_kill_of_all_left_is_gone_after_the_next_start(
    serve: Callable[[Path], Served], built: Path, is_gone: Callable[..., bool]
) -> None:
    """And nothing else: a server beside it keeps its own, and goes on answering."""
    before = regions()
    killed = serve(built)
    place, left = work_directory(killed), regions() - before
    killed.kill()
    assert is_gone(killed.processes, within_s=5)
    assert left
    assert left <= regions()
    assert place.is_dir()

    beside = serve(built)
    assert not left & regions()
    assert not place.exists()
    its_own = regions() - before
    after = serve(built)
    assert its_own <= regions()
    assert health(beside.url, timeout_s=5) == "SERVING"
    for served in (after, beside):
        served.first.terminate()
    assert [served.end() for served in (after, beside)] == [0, 0]
    assert regions() <= before  # what an earlier test left is gone, too


def test_sigterm_to_process_1_lets_a_request_in_flight_finish(
    serve: Callable[[Path], Served],
    tmp_path: Path,
    write_model: Callable[..., Path],
    infer: Callable[..., Any],
) -> None:
    before = regions()
    served = serve(write_model(tmp_path / "models", "slow", execute="import time; time.sleep(2)"))
    answers: list[bytes] = []
    request = threading.Thread(
        target=lambda: answers.append(infer(served.url, "slow", b"abc").tobytes())
    )
    request.start()
    time.sleep(0.7)
    place = work_directory(served)
    assert not answers
    served.first.terminate()
    assert served.end() == 0
    request.join()
    assert answers == [b"abc"]
    assert regions() <= before  # what an earlier test left is gone, too
    assert not place.exists()
    assert "Signal (15) received" in served.log.read_text()
