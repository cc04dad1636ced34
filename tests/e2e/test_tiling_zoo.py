"""The three HRNets in tiles, through a real Triton: the mask of the whole strip, to the pixel.

Strips, because a network that sees 2865 pixels wants tiles of more than that. HRNetV2-W48 is built
and run with `make zoo-check` only.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="exporting the networks needs torch")

from demo_model.scenes import draw_scene  # noqa: E402
from gpu_check.lively_weights import enliven  # noqa: E402
from tritonseg import SegmentationClient, Tiling  # noqa: E402
from tritonseg_engines import zoo  # noqa: E402
from tritonseg_engines.build.model import build_model  # noqa: E402
from tritonseg_engines.serving import ServerConfig, TritonServer  # noqa: E402
from tritonseg_engines.spec import InputSpec  # noqa: E402
from tritonseg_engines.zoo.export import export_onnx  # noqa: E402

CARD_SIZES = os.environ.get("TRITONSEG_CARD_SIZES") == "1"
STRIPS = {
    "hrnetv2-w18-small-v1-cityscapes": (704, 1536),
    "hrnetv2-w18-small-v2-cityscapes": (1280, 2048),
    "hrnetv2-w48-cityscapes": (3072, 3584),
}
"""Width of a tile, and of the strip."""
LARGE = "hrnetv2-w48-cityscapes"
HEIGHT = 64


@pytest.mark.parametrize("model", STRIPS)
def test_tiles_give_the_mask_of_the_whole(model: str, tmp_path: Path) -> None:
    if model == LARGE and not CARD_SIZES:
        pytest.skip("takes minutes; `make zoo-check` runs it")
    tile, width = STRIPS[model]
    network = enliven(zoo.build_network(model), model)
    export_onnx(network, tmp_path / "model.onnx", size_hw=None)
    del network
    spec = replace(zoo.get_spec(model), input=InputSpec(name="image"))
    build_model(spec, tmp_path / "model.onnx", tmp_path / "repository")
    image_hwc = draw_scene(12, height=HEIGHT, width=width).image_hwc
    config = ServerConfig(repositories=(tmp_path / "repository",), ready_timeout_s=300)
    with (
        TritonServer(config) as server,
        SegmentationClient(server.grpc_url, model=model, timeout_s=300) as client,
    ):
        whole = client.segment(image_hwc)
        tiled = client.segment(image_hwc, tiling=Tiling(size=tile))
        narrow = client.segment(image_hwc, tiling=Tiling(size=256, overlap=32))
    assert tiled.tiling is not None
    assert tiled.tiling.is_exact, tiled.tiling.reason
    assert tiled.tiling.tile_count > 1
    assert len(whole.present_classes) > 2
    assert (tiled.class_map == whole.class_map).all()
    assert (narrow.class_map != whole.class_map).any()
