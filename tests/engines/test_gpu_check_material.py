"""What the GPU check exports and draws, at a size that is quick."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from gpu_check.material import exported, picture_options
from residual_network import residual_spec
from tiny_models import run_onnx
from tritonseg_engines import zoo
from tritonseg_engines.zoo.published import PUBLISHED_CHECKPOINTS
from tritonseg_engines.zoo.specs import ZOO_SPECS

MODEL = "hrnetv2-w18-small-v1-cityscapes"
SIZE_HW = (64, 128)


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch):
    torch = pytest.importorskip("torch", reason="exporting a network needs torch")
    spec = ZOO_SPECS[MODEL]
    small = replace(spec, input=replace(spec.input, height=SIZE_HW[0], width=SIZE_HW[1]))
    monkeypatch.setitem(ZOO_SPECS, MODEL, small)
    return torch


def test_random_weights_give_masks_of_many_classes(torch, tmp_path: Path) -> None:
    path, weights = exported(ZOO_SPECS[MODEL], tmp_path, None)
    assert (path.name, weights) == (f"{MODEL}.random.onnx", "random")
    batch = np.random.default_rng(0).standard_normal((1, 3, *SIZE_HW)).astype(np.float32)
    scores = run_onnx(onnx.load(path), batch)
    assert scores.shape == (1, 19, 16, 32)
    assert len(np.unique(scores.argmax(1))) >= 5
    written = path.stat().st_mtime_ns
    assert exported(ZOO_SPECS[MODEL], tmp_path, tmp_path)[0].stat().st_mtime_ns == written


def test_a_checkpoint_under_its_published_name_is_taken(torch, tmp_path: Path) -> None:
    name = PUBLISHED_CHECKPOINTS[MODEL].file_name
    torch.manual_seed(3)
    network = zoo.build_network(MODEL)
    torch.save(network.state_dict(), tmp_path / name)
    path, weights = exported(ZOO_SPECS[MODEL], tmp_path / "out", tmp_path)
    assert weights == name
    batch = np.random.default_rng(0).standard_normal((1, 3, *SIZE_HW)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(
        run_onnx(onnx.load(path), batch), expected, atol=1e-4 * np.abs(expected).max()
    )


def test_streets_are_drawn_once_and_of_the_models_size(tmp_path: Path) -> None:
    options = picture_options(residual_spec(), tmp_path, None, None)
    assert options.accept
    assert options.calibration is not None
    assert options.pictures is not None
    assert options.calibration != options.pictures
    files = sorted(options.pictures.iterdir())
    assert [file.name for file in files] == ["000.png", "001.png", "002.png", "003.png"]
    with Image.open(files[0]) as image:
        assert (image.mode, image.size) == ("RGB", (96, 64))
    written = files[0].stat().st_mtime_ns
    picture_options(residual_spec(), tmp_path, None, None)
    assert files[0].stat().st_mtime_ns == written


def test_pictures_that_are_given_are_taken(tmp_path: Path) -> None:
    options = picture_options(residual_spec(), tmp_path / "x", tmp_path / "c", tmp_path / "p")
    assert (options.calibration, options.pictures) == (tmp_path / "c", tmp_path / "p")
    assert not (tmp_path / "x").exists()
