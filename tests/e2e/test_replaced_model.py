"""A Triton that comes back with a rebuilt model: the same client calls its classes by new names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tiny_models import SIZE_HW, TinyModel, tiny_spec
from tritonseg import Segmentation, SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_steps import contract

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


def forget_digests(repository: Path) -> None:
    """Make of a build what versions wrote whose answers did not say which build gave them."""
    for path in repository.glob("*/config.pbtxt"):
        config = read_config(path)
        outputs = [one for one in config.output if one.name != contract.MODEL_DIGEST]
        del config.output[:]
        config.output.extend(outputs)
        config.parameters.pop(contract.DIGEST_PARAMETER, None)
        for step in config.ensemble_scheduling.step:
            step.output_map.pop(contract.MODEL_DIGEST, None)
        path.write_text(str(config))
    manifest = repository / "tiny" / "1" / "manifest.json"
    document = json.loads(manifest.read_text())
    for settings in document["settings"].values():
        settings.pop(contract.DIGEST_PARAMETER, None)
        settings.pop("ensemble_scheduling", None)
    manifest.write_text(json.dumps(document))


def same_masks(one: Segmentation, other: Segmentation) -> bool:
    return all(np.array_equal(one.mask(name), other.mask(name)) for name in one.classes)


@pytest.mark.parametrize("age", ["new", "old"])
@pytest.mark.parametrize("layout", ["single", "ensemble", "fused"])
def test_names_are_the_new_ones(layout: str, age: str, tmp_path: Path) -> None:
    repository = build(tmp_path, layout, backwards=False)
    if age == "old":
        forget_digests(repository)
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        port = int(server.grpc_url.rpartition(":")[2])
        client = SegmentationClient(server.grpc_url, model="tiny")
        before = client.segment(IMAGE)
    build(tmp_path, layout, backwards=True)
    if age == "old":
        forget_digests(repository)
    with TritonServer(ServerConfig(repositories=(repository,), grpc_port=port)), client:
        after = client.segment(IMAGE)
        # Without a digest every state of the connection is a reason to ask again.
        again = client.segment(IMAGE).model
        assert again is after.model if age == "new" else again == after.model
        assert client.model == after.model
    assert after.classes == before.classes[::-1]
    assert after.palette == before.palette[::-1]
    assert len(np.unique(after.class_map)) > 1
    assert not np.array_equal(after.class_map, before.class_map)
    assert same_masks(before, after)
