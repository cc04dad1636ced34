"""What is missing is named with one command that can be typed and suffices."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tritonseg_engines.cli import extra_of
from tritonseg_engines.cli.app import COMMANDS, DEPENDENCIES
from tritonseg_engines.install_command import install_command

DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "cyclonedx": "cyclonedx-python-lib",
    "model_signing": "model-signing",
    "onnx_ir": "onnx-ir",
    "yaml": "pyyaml",
}
"""Where it is not the module's own name."""


WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
sys.argv = ["tritonseg", *{arguments!r}]
from tritonseg_engines.cli import main
main()
"""


@pytest.fixture
def installed_from(monkeypatch: pytest.MonkeyPatch):
    """Make the installation say where it came from, in the installer's own words."""

    class Installed:
        def __init__(self, text: str | None) -> None:
            self.text = text

        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return self.text

    def set_source(document: object) -> None:
        text = None if document is None else json.dumps(document)
        monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Installed(text))

    return set_source


def test_a_checkout_is_named_by_its_folder(installed_from, tmp_path: Path) -> None:
    folder = tmp_path / "my checkout"
    folder.mkdir()
    installed_from({"url": folder.as_uri(), "dir_info": {"editable": True}})
    assert install_command("serve") == (f"{sys.executable} -m pip install -e '{folder}[serve]'")


def test_a_wheel_is_named_by_its_file(installed_from, tmp_path: Path) -> None:
    wheel = tmp_path / "tritonseg-0.1.0-py3-none-any.whl"
    wheel.touch()
    installed_from({"url": wheel.as_uri(), "archive_info": {}})
    assert install_command("build") == f"{sys.executable} -m pip install '{wheel}[build]'"


def test_what_an_index_gave_it_gives_again(installed_from) -> None:
    installed_from(None)
    assert install_command("gpu") == f"{sys.executable} -m pip install 'tritonseg[gpu]'"


def test_a_repository_is_named_by_its_url(installed_from) -> None:
    installed_from({"url": "https://example.com/t.whl", "archive_info": {}})
    command = install_command("gpu")
    assert command.endswith("-m pip install 'tritonseg[gpu] @ https://example.com/t.whl'")


def test_a_file_that_is_gone_is_not_recommended(installed_from, tmp_path: Path) -> None:
    installed_from({"url": (tmp_path / "gone.whl").as_uri(), "archive_info": {}})
    assert install_command("serve").startswith("install tritonseg with the extra 'serve'")


def test_an_environment_without_pip_takes_uv(
    installed_from, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed_from(None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert install_command("build") == (
        f"uv pip install --python {sys.executable} 'tritonseg[build]'"
    )


def brought_by(extra: str) -> set[str]:
    """Return the distributions of an extra, as the installed package states them."""
    requirements = importlib.metadata.requires("tritonseg") or []
    own = [line for line in requirements if f"extra == '{extra}'" in line.replace('"', "'")]
    return {re.split(r"[^A-Za-z0-9-]", line, maxsplit=1)[0].lower() for line in own}


def test_every_command_finds_all_that_it_needs_in_one_extra() -> None:
    modules = {DISTRIBUTIONS.get(module, module) for module in DEPENDENCIES}
    of_oci = {"cyclonedx-python-lib", "model-signing", "oras"}
    for_bulk = {"fsspec", "pyarrow", "ray"}
    assert brought_by("export") | brought_by("tune") | brought_by("oci") | for_bulk >= modules
    assert brought_by("build") == (
        modules - {"torch", "onnxscript", "matplotlib"} - of_oci - for_bulk
    )
    assert brought_by("bulk") == brought_by("build") | for_bulk
    assert brought_by("serve") == brought_by("build") | {"nvidia-pytriton"}
    assert brought_by("tune") == brought_by("serve") | {"matplotlib"}
    assert brought_by("preflight") == brought_by("build") | {
        "tensorrt-rtx-cu12-bindings",
        "onnxruntime-ep-nv-tensorrt-rtx-cu12",
    }
    assert brought_by("oci") == brought_by("build") | of_oci | {"requests", "pyopenssl"}
    extras = {extra_of(command) for command in COMMANDS}
    assert extras == {"build", "bulk", "export", "oci", "preflight", "serve", "tune"}


def test_the_smallest_extra_with_the_command_brings_its_libraries() -> None:
    assert brought_by("build") > brought_by("steps") | {"click", "rich", "pyyaml"}
    assert not brought_by("steps") & {"click", "rich", "pyyaml", "onnx"}
    assert brought_by("steps") == {"numba", "opencv-python-headless", "openvino"}


def run_without(absent: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    code = WITHOUT.format(absent=absent, arguments=arguments)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments", [("--help",), ("models",), ("doctor",), ("segment", "--help"), ("serve", "--help")]
)
def test_these_work_without_what_build_does_not_bring(arguments: tuple[str, ...]) -> None:
    done = run_without({"torch", "onnxscript", "pytriton", "cupy", "psutil"}, *arguments)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("absent", "arguments", "extra"),
    [
        ({"click", "torch"}, ("export", "fastseg-small"), "export"),
        ({"click", "onnx"}, (), "build"),
        ({"onnx", "numba", "cv2"}, ("demo",), "serve"),
        ({"openvino", "onnxruntime", "onnx"}, ("build", "street-demo"), "build"),
        ({"torch"}, ("export", "fastseg-small", "--weights", "upstream"), "export"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
def test_the_extra_named_is_the_one_that_suffices(
    absent: set[str], arguments: tuple[str, ...], extra: str
) -> None:
    done = run_without(absent, *arguments)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"[{extra}]" in done.stderr or f"the extra '{extra}'" in done.stderr
