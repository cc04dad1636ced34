"""A Triton that comes back with a rebuilt model: the same client calls its classes by new names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tiny_models import SIZE_HW, TinyModel, tiny_spec
from tritonseg import Segmentation, SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer

IMAGE = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), np.uint8)


def build(folder: Path, layout: str, *, backwards: bool) -> Path:
    """Build a network whose classes come in their own order, or backwards, under their names."""
    model, spec = TinyModel().model(), tiny_spec()
    if backwards:
        (weight,) = (one for one in model.graph.initializer if one.name == "weight")
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[::-1], "weight"))
        spec = replace(spec, classes=spec.classes[::-1], palette=spec.palette[::-1])
    export = folder / "export.onnx"
    onnx.save(model, export)
    build_model(spec, export, folder / "repository", layout=layout)
    return folder / "repository"


def same_masks(one: Segmentation, other: Segmentation) -> bool:
    return all(np.array_equal(one.mask(name), other.mask(name)) for name in one.classes)


@pytest.mark.parametrize("layout", ["single", "ensemble", "fused"])
def test_names_are_the_new_ones(layout: str, tmp_path: Path) -> None:
    repository = build(tmp_path, layout, backwards=False)
    with TritonServer(ServerConfig(repository=repository)) as server:
        port = int(server.grpc_url.rpartition(":")[2])
        client = SegmentationClient(server.grpc_url, model="tiny")
        before = client.segment(IMAGE)
    build(tmp_path, layout, backwards=True)
    with TritonServer(ServerConfig(repository=repository, grpc_port=port)), client:
        after = client.segment(IMAGE)
        assert client.segment(IMAGE).model is after.model is client.model
    assert after.classes == before.classes[::-1]
    assert after.palette == before.palette[::-1]
    assert len(np.unique(after.class_map)) > 1
    assert not np.array_equal(after.class_map, before.class_map)
    assert same_masks(before, after)
