"""The package as a whole: what it exports, what it pulls in, what its documentation says."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

import tritonseg


def test_all_is_sorted_and_whole():
    exported = {
        name
        for name, value in vars(tritonseg).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert set(tritonseg.__all__) == exported | {"__version__"}
    assert sorted(tritonseg.__all__) == tritonseg.__all__


def test_every_error_is_exported():
    from tritonseg import _errors

    for name, value in vars(_errors).items():
        if isinstance(value, type):
            assert getattr(tritonseg, name) is value


@pytest.mark.parametrize("name", [name for name in tritonseg.__all__ if name[0] != "_"])
def test_names_are_those_that_callers_import(name):
    assert getattr(tritonseg, name).__module__ == "tritonseg"
    assert inspect.getdoc(getattr(tritonseg, name))


def test_import_pulls_in_nothing_heavy():
    script = """
import sys, tritonseg
heavy = {"onnx", "onnxruntime", "torch", "cv2", "yaml", "click", "rich", "numba", "openvino"}
heavy |= {"gevent", "geventhttpclient", "tritonseg_steps", "tritonseg_engines"}
sys.exit(", ".join(sorted(heavy & set(sys.modules))) or None)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_docstring_examples():
    result = doctest.testmod(tritonseg)
    assert result.attempted > 0
    assert result.failed == 0


def test_example_of_the_package_runs(triton, tmp_path, monkeypatch, capsys):
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "street.jpg")
    monkeypatch.chdir(tmp_path)
    code = tritonseg.__doc__.partition("Example::")[2].partition("\nEvery call")[0]
    assert code.count("localhost:8001") == 1
    exec(inspect.cleandoc(code).replace("localhost:8001", triton.url))
    assert capsys.readouterr().out == "100% road\n"
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"street.jpg", "street-classes.png", "street-overlay.png"}
