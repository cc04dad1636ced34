"""The reach of the published networks: the figures of docs/models.md."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

torch = pytest.importorskip("torch", reason="exporting the networks needs torch")

from tritonseg_engines import zoo  # noqa: E402
from tritonseg_engines.graph.reach import Reach, reach_of  # noqa: E402
from tritonseg_engines.zoo.export import export_onnx  # noqa: E402
from tritonseg_steps.upsampling import Upsampling  # noqa: E402

REACHES = {
    "hrnetv2-w18-small-v1-cityscapes": (316, 285),
    "hrnetv2-w18-small-v2-cityscapes": (576, 545),
    "hrnetv2-w48-cityscapes": (1448, 1417),
}
SEES_ALL = {
    "fastseg-small": "GlobalAveragePool",
    "pspnet-pytorch": "MatMul",
    "ocrnet-hrnet-w48-paddle": "Reshape",
}
SIZES = {"fastseg-small": (416, 448), "pspnet-pytorch": (128, 128)}
DOCS = Path(__file__).parents[2] / "docs" / "models.md"


def exported(model: str, folder: Path, size_hw: tuple[int, int] | None) -> onnx.ModelProto:
    path = folder / "model.onnx"
    export_onnx(zoo.build_network(model), path, size_hw=size_hw)
    return onnx.load(path)


@pytest.mark.parametrize("model", REACHES)
def test_the_hrnets_see_a_window(model: str, tmp_path: Path) -> None:
    before, after = REACHES[model]
    expected = Reach(before_hw=(before,) * 2, after_hw=(after,) * 2, grid_hw=(32, 32))
    assert reach_of(exported(model, tmp_path, None), Upsampling()) == expected
    assert f"{before} + {after}" in DOCS.read_text(encoding="utf-8")


def test_a_fixed_size_changes_nothing(tmp_path: Path) -> None:
    model = "hrnetv2-w18-small-v1-cityscapes"
    reach = reach_of(exported(model, tmp_path, (64, 96)), Upsampling())
    assert (reach.before_hw, reach.after_hw) == ((316, 316), (285, 285))


@pytest.mark.parametrize("model", SEES_ALL)
def test_the_others_see_everything(model: str, tmp_path: Path) -> None:
    network = exported(model, tmp_path, SIZES.get(model, (64, 96)))
    reason = reach_of(network, Upsampling()).unbounded_by
    assert reason is not None
    assert reason.startswith(SEES_ALL[model])
