"""The digest of an export covers its weights, wherever they lie."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tiny_models import TinyModel, tiny_spec
from tritonseg_engines.build.export_digest import export_sha256
from tritonseg_engines.build.model import build_model
from tritonseg_engines.errors import OnnxModelError


def split(folder: Path, *, scale: float = 1.0, **options: object) -> Path:
    """Write a tiny model with its weights beside it."""
    folder.mkdir()
    model = TinyModel().model()
    (weight,) = (one for one in model.graph.initializer if one.name == "weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(scale)))
    weight.name = "weight"
    fields = {"location": "weights.bin", "size_threshold": 0, **options}
    onnx.save_model(model, folder / "export.onnx", save_as_external_data=True, **fields)
    return folder / "export.onnx"


def test_a_file_that_holds_its_weights_has_its_own(tmp_path: Path) -> None:
    onnx.save(TinyModel().model(), tmp_path / "export.onnx")
    content = (tmp_path / "export.onnx").read_bytes()
    assert export_sha256(tmp_path / "export.onnx") == hashlib.sha256(content).hexdigest()


def test_other_weights_beside_the_same_file_are_another_export(tmp_path: Path) -> None:
    one, other = split(tmp_path / "a"), split(tmp_path / "b", scale=2.0)
    assert one.read_bytes() == other.read_bytes()
    assert export_sha256(one) != export_sha256(other)
    same = build_model(tiny_spec(), one, tmp_path / "r").provenance.onnx_sha256
    assert same == export_sha256(one)


def test_does_not_depend_on_folder_or_name(tmp_path: Path) -> None:
    one = split(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    renamed = (tmp_path / "b" / "export.onnx").rename(tmp_path / "b" / "renamed.onnx")
    assert export_sha256(one) == export_sha256(renamed)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum on this machine")
def test_can_be_had_from_the_shell_as_documented(tmp_path: Path) -> None:
    export = split(tmp_path / "a", all_tensors_to_one_file=False)
    names = sorted(path.name for path in (tmp_path / "a").iterdir() if path != export)
    assert len(names) > 1
    line = f"(sha256sum < export.onnx | cut -c-64; sha256sum {' '.join(names)}) | sha256sum"
    printed = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path / "a", capture_output=True, text=True, check=True
    )
    assert export_sha256(export) == printed.stdout.split()[0]


def test_weights_of_constants_and_branches_count(tmp_path: Path) -> None:
    value = numpy_helper.from_array(np.zeros(4, np.float32), "value")
    value.ClearField("raw_data")
    value.data_location = onnx.TensorProto.EXTERNAL
    value.external_data.add(key="location", value="weights.bin")
    (tmp_path / "weights.bin").write_bytes(bytes(16))
    constant = helper.make_node("Constant", [], ["c"], value=value)
    output = helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, [4])
    branch = helper.make_graph([constant], "branch", [], [output])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    fed = helper.make_tensor_value_info("x", onnx.TensorProto.BOOL, [])
    given = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [4])
    model = helper.make_model(helper.make_graph([node], "g", [fed], [given]))
    (tmp_path / "export.onnx").write_bytes(model.SerializeToString())
    before = export_sha256(tmp_path / "export.onnx")
    (tmp_path / "weights.bin").write_bytes(b"1" * 16)
    assert export_sha256(tmp_path / "export.onnx") != before
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(OnnxModelError, match=r"weights.bin: cannot be read: No such file"):
        export_sha256(tmp_path / "export.onnx")
