"""Every program of client/README.md, as it stands, against a real Triton."""

from __future__ import annotations

import ast
import io
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from demo_model.scenes import draw_scene
from tritonseg import SegmentationClient
from tritonseg_engines.serving import TritonServer

PAGE = (Path(__file__).parents[2] / "client" / "README.md").read_text(encoding="utf-8")
DOCUMENTED = "localhost:8001"


def programs(heading: str, url: str) -> list[str]:
    """The page's programs under a heading, for this server."""
    (found,) = re.findall(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    blocks = re.findall(r"^```python\n(.*?)^```", found, re.M | re.S)
    return [block.replace(DOCUMENTED, url) for block in blocks]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for seed, name in enumerate(("street", "park")):
        Image.fromarray(draw_scene(seed, height=128, width=256).image_hwc).save(
            tmp_path / f"{name}.jpg", quality=95
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def own(client: SegmentationClient, folder: Path) -> dict[str, np.ndarray]:
    """The mask of each picture by one plain call."""
    return {path.stem: client.segment(path).class_map for path in folder.glob("*.jpg")}


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_no_program_is_left_out(demo_server: TritonServer) -> None:
    headings = re.findall(r"^## (.*)$", PAGE, re.M)
    counts = {heading: len(programs(heading, "")) for heading in headings}
    assert counts == {
        "A first mask": 1, "A web service": 1, "A folder of pictures": 1, "asyncio": 1,
        "In a notebook": 3,
    }  # fmt: skip
    assert PAGE.count("```python") == sum(counts.values())


def test_a_first_mask(demo_server: TritonServer, folder: Path, own: dict[str, np.ndarray]) -> None:
    done = run(*programs("A first mask", demo_server.grpc_url))
    assert done.stderr == ""
    assert re.match(r"\d+% road; here are .*road", done.stdout)
    mask = pixels((folder / "street-classes.png").read_bytes())
    assert np.array_equal(mask, own["street"])
    overlay = pixels((folder / "street-overlay.png").read_bytes())
    assert overlay.shape == (128, 256, 3)


@pytest.fixture
def service(demo_server: TritonServer) -> Iterator[Any]:
    testclient = pytest.importorskip("fastapi.testclient", reason="needs fastapi and httpx")
    (program,) = programs("A web service", demo_server.grpc_url)
    names: dict[str, Any] = {}
    exec(compile(program, "service.py", "exec"), names)
    with testclient.TestClient(names["app"]) as service:
        yield service


@pytest.mark.filterwarnings("default")  # of other people's packages
class TestService:
    def test_a_mask(self, service: Any, folder: Path, own: dict[str, np.ndarray]) -> None:
        assert service.get("/ready").status_code == 200
        answer = service.post("/segment", content=(folder / "street.jpg").read_bytes())
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert len(answer.headers["x-request-id"]) == 32
        assert np.array_equal(pixels(answer.content), own["street"])

    def test_what_is_no_picture(self, service: Any) -> None:
        answer = service.post("/segment", content=b"<html>")
        assert answer.status_code == 400
        assert "detail" in answer.json()


@pytest.mark.filterwarnings("default")
def test_a_service_without_a_server(refused_url: str) -> None:
    testclient = pytest.importorskip("fastapi.testclient", reason="needs fastapi and httpx")
    (program,) = programs("A web service", refused_url)
    names: dict[str, Any] = {}
    exec(compile(program, "service.py", "exec"), names)
    with testclient.TestClient(names["app"]) as service:
        assert service.get("/ready").status_code == 503
        png = io.BytesIO()
        Image.new("RGB", (8, 8)).save(png, "PNG")
        assert service.post("/segment", content=png.getvalue()).status_code == 503


@pytest.fixture
def refused_url() -> Iterator[str]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def test_a_folder_of_pictures(
    demo_server: TritonServer, folder: Path, own: dict[str, np.ndarray]
) -> None:
    (program,) = programs("A folder of pictures", demo_server.grpc_url)
    done = run(program, str(folder), "masks")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for name, mask in own.items():
        png = (folder / "masks" / f"{name}.png").read_bytes()
        assert np.array_equal(pixels(png), mask)
    (folder / "broken.jpg").write_bytes(b"<html>")
    done = run(program, str(folder), "masks")
    assert done.returncode == 1
    assert done.stderr.startswith("broken.jpg: ")
    assert done.stderr.count("\n") == 1


def test_asyncio(demo_server: TritonServer, folder: Path) -> None:
    done = run(*programs("asyncio", demo_server.grpc_url))
    assert done.stderr == ""
    shares, *pictures, deadline = done.stdout.splitlines()
    assert re.fullmatch(r"\d+% and \d+% road", shares)
    assert {line.partition(" ")[0] for line in pictures} == {"park.jpg", "street.jpg"}
    assert "0.001 s" in deadline or "timeout_s" in deadline


def test_the_notebook(
    demo_server: TritonServer,
    folder: Path,
    own: dict[str, np.ndarray],
    capsys: pytest.CaptureFixture[str],
) -> None:
    names: dict[str, Any] = {}
    result, sure, nothing = (
        shown(cell, names) for cell in programs("In a notebook", demo_server.grpc_url)
    )
    names["client"].close()
    assert np.array_equal(result.class_map, own["street"])
    picture = Image.open(io.BytesIO(result._repr_png_()))
    assert picture.height > picture.width / 2  # of which the legend stands below the picture
    assert set(np.unique(sure)) <= {*np.unique(own["street"]), 255}
    assert nothing is None
    assert capsys.readouterr().out.count("%") == 4


def shown(cell: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does, and return what it would show."""
    tree = ast.parse(cell)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "cell", "exec"), names)
        return None
    exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)
