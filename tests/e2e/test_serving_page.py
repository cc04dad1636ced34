"""Every line of docs/serving.md against a real server, and the mask is the export's own."""

from __future__ import annotations

import compileall
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
import tritonclient.utils.shared_memory as regions
from tritonclient.utils import InferenceServerException

from demo_model.scenes import draw_scene
from own_mask import own_mask
from real_servers import installation, write_model
from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import TritonInstallation
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec

__all__ = ["installation", "write_model"]

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
BLOCKS = [block.strip() for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.M | re.S)]
(PREAMBLE,) = re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)
READY_WITHIN_S = 60
REGIONS = f"tritonseg_page_{os.getpid()}_"
Mask = npt.NDArray[np.integer]


@pytest.fixture(scope="module")
def folder(
    installation: TritonInstallation,
    tmp_path_factory: pytest.TempPathFactory,
    write_model: Callable[..., Path],
) -> Path:
    """A folder as after `make demo`, with another team's models beside it."""
    if installation.wheel is None:
        pytest.skip("the page's lines by hand are for the Triton of PyPI")
    folder = tmp_path_factory.mktemp("page")
    build_model(demo_spec(), DEMO_ONNX, folder / "out" / "model_repository", layout="ensemble")
    write_model(folder / "team" / "models", "echo")
    # Or else the steps' Python does it, and a Triton that polls takes that for a change.
    assert compileall.compile_dir(folder, quiet=1)
    return folder


@pytest.fixture(scope="module")
def scene() -> tuple[npt.NDArray[np.uint8], Mask, Mask]:
    """A picture of the network's size, the export's own mask, and where it is stable."""
    size = demo_spec().input
    assert size.height is not None
    assert size.width is not None
    image_hwc = draw_scene(11, height=size.height, width=size.width).image_hwc
    return image_hwc, *own_mask(DEMO_ONNX, demo_spec(), image_hwc)


@pytest.fixture
def ports() -> dict[str, int]:
    """Free ports by the page's own: those of HTTP, gRPC and metrics."""
    with socket.socket() as http, socket.socket() as grpc, socket.socket() as metrics:
        held = {"8000": http, "8001": grpc, "8002": metrics}
        for one in held.values():
            one.bind(("127.0.0.1", 0))
        return {written: one.getsockname()[1] for written, one in held.items()}


def on_free_ports(line: str, ports: dict[str, int]) -> str:
    for written, port in ports.items():
        line = re.sub(rf"\b{written}\b", str(port), line)
    grpc = f"--grpc-port={ports['8001']}"
    if line.startswith("tritonseg serve"):
        return line.replace("serve", f"serve {grpc}", 1)
    if line.startswith("tritonserver"):
        regions = f"--backend-config=python,shm-region-prefix-name={REGIONS}"
        more = f"--http-port={ports['8000']} --metrics-port={ports['8002']}"
        return f"{line} {grpc} {more} {regions}"
    return line


def environment() -> dict[str, str]:
    """As in an active environment, where `python` and `tritonseg` are those of this run."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path}


@contextlib.contextmanager
def serving(line: str, folder: Path, grpc_url: str) -> Iterator[None]:
    """Run the line in the background until the server is ready, and stop it afterwards."""
    script = f"{PREAMBLE if line.startswith('tritonserver') else ''}\n{line}"
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            ["bash", "-euc", script],
            cwd=folder,
            env=environment(),
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while not is_ready(grpc_url) or not all(map(is_open, ports_of(line))):
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.2)
        yield
        for server in psutil.Process(process.pid).children() or [psutil.Process(process.pid)]:
            server.terminate()
        # A Triton that polls may not end while it loads.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for region in Path("/dev/shm").glob(f"{REGIONS}*"):
            region.unlink()


def ports_of(line: str) -> list[int]:
    return [int(port) for port in re.findall(r"-port[= ](\d+)", line)]


def is_open(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def is_ready(grpc_url: str) -> bool:
    try:
        with triton_grpc.InferenceServerClient(grpc_url) as client:
            return bool(client.is_server_ready(client_timeout=1))
    except InferenceServerException:
        return False


def await_another_load(log: Path) -> None:
    """Wait until a Triton that polls has loaded what was built under it."""
    deadline = time.monotonic() + READY_WITHIN_S
    while log.read_text(errors="replace").count("successfully loaded 'street-demo'") < 2:
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.2)


def mask_over_http(url: str, image_hwc: npt.NDArray[np.uint8]) -> Mask:
    """Ask for the mask without anything of ours."""
    tensor = triton_http.InferInput("IMAGE", [1, *image_hwc.shape], "UINT8")
    tensor.set_data_from_numpy(image_hwc[None])
    with triton_http.InferenceServerClient(url) as client:
        return np.asarray(client.infer("street-demo", [tensor]).as_numpy("CLASS_MAP"))[0]


def mask_through_memory(url: str, image_hwc: npt.NDArray[np.uint8]) -> Mask:
    """Ask for the mask with picture and answer in system shared memory."""
    name, pixels = f"tritonseg_page_{os.getpid()}", image_hwc.shape[0] * image_hwc.shape[1]
    region = regions.create_shared_memory_region(name, f"/{name}", 4 * pixels)
    try:
        regions.set_shared_memory_region(region, [image_hwc])
        tensor = triton_http.InferInput("IMAGE", [1, *image_hwc.shape], "UINT8")
        tensor.set_shared_memory(name, 3 * pixels)
        output = triton_http.InferRequestedOutput("CLASS_MAP")
        output.set_shared_memory(name, pixels, offset=3 * pixels)
        with triton_http.InferenceServerClient(url) as client:
            client.register_system_shared_memory(name, f"/{name}", 4 * pixels)
            client.infer("street-demo", [tensor], outputs=[output])
            client.unregister_system_shared_memory(name)
        answer = regions.get_contents_as_numpy(
            region, np.uint8, image_hwc.shape[:2], offset=3 * pixels
        )
        return np.array(answer)
    finally:
        regions.destroy_shared_memory_region(region)


def test_the_page_has_lines() -> None:
    assert sum(block.startswith("tritonseg serve") for block in BLOCKS) >= 6
    assert sum(block.startswith("tritonserver") for block in BLOCKS) >= 4


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_line_serves_the_exports_own_mask(
    block: str,
    folder: Path,
    scene: tuple[npt.NDArray[np.uint8], Mask, Mask],
    ports: dict[str, int],
) -> None:
    image_hwc, expected, stable = scene
    assert stable.mean() > 0.9
    server, *more = (on_free_ports(line, ports) for line in block.splitlines())
    grpc_url, http_url = (f"localhost:{ports[one]}" for one in ("8001", "8000"))
    with serving(server, folder, grpc_url):
        for line in more:
            done = subprocess.run(
                ["bash", "-euc", line],
                cwd=folder,
                env=environment(),
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            if line.startswith("tritonseg build"):
                await_another_load(folder / "log")
        masks = []
        with SegmentationClient(grpc_url, model="street-demo") as client:
            masks.append(client.segment(image_hwc).class_map)
        if "--http-port" in server:
            masks.append(mask_over_http(http_url, image_hwc))
        if "shared-memory" in server or server.startswith("tritonserver"):
            masks.append(mask_through_memory(http_url, image_hwc))
        for mask in masks:
            assert np.array_equal(mask[stable], expected[stable])
        with triton_grpc.InferenceServerClient(grpc_url) as client:
            assert client.is_model_ready("echo") == ("team/models" in server)
