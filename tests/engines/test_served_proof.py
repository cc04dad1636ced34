"""What the serving runtime makes of odd sizes is held against the export, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tiny_models import RESIZE, TinyModel, run_onnx, tiny_spec
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.build.order import BuildOrder
from tritonseg_engines.build.pictures_choice import PictureChoice
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.build.served_proof import prove_served
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.gate.thresholds import THRESHOLDS
from tritonseg_engines.running.networks import infer_in_openvino
from tritonseg_engines.target import BuildTarget


@pytest.fixture
def order(tmp_path: Path) -> BuildOrder:
    path = tmp_path / "export.onnx"
    onnx.save(TinyModel(tail=[RESIZE], size_hw=(None, None)).model(), path)
    prepared = prepare_network(tiny_spec(height=None, width=None), path)
    return BuildOrder(
        prepared=prepared,
        target=BuildTarget.of("fp32"),
        options=BuildOptions(),
        pictures=PictureChoice(BuildOptions(), path, prepared.sizes),
    )


def test_openvino_gives_the_export_s_masks_at_every_size(order: BuildOrder) -> None:
    with infer_in_openvino(order.prepared.network, "fp32") as infer:
        prove_served(order, infer, THRESHOLDS["fp32"])


def test_a_runtime_that_differs_at_one_size_is_found(order: BuildOrder) -> None:
    def wrong_where_odd(batch_nchw: np.ndarray) -> np.ndarray:
        scores = run_onnx(order.prepared.network, batch_nchw)
        return np.roll(scores, 1, axis=3) if batch_nchw.shape[2] == 97 else scores

    with pytest.raises(OnnxModelError, match=r"as it will be served .* of 97x131"):
        prove_served(order, wrong_where_odd, THRESHOLDS["fp32"])


def test_a_runtime_that_gives_no_number_is_found(order: BuildOrder) -> None:
    def infinite(batch_nchw: np.ndarray) -> np.ndarray:
        return run_onnx(order.prepared.network, batch_nchw) * np.float32(np.inf)

    with pytest.raises(OnnxModelError, match="NaN or infinite scores"):
        prove_served(order, infinite, THRESHOLDS["fp32"])


def test_what_openvino_cannot_run_is_one_line(order: BuildOrder) -> None:
    with infer_in_openvino(order.prepared.network, "fp32") as infer:
        with pytest.raises(
            OnnxModelError, match="OpenVINO cannot run the network on 1x4x8x8"
        ) as it:
            infer(np.zeros((1, 4, 8, 8), np.float32))
        assert len(str(it.value).splitlines()) == 1
