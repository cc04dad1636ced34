"""What the configs say about warm-up and queues, on a real Triton."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from demo_model.scenes import draw_scene
from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.repository.check import check_repository
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.tensorrt import Machine
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def repository(demo_repository: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_repository, tmp_path / "model_repository"))


def test_steps_are_run_before_the_server_is_ready(repository: Path) -> None:
    """With a picture of no size in its warm-up, argmax fails, and so does the start."""
    (repository / "street-demo_argmax" / "warmup" / "image_size").write_bytes(bytes(8))
    with (
        pytest.raises(ServerStartError, match="street-demo_argmax"),
        TritonServer(ServerConfig(repositories=(repository,))),
    ):
        pass


def test_a_model_of_all_steps_is_run_before_the_server_is_ready(tmp_path: Path) -> None:
    """Triton 2.51 says why, or ends by SIGSEGV over the warm-up that failed: no start in either."""
    build_model(demo_spec(), DEMO_ONNX, tmp_path / "repository")
    path = tmp_path / "repository" / "street-demo" / "config.pbtxt"
    config = read_config(path)
    config.model_warmup[0].inputs["IMAGE"].dims[0] = 0
    path.write_text(str(config))
    with (
        pytest.raises(ServerStartError, match=r"expected at least 1x1 pixels|exit code 139"),
        TritonServer(ServerConfig(repositories=(tmp_path / "repository",))),
    ):
        pass


SERVE_WITH_NUMPY_2 = """
import sys
from pathlib import Path
import tritonseg_engines.serving.server as server
from tritonseg_engines.serving import ServerConfig, TritonServer

server.refuse_numpy = lambda installation: None  # as by a Triton that nobody of ours started
with TritonServer(ServerConfig(repositories=(Path(sys.argv[1]),))):
    pass
"""


def test_a_numpy_that_the_backend_cannot_use_is_refused_by_the_steps(
    repository: Path, tmp_path: Path
) -> None:
    """Triton 24.10 would be ready with it, and serve masks of no bytes."""
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "numpy>=2.3,<2.4"], check=True)
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    ours = [entry for entry in sys.path if entry.endswith("site-packages") or "tritonseg" in entry]
    roots = [str(PROJECT / root) for root in ("client", "steps", "build_engines")]
    (packages / "ours.pth").write_text("\n".join([*roots, *ours]))
    done = subprocess.run(
        [python, "-c", SERVE_WITH_NUMPY_2, repository], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "makes empty tensors of NumPy 2." in done.stderr
    assert "install 'numpy<2' 'opencv-python-headless<4.12' where the steps are" in done.stderr


def test_instances_share_what_cores_there_are(tmp_path: Path) -> None:
    """Each takes its share of the threads, and they answer as one does."""
    build_model(demo_spec(), DEMO_ONNX, tmp_path / "repository")
    path = tmp_path / "repository" / "street-demo" / "config.pbtxt"
    config = read_config(path)
    config.instance_group[0].count = 2
    path.write_text(str(config))
    image_hwc = draw_scene(3, height=96, width=160).image_hwc
    with (
        TritonServer(ServerConfig(repositories=(tmp_path / "repository",))) as server,
        SegmentationClient(server.grpc_url, model="street-demo") as client,
        ThreadPoolExecutor(4) as threads,
    ):
        maps = [answer.class_map for answer in threads.map(client.segment, [image_hwc] * 8)]
    assert all(np.array_equal(class_map, maps[0]) for class_map in maps)
    assert len(np.unique(maps[0])) > 3


def test_a_built_repository_is_as_built(demo_repository: Path) -> None:
    assert check_repository(demo_repository, Machine()) == {"street-demo": []}
