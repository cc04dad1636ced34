"""Exports that once went wrong, through a real server: sizes that are open stay open there too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.spec_yaml import read_spec

NEAR_TIE = 255
MODELS = {
    "binary-greater-odd-size": "ensemble",
    "nhwc-scores-open-size": "ensemble",
    "softmax-then-resize-odd-size": "single",
    "second-output-binary": "single",
    "binary-sigmoid-then-identity": "single",
}


@pytest.fixture(scope="module")
def server(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("odd") / "repository"
    for name, layout in MODELS.items():
        path = shared / "exports" / name
        spec = replace(read_spec(path.with_suffix(".yaml")), name=name)
        build_model(spec, path.with_suffix(".onnx"), repository, layout=layout)
    with TritonServer(ServerConfig(repositories=(repository,), ready_timeout_s=180)) as server:
        yield server


@pytest.mark.parametrize("name", MODELS)
def test_the_served_mask_is_the_exports(name: str, server: TritonServer, shared: Path) -> None:
    expected = np.asarray(Image.open(shared / "exports" / f"{name}.mask.png"))
    stable = expected != NEAR_TIE
    with SegmentationClient(server.grpc_url, model=name) as client:
        actual = client.segment(shared / "exports" / f"{name}.png").class_map
    assert (actual[stable] == expected[stable]).mean() >= 0.9999


@pytest.mark.parametrize("name", ["binary-greater-odd-size", "softmax-then-resize-odd-size"])
def test_an_open_size_takes_other_pictures_too(name: str, server: TritonServer) -> None:
    with SegmentationClient(server.grpc_url, model=name) as client:
        for size_hw in ((40, 64), (67, 49), (128, 33)):
            picture = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), np.uint8)
            assert client.segment(picture).class_map.shape == size_hw
