"""The CPU image by its own Dockerfile, without Docker, from nothing to a served mask.

Minutes of installing, so `make docker-check` only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from debian_root import build_image, contained
from dockerfiles import DOCKER, Stage
from own_mask import own_mask
from tritonseg import SegmentationClient
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, STREET, demo_spec

SHM_SIZE = "25m"
"""What `docker/compose.yaml` gives the demo; another test holds that against the formula."""

pytestmark = pytest.mark.skipif(
    os.environ.get("TRITONSEG_DOCKER") != "1",
    reason="builds the CPU image, which takes minutes: make docker-check (TRITONSEG_DOCKER=1)",
)

Built = tuple[Path, Stage]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("needs root and debootstrap: apt-get install debootstrap")
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o755)
    yield build_image("Dockerfile.cpu", DOCKER.parent, folder)
    shutil.rmtree(folder)


def run(image: Built, models: Path, *command: str) -> subprocess.CompletedProcess[str]:
    line = contained(*image, models, command, shm_size=SHM_SIZE, mode="rw")
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def models(image: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the job of `docker/compose.yaml` builds, as the image's user."""
    folder = tmp_path_factory.mktemp("models")
    os.chown(folder, 1000, 1000)
    options = ("--runtime", "openvino", "--repository", "/models")
    done = run(image, folder, "tritonseg", "build", "street-demo", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_second_run_of_the_job_finds_nothing_to_do(image: Built, models: Path) -> None:
    assert run(image, models, "tritonseg", "doctor", "--repository", "/models").returncode == 0


def test_the_command_in_the_image_says_how_much_shared_memory(image: Built, models: Path) -> None:
    done = run(image, models, "tritonseg", "shm-size", "--repository", "/models")
    assert done.stdout == f"{SHM_SIZE}\n"


def test_there_is_no_compiler_and_the_place_is_read_only(image: Built, models: Path) -> None:
    looked = "! command -v gcc cc clang make; ! touch /opt/x 2>/dev/null; touch /tmp/x; id -u"
    done = run(image, models, "sh", "-ec", looked)
    assert (done.returncode, done.stdout) == (0, "1000\n")


def test_the_steps_find_their_loops_compiled(image: Built, models: Path) -> None:
    """Compiling everything again adds nothing to what the image brought."""
    files = "find {} -name '*.nbc' | sed 's,.*/,,' | sort"
    looked = (
        "python -m tritonseg_steps.compile_ahead; ls /tmp/numba;"
        f'test "$({files.format("$TRITONSEG_COMPILED")})" = "$({files.format("/tmp/numba")})"'
    )
    done = run(image, models, "sh", "-ec", looked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("x86-64-v3-")


def test_the_entrypoint_serves_the_exports_mask_and_stops_on_sigterm(
    image: Built, models: Path, tmp_path: Path
) -> None:
    ports = ["--grpc-port=0", "--metrics-port=0", "--verify-metrics-port=0"]
    command = [*image[1].command("ENTRYPOINT"), *ports, "street-demo"]
    line = contained(*image, models, command, shm_size=SHM_SIZE, mode="ro")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.match(r"ready: gRPC on (\S+),", said)
        assert found is not None, said + (tmp_path / "log").read_text()
        (first,) = psutil.Process(process.pid).children()
        assert {one.uids().real for one in first.children(recursive=True)} == {1000}
        height, width = demo_spec().input.size_hw or (0, 0)
        image_hwc = np.asarray(Image.open(STREET).convert("RGB").resize((width, height)))
        expected, stable = own_mask(DEMO_ONNX, demo_spec(), image_hwc)
        with SegmentationClient(found[1], model="street-demo") as client:
            mask = client.segment(image_hwc).class_map
        assert stable.mean() > 0.9
        assert (mask == expected)[stable].mean() > 0.9999
        first.terminate()
        assert process.wait(40) == 0
    finally:
        process.kill()
        process.communicate()
