"""The lines of docs/interop.md, run as they stand against layouts that are really served."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from demo_model.scenes import draw_scene
from own_mask import own_mask
from tritonseg import load_image
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.spec import ModelSpec

PAGE = Path(__file__).parents[2] / "docs" / "interop.md"
LAYOUTS = ("ensemble", "single", "fused")


@dataclass(frozen=True, kw_only=True)
class Served:
    """A model in all layouts on one server, and the truth about one picture.

    `folder` holds `street.jpg`, of the network's size, and `pictures/` with it. `expected_hw` is
    the export's own class map of it, and `stable_hw` where rounding cannot move that.
    """

    server: TritonServer
    folder: Path
    expected_hw: np.ndarray
    stable_hw: np.ndarray

    def written(self, text: str, layout: str) -> str:
        """Return a line of the page for this server, this model and a picture of this size."""
        height, width = self.expected_hw.shape
        for documented, here in {
            "localhost:8001": self.server.grpc_url,
            "localhost:8000": str(self.server.http_url),
            "street-demo": f"street-{layout}",
            "512 * 1024": f"{height} * {width}",
        }.items():
            text = text.replace(documented, here)
        return text

    def check(self, class_map: np.ndarray) -> None:
        """Hold a class map against the export's own."""
        assert class_map.dtype == np.uint8
        assert class_map.shape == self.expected_hw.shape
        wrong = (class_map != self.expected_hw) & self.stable_hw
        assert not wrong.any(), f"{wrong.sum()} pixels are not the export's"

    def check_file(self) -> None:
        """Hold `mask.gray` against the export's own, and remove it."""
        mask = self.folder / "mask.gray"
        self.check(np.fromfile(mask, np.uint8).reshape(self.expected_hw.shape))
        mask.unlink()


def fences(heading: str, language: str, page: Path = PAGE) -> list[str]:
    """Return a page's blocks of code under a heading, down to the next heading."""
    (found,) = re.findall(rf"^#+ {re.escape(heading)}$(.*?)(?=^#+ |\Z)", _headed(page), re.M | re.S)
    return re.findall(rf"^```{language}$\n(.*?)^```$", found, re.M | re.S)


def _headed(page: Path) -> str:
    """Return a page with no comment of a block at the beginning of a line."""
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"^```\w+$[^`]*^# ", text, re.M), "a comment would be taken for a heading"
    return text


def run_bash(
    script: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    *,
    timeout_s: float = 200,
) -> str:
    """Run lines of bash with this Python's commands first; return what they print."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return _run(
        ["bash", "-euo", "pipefail", "-c", script],
        folder,
        {**os.environ, "PATH": path, **(environment or {})},
        timeout_s=timeout_s,
    )


def run_python(script: str, folder: Path, *, python: str = sys.executable) -> np.ndarray:
    """Run a program in a process of its own; return what it calls `class_map`."""
    result = folder / "class_map.npy"
    saved = f"{script}\nimport numpy\nnumpy.save({str(result)!r}, class_map)\n"
    _run([python, "-c", saved], folder, os.environ, timeout_s=200)
    class_map: np.ndarray = np.load(result)
    result.unlink()
    return class_map


def _run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], *, timeout_s: float
) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build_layouts(spec: ModelSpec, export: Path, repository: Path) -> None:
    """Build `street-LAYOUT` for every layout into one repository."""
    for layout in LAYOUTS:
        named = dataclasses.replace(spec, name=f"street-{layout}")
        build_model(named, export, repository, layout=layout)


def interop_config(repository: Path) -> ServerConfig:
    """Return a server with gRPC, HTTP and the shared-memory API."""
    return ServerConfig(repositories=(repository,), http_port=0, allowed_apis=("shared-memory",))


def served(server: TritonServer, spec: ModelSpec, export: Path, folder: Path) -> Served:
    """Draw a picture of the network's size and ask the export itself about it."""
    height, width = spec.input.height, spec.input.width
    street = folder / "street.jpg"
    drawn = draw_scene(11, height=height, width=width).image_hwc
    Image.fromarray(drawn).save(street, quality=95)
    (folder / "pictures").mkdir()
    (folder / "pictures" / "street.jpg").write_bytes(street.read_bytes())
    expected, stable = own_mask(export, spec, load_image(street))
    assert stable.mean() > 0.9
    assert len(np.unique(expected)) > 2  # or a wrong mask might pass
    return Served(
        server=server,
        folder=folder,
        expected_hw=expected.astype(np.uint8),
        stable_hw=stable,
    )
