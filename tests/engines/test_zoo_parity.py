"""Every network of the zoo against what upstream's own code gives for the same weights.

The folder of fixtures does not ship; without it these tests skip. Weights and pictures come from
a formula, so no published file is needed.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tritonseg_engines import zoo

torch = pytest.importorskip("torch", reason="networks need torch (the `export` extra)")

FIXTURE_NAMES = {
    "fastseg-small": "fastseg-small",
    "pspnet-pytorch": "pspnet-r50-d8",
    "ocrnet-hrnet-w48-paddle": "ocrnet-hrnet-w48",
    "hrnetv2-w48-cityscapes": "hrnetv2-w48",
    "hrnetv2-w18-small-v1-cityscapes": "hrnetv2-w18-small-v1",
    "hrnetv2-w18-small-v2-cityscapes": "hrnetv2-w18-small-v2",
}
SEED = 0


@pytest.fixture(scope="module")
def parity(shared: Path) -> Path:
    folder = shared / "parity"
    if not folder.is_dir():
        pytest.skip(f"parity fixtures not found at {folder}")
    return folder


@pytest.fixture(scope="module")
def reference(parity: Path) -> ModuleType:
    location = importlib.util.spec_from_file_location(
        "reference_weights", parity / "reference_weights.py"
    )
    assert location is not None
    assert location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def manifest(parity: Path) -> dict[str, Any]:
    models: dict[str, Any] = json.loads((parity / "manifest.json").read_text())["models"]
    return models


def test_every_model_has_fixtures(manifest: dict[str, Any]) -> None:
    assert set(FIXTURE_NAMES) == set(zoo.ZOO_SPECS)
    assert set(FIXTURE_NAMES.values()) == set(manifest)


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_state_dict_is_upstreams(name: str, parity: Path, manifest: dict[str, Any]) -> None:
    entry = manifest[FIXTURE_NAMES[name]]
    published = json.loads((parity / entry["keys"]).read_text())
    with torch.device("meta"):
        network = zoo.build_network(name)
    ours = {
        network.upstream_name(key): list(value.shape)
        for key, value in network.state_dict().items()
        if not ("paddle" in name and key.endswith("num_batches_tracked"))
    }
    theirs = {
        key: shape for key, shape, _ in published if not key.startswith(network.training_only)
    }
    assert ours == theirs


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_scores_and_class_maps_are_upstreams(
    name: str, parity: Path, reference: ModuleType, manifest: dict[str, Any]
) -> None:
    entry = manifest[FIXTURE_NAMES[name]]
    network = zoo.build_network(name, entry["classes"])
    keys = json.loads((parity / entry["keys"]).read_text())
    zoo.load_upstream(network, reference.reference_state(keys, SEED, entry["gain"]))
    arrays = np.load(parity / entry["fixture"])
    for case in entry["cases"]:
        image_hwc = reference.reference_image(*case["size"], SEED)
        batch_nchw = normalised(name, image_hwc)
        expected = {
            key.removeprefix(f"{case['case']}_"): value
            for key, value in arrays.items()
            if key.startswith(f"{case['case']}_")
        }
        np.testing.assert_allclose(batch_nchw[0, :, :8, :8], expected["input_patch"], atol=1e-5)
        with torch.inference_mode():
            scores_nchw = network(torch.from_numpy(batch_nchw))
        check_scores(scores_nchw[0].numpy(), expected, case, entry["tolerance"])
        check_class_map(scores_nchw, expected, case["size"], entry["tolerance"])


def normalised(name: str, image_hwc: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Apply the specification's normalisation at native size, as the fixtures do."""
    table = zoo.get_spec(name).preprocessing.table()
    channels = [table[channel][image_hwc[:, :, channel]] for channel in range(3)]
    batch_nchw: NDArray[np.float32] = np.stack(channels)[None]
    return batch_nchw


def check_scores(
    scores_chw: NDArray[np.float32],
    expected: dict[str, NDArray[Any]],
    case: dict[str, Any],
    tolerance: dict[str, float],
) -> None:
    assert list(scores_chw.shape) == case["logits_shape"]
    largest = max(abs(bound) for bound in case["logits_range"])
    accepted = tolerance["logits_rel"] * largest
    stride = case["logits_stride"]
    sampled = scores_chw[:, ::stride, ::stride]
    assert np.abs(sampled - expected["logits"]).max() <= accepted
    assert np.abs(scores_chw.mean((1, 2)) - expected["logits_mean"]).max() <= accepted
    if stride > 1:
        assert np.abs(scores_chw[:, -1] - expected["logits_last_row"]).max() <= accepted
        assert np.abs(scores_chw[:, :, -1] - expected["logits_last_column"]).max() <= accepted


def check_class_map(
    scores_nchw: Any,
    expected: dict[str, NDArray[Any]],
    size: list[int],
    tolerance: dict[str, float],
) -> None:
    upsampled = torch.nn.functional.interpolate(
        scores_nchw, size=tuple(size), mode="bilinear", align_corners=False
    )
    wrong = upsampled[0].argmax(0).numpy() != expected["class_map"]
    stable = np.unpackbits(expected["stable"], axis=1)[:, : size[1]].astype(bool)
    assert wrong[stable].sum() <= tolerance["stable_pixels_mismatch"]
    assert wrong.mean() <= tolerance["class_map_mismatch_fraction"]
