"""What pip installs into the two NVIDIA images, by their own lines, in an environment of its own.

NVIDIA's images are not here; their Python is, 3.12. Minutes, so `make docker-check` only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dockerfiles import DOCKER, stages
from tritonseg_engines.zoo.street_demo import DEMO_ONNX

PLACE = "/opt/tritonseg"
"""Where the Dockerfiles put the wheel and the constraints."""
IN_SERVER = {
    "click",
    "numba",
    "numpy",
    "opencv-python-headless",
    "openvino",
    "pyyaml",
    "tritonclient",
}
AT_BUILD = {"cupy-cuda12x", "onnx", "onnxruntime", "rich"}

ALL_STEPS = """
import hashlib, sys
import numpy as np
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.openvino_engine import OpenvinoEngine
from tritonseg_steps.preprocessing import Normalizer, Preprocessing
from tritonseg_steps.resize_policy import Stretch
from tritonseg_steps.upsampling import class_map_from_scores

image = (np.arange(700 * 900 * 3) ** 2 // 977 % 256).astype(np.uint8).reshape(1, 700, 900, 3)
normalizer = Normalizer(Preprocessing(
    mean=(120.0, 110.0, 100.0), scale=(60.0, 58.0, 57.0), resize=Stretch(height=512, width=1024)
))
batch = normalizer.batch(image)
(scores,) = OpenvinoEngine(sys.argv[1], "fp32").infer_all([batch])
classes = class_map_from_scores(scores[0], normalizer.geometry((700, 900)))
print(np.__version__, *(hashlib.sha256(a.tobytes()).hexdigest() for a in (batch, classes)))
"""

pytestmark = pytest.mark.skipif(
    os.environ.get("TRITONSEG_DOCKER") != "1",
    reason="installs what the GPU images need, which takes minutes: make docker-check "
    "(TRITONSEG_DOCKER=1)",
)


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The `bin` folder of an environment for each image."""
    python = os.environ.get("PYTHON312") or shutil.which("python3.12") or ""
    if not python or subprocess.run([python, "-c", ""], check=False).returncode != 0:
        pytest.skip("needs Python 3.12, as NVIDIA's images have it; PYTHON312 says where")
    folder = tmp_path_factory.mktemp("gpu")
    place = folder / "dist"
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(place)]
    subprocess.run([*wheel, str(DOCKER.parent)], check=True)
    shutil.copy(DOCKER / "constraints.gpu.txt", place / "constraints.txt")
    return {name: installed(name, python, folder, place) for name in ("server", "build")}


def installed(name: str, python: str, folder: Path, place: Path) -> Path:
    subprocess.run([python, "-m", "venv", str(folder / name)], check=True)
    (line,) = stages(f"Dockerfile.{name}")[-1].of("RUN")
    install, _, _folder = line.partition(" && install -d ")
    assert install.startswith("python3 -m pip install ")
    places = {"PATH": f"{folder / name / 'bin'}:{os.environ['PATH']}", "EXTRA": "steps"}
    command = install.replace(PLACE, str(place))
    done = subprocess.run(
        ["sh", "-ec", command], env={**os.environ, **places}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / name / "bin"


def test_a_server_has_what_steps_need_and_a_build_what_builds_need(
    environments: dict[str, Path],
) -> None:
    code = "import importlib.metadata as m; print(*(d.name.lower() for d in m.distributions()))"
    found = {
        name: set(subprocess.check_output([place / "python", "-c", code], text=True).split())
        for name, place in environments.items()
    }
    assert found["server"] >= IN_SERVER
    assert not found["server"] & AT_BUILD
    assert found["build"] >= IN_SERVER | AT_BUILD


@pytest.mark.parametrize("name", ["server", "build"])
def test_masks_are_those_of_the_environment_with_numpy_1(
    environments: dict[str, Path], name: str
) -> None:
    def digests(python: Path | str) -> list[str]:
        command = [str(python), "-c", ALL_STEPS, str(DEMO_ONNX)]
        return subprocess.check_output(command, text=True).split()

    here, there = digests(sys.executable), digests(environments[name] / "python")
    assert (here[0][0], there[0][0]) == ("1", "2")
    assert there[1:] == here[1:]


def test_a_triton_too_old_for_this_numpy_is_refused_in_one_line(
    environments: dict[str, Path], tmp_path: Path
) -> None:
    """TRITON_RELEASE=24.10 would build; its Python backend makes empty tensors of NumPy 2."""
    triton = tmp_path / "tritonserver"
    (triton / "bin").mkdir(parents=True)
    (triton / "TRITON_VERSION").write_text("2.51.0\n")
    (triton / "bin" / "tritonserver").write_text("")
    (triton / "bin" / "tritonserver").chmod(0o755)
    place = environments["server"]
    path = f"{triton / 'bin'}:{place}:{os.environ['PATH']}"
    done = subprocess.run(
        [place / "tritonseg", "serve", f"--repository={tmp_path}"],
        env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "Error: the Python backend of Triton 2.51.0 makes empty tensors of NumPy"
    )
