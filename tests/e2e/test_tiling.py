"""Tiles through a real Triton: the demo model's mask of the whole picture, to the pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from demo_model.scenes import draw_scene
from tritonseg import SegmentationClient, Tiling
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.spec import InputSpec
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec
from tritonseg_steps.resize_policy import Native

ROWS, COLUMNS = 2, 3
REACH = 316 + 285


@pytest.fixture(scope="module")
def any_size(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SegmentationClient]:
    """The demo's network at pictures' own size, which a convolutional network takes."""
    folder = tmp_path_factory.mktemp("any_size")
    model = onnx.load(DEMO_ONNX)
    for axis, name in ((ROWS, "H"), (COLUMNS, "W")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.save(model, folder / "any_size.onnx")
    spec = demo_spec()
    native = replace(spec.preprocessing, resize=Native(size_divisor=32))
    spec = replace(spec, name="any-size", input=InputSpec(name="image"), preprocessing=native)
    build_model(spec, folder / "any_size.onnx", folder / "repository")
    with (
        TritonServer(ServerConfig(repositories=(folder / "repository",))) as server,
        SegmentationClient(server.grpc_url, model="any-size", timeout_s=120) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("size_hw", "tile"),
    [
        ((896, 928), 832),  # cut along both axes
        ((250, 1501), 704),  # padded at the lower and the right border
    ],
)
def test_tiles_give_the_mask_of_the_whole(
    any_size: SegmentationClient, size_hw: tuple[int, int], tile: int
) -> None:
    image_hwc = draw_scene(12, height=size_hw[0], width=size_hw[1]).image_hwc
    whole = any_size.segment(image_hwc, confidence=True)
    tiled = any_size.segment(image_hwc, tiling=Tiling(size=tile), confidence=True)
    assert tiled.tiling is not None
    assert tiled.tiling.is_exact, tiled.tiling.reason
    assert tiled.tiling.tile_count >= 4
    assert len(whole.present_classes) > 5
    assert (tiled.class_map == whole.class_map).all()
    assert tiled.confidence is not None
    assert whole.confidence is not None
    assert (tiled.confidence == whole.confidence).all()


def test_too_little_overlap_shows(any_size: SegmentationClient) -> None:
    """Or the test above would pass without margins."""
    image_hwc = draw_scene(12, height=256, width=1536).image_hwc
    whole = any_size.segment(image_hwc)
    tiled = any_size.segment(image_hwc, tiling=Tiling(size=512, overlap=64))
    assert tiled.tiling is not None
    assert not tiled.tiling.is_exact
    assert f"sees {REACH}" in (tiled.tiling.reason or "")
    assert 0.9 < float(np.mean(tiled.class_map == whole.class_map)) < 1


def test_a_model_says_how_it_takes_pictures(
    any_size: SegmentationClient, client: SegmentationClient
) -> None:
    scaled, native = client.describe().preprocessing, any_size.describe().preprocessing
    assert scaled is not None
    assert native is not None
    assert (scaled.resize.policy, scaled.network_hw) == ("fit_pad", (512, 1024))
    assert (native.resize.policy, native.network_hw) == ("native", (None, None))
    assert (native.resize.size_divisor, native.multiple_of) == (32, 32)
    assert native.mean == (123.675, 116.28, 103.53)
    assert any_size.describe().reach == client.describe().reach


def test_tiles_of_a_model_that_scales_pictures_are_finer_and_not_the_same(
    client: SegmentationClient,
) -> None:
    image_hwc = draw_scene(12, height=800, width=1600).image_hwc
    tiled = client.segment(image_hwc, tiling="auto")
    assert tiled.tiling is not None
    assert tiled.tiling.size_hw == (512, 1024)
    assert not tiled.tiling.is_exact
    assert "fit_pad" in (tiled.tiling.reason or "")


def test_a_fused_model_takes_tiles_of_its_one_size(tmp_path: Path) -> None:
    build_model(demo_spec(), DEMO_ONNX, tmp_path / "repository", layout="fused")
    image_hwc = draw_scene(12, height=600, width=1100).image_hwc
    with (
        TritonServer(ServerConfig(repositories=(tmp_path / "repository",))) as server,
        SegmentationClient(server.grpc_url, model="street-demo", timeout_s=120) as client,
    ):
        tiled = client.segment(image_hwc, tiling="auto")
        assert tiled.tiling is not None
        assert (tiled.tiling.tile_count, tiled.tiling.size_hw) == (4, (512, 1024))
        corner = client.segment(np.ascontiguousarray(image_hwc[:512, :1024]))
    # Of the first tile at least what lies in no other.
    assert (tiled.class_map[:88, :76] == corner.class_map[:88, :76]).all()
