"""Files in the containers that publishers use, and files that must be refused."""

from __future__ import annotations

import os
import pickle
import random
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritonseg_engines.errors import CheckpointError

torch = pytest.importorskip("torch", reason="weights are read with torch (the `export` extra)")

from tritonseg_engines.checkpoints import read_checkpoint  # noqa: E402 - after that check

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)
Save = Callable[[Any, Path], None]


def save_zip(content: Any, path: Path) -> None:
    torch.save(content, path)


def save_legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_paddle_2(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


def save_paddle_4(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=4))


TORCH = pytest.mark.parametrize("save", [save_zip, save_legacy])
PADDLE = pytest.mark.parametrize("save", [save_paddle_2, save_paddle_4])
EVERY_CONTAINER = pytest.mark.parametrize(
    "save", [save_zip, save_legacy, save_paddle_2, save_paddle_4]
)


def tensors(*names: str) -> dict[str, Any]:
    return {name: torch.from_numpy(WEIGHT + i) for i, name in enumerate(names)}


@TORCH
@pytest.mark.parametrize(
    "content",
    [
        tensors("conv.weight"),
        {"state_dict": tensors("conv.weight"), "meta": {"epoch": 3, "CLASSES": ["road"]}},
        {"state_dict": tensors("module.conv.weight"), "optimizer": {"lr": 0.1}},
        tensors("module.model.conv.weight", "module.loss.criterion.weight"),
        tensors("model.conv.weight", "loss.criterion.weight"),
        {"num_classes": 19, "state_dict": tensors("module.conv.weight", "loose.weight")},
    ],
    ids=["flat", "mmseg", "parallel", "hrnet_parallel", "hrnet", "fastseg"],
)
def test_torch_containers(save: Save, content: Any, tmp_path: Path) -> None:
    save(content, tmp_path / "weights.pth")
    arrays = read_checkpoint(tmp_path / "weights.pth")
    assert list(arrays) == ["conv.weight"]
    np.testing.assert_array_equal(arrays["conv.weight"], WEIGHT)


@TORCH
def test_numbers_of_numpy_beside_the_weights(save: Save, tmp_path: Path) -> None:
    content = {
        "state_dict": tensors("module.last.weight"),
        "mean_iu": np.float64(0.67),
        "best": np.float32(0.5),
        "epoch": np.int64(3),
        "done": np.bool_(True),
    }
    save(content, tmp_path / "weights.pt")
    assert list(read_checkpoint(tmp_path / "weights.pt")) == ["last.weight"]


def test_numbers_that_numpy_2_wrote(tmp_path: Path) -> None:
    """NumPy 2 moved `numpy.core`; the name stands in the pickle as plain text."""
    content = {"state_dict": tensors("module.last.weight"), "mean_iu": np.float64(0.67)}
    save_zip(content, tmp_path / "one.pt")
    old, new = b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n"
    with (
        zipfile.ZipFile(tmp_path / "one.pt") as source,
        zipfile.ZipFile(tmp_path / "other.pt", "w") as target,
    ):
        pickled = source.read("one/data.pkl")
        assert (old in pickled) != (new in pickled)
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(old, new))
    assert list(read_checkpoint(tmp_path / "other.pt")) == ["last.weight"]


@TORCH
def test_half_precision_is_widened(save: Save, tmp_path: Path) -> None:
    weight = torch.from_numpy(WEIGHT)
    save({"half": weight.half(), "bfloat": weight.bfloat16()}, tmp_path / "weights.pth")
    arrays = read_checkpoint(tmp_path / "weights.pth")
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(arrays["half"], WEIGHT)


@TORCH
def test_tensors_that_are_no_plain_numbers(save: Save, tmp_path: Path) -> None:
    weight = torch.from_numpy(WEIGHT)
    for other in (weight.to_sparse(), torch.complex(weight, weight)):
        save({"weight": other}, tmp_path / "weights.pth")
        with pytest.raises(CheckpointError, match="plain numbers under 'weight'"):
            read_checkpoint(tmp_path / "weights.pth")


def test_a_torchscript_archive_is_no_checkpoint(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(torch.nn.ReLU()), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="TorchScript"):
        read_checkpoint(tmp_path / "model.pt")


@PADDLE
def test_paddle_containers(save: Save, tmp_path: Path) -> None:
    content = {
        "head.cls_head.weight": WEIGHT,
        "head.cls_head.bias": np.asfortranarray(WEIGHT),
        "StructuredToParameterName@@": {"head.cls_head.weight": "conv2d_318.w_0"},
    }
    save(content, tmp_path / "model.pdparams")
    arrays = read_checkpoint(tmp_path / "model.pdparams")
    assert list(arrays) == ["head.cls_head.weight", "head.cls_head.bias"]
    for array in arrays.values():
        np.testing.assert_array_equal(array, WEIGHT)


class RunsCode:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


@EVERY_CONTAINER
@pytest.mark.parametrize("nested", [False, True])
def test_code_in_a_pickle_is_refused_and_not_run(save: Save, nested: bool, tmp_path: Path) -> None:
    marker = tmp_path / "code_was_run"
    evil: Any = RunsCode(marker)
    save({"conv.weight": [evil] if nested else evil}, tmp_path / "evil.bin")
    with pytest.raises(CheckpointError, match=r"evil\.bin.*running code.*refused"):
        read_checkpoint(tmp_path / "evil.bin")
    assert not marker.exists()


class Pickled:
    """An object that unpickles by a call of the test's choice."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


class Subclass(np.ndarray[Any, Any]):
    pass


RECONSTRUCT = np.zeros(0).__reduce__()[0]
SCALAR = np.float64(0).__reduce__()[0]


@PADDLE
@pytest.mark.parametrize(
    "pickled",
    [
        Pickled(RECONSTRUCT, np.ndarray, (10**6,), b"b"),
        Pickled(RECONSTRUCT, Subclass, (0,), b"b"),
        Pickled(RECONSTRUCT, RunsCode, (0,), b"b"),
        Pickled(SCALAR, np.dtype("f8"), b"12345678"),
        Pickled(eval, "1"),
        Pickled(np.ndarray, (4,)),
    ],
    ids=["size", "subclass", "class", "scalar", "eval", "constructor"],
)
def test_only_plain_arrays_come_out_of_paddle_files(
    save: Save, pickled: Any, tmp_path: Path
) -> None:
    save({"weight": pickled}, tmp_path / "model.pdparams")
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "model.pdparams")


@TORCH
@pytest.mark.parametrize("dtype", ["O", "V8", "M8[s]"])
def test_only_numbers_of_numpy_are_allowed_in_torch_files(
    save: Save, dtype: str, tmp_path: Path
) -> None:
    content = {"weight": torch.zeros(1), "extra": Pickled(SCALAR, np.dtype(dtype), b"\0" * 8)}
    save(content, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x08\x07\x12\x07pytorch", "torch or Paddle"),
        (b"PK\x03\x04 and then nothing", "parsed"),
        (b"\x80\x04\x95", "parsed"),
    ],
)
def test_other_files(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(content)
    with pytest.raises(CheckpointError, match=told) as caught:
        read_checkpoint(tmp_path / "file.bin")
    assert "file.bin" in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"missing\.pth.*No such file"):
        read_checkpoint(tmp_path / "missing.pth")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(tmp_path)


@EVERY_CONTAINER
@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, {"a": {"b": "c"}}])
def test_files_without_weights(save: Save, content: Any, tmp_path: Path) -> None:
    save(content, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=r"weights\.pth: expected"):
        read_checkpoint(tmp_path / "weights.pth")


@PADDLE
@pytest.mark.parametrize(
    "array", [np.array(["text"]), np.array([1j]), np.array([None]), np.array([b"raw"])]
)
def test_paddle_arrays_of_no_numbers(save: Save, array: Any, tmp_path: Path) -> None:
    save({"weight": array}, tmp_path / "model.pdparams")
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "model.pdparams")


@EVERY_CONTAINER
def test_damaged_files_raise_nothing_else(save: Save, tmp_path: Path) -> None:
    values = tensors("a", "b") if save in (save_zip, save_legacy) else {"a": WEIGHT, "b": WEIGHT}
    path = tmp_path / "weights.pth"
    save(values, path)
    whole = path.read_bytes()
    choose = random.Random(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole[: choose.choice([len(whole), choose.randrange(len(whole))])])
        for _ in range(3 if damaged else 0):
            damaged[choose.randrange(len(damaged))] = choose.randrange(256)
        path.write_bytes(damaged)
        try:
            read_checkpoint(path)
        except CheckpointError:
            refused += 1
    assert refused > 75
