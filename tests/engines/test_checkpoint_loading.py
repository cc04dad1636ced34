"""Networks loaded from files: the right one loads whole, every other one is named."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tritonseg_engines import zoo
from tritonseg_engines.errors import CheckpointError, SpecificationError
from tritonseg_engines.zoo.published import PUBLISHED_CHECKPOINTS

torch = pytest.importorskip("torch", reason="weights are read with torch (the `export` extra)")

from tritonseg_engines.checkpoints import load_checkpoint  # noqa: E402 - after that check
from tritonseg_engines.checkpoints.recognition import KINDS, recognise  # noqa: E402

SMALL_V1 = "hrnetv2-w18-small-v1-cityscapes"
SMALL_V2 = "hrnetv2-w18-small-v2-cityscapes"
OCRNET = "ocrnet-hrnet-w48-paddle"


def numbered_arrays(name: str, **options: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Return a whole state under upstream's names, every entry filled with its own number."""
    with torch.device("meta"):
        network = zoo.build_network(name, **options)
    return {
        network.upstream_name(key): np.full(tuple(value.shape), index % 97, np.float32)
        for index, (key, value) in enumerate(network.state_dict().items())
    }


def as_tensors(arrays: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    return {prefix + name: torch.from_numpy(array) for name, array in arrays.items()}


def save_as_published(name: str, arrays: dict[str, Any], path: Path) -> None:
    """Write the container in which the model's publisher wrote it."""
    if name.startswith("hrnet"):
        content = as_tensors(arrays, "model.")
        content["loss.criterion.weight"] = torch.ones(19)
        torch.save(content, path, _use_new_zipfile_serialization=False)
    elif name == "pspnet-pytorch":
        auxiliary = {"auxiliary_head.conv_seg.weight": torch.zeros(21, 256, 1, 1)}
        content = {"meta": {"epoch": 1}, "state_dict": {**as_tensors(arrays), **auxiliary}}
        torch.save(content, path, _use_new_zipfile_serialization=False)
    elif name == OCRNET:
        own = {n: a for n, a in arrays.items() if not n.endswith("num_batches_tracked")}
        path.write_bytes(pickle.dumps({**own, "StructuredToParameterName@@": {}}, protocol=2))
    else:
        content = {"num_classes": 19, "state_dict": as_tensors(arrays, "module.")}
        content["mean_iu"] = np.float64(0.67)
        torch.save(content, path)


@pytest.mark.parametrize("name", zoo.ZOO_SPECS)
def test_files_as_published(name: str, tmp_path: Path) -> None:
    arrays = numbered_arrays(name)
    path = tmp_path / PUBLISHED_CHECKPOINTS[name].file_name
    save_as_published(name, arrays, path)
    network = load_checkpoint(name, path)
    path.unlink()  # hundreds of megabytes, which pytest would keep
    assert not network.training
    for key, value in network.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert (value == float(arrays[network.upstream_name(key)].flat[0])).all(), key


@pytest.mark.parametrize("num_filters", [64, 256])
def test_fastseg_takes_its_width_from_the_file(num_filters: int, tmp_path: Path) -> None:
    arrays = numbered_arrays("fastseg-small", num_filters=num_filters)
    save_as_published("fastseg-small", arrays, tmp_path / "fastseg.pt")
    network: Any = load_checkpoint("fastseg-small", tmp_path / "fastseg.pt")
    assert network.last.weight.shape[1] == num_filters


@pytest.mark.parametrize("name", zoo.ZOO_SPECS)
def test_every_model_is_recognised(name: str) -> None:
    with torch.device("meta"):
        network = zoo.build_network(name)
    arrays: dict[str, Any] = {
        network.upstream_name(key): np.broadcast_to(np.float32(0), tuple(value.shape))
        for key, value in network.state_dict().items()
    }
    kind = recognise(arrays)
    assert kind is not None
    assert kind.model == name
    classes = arrays[kind.classifier or ""].shape[0]
    assert classes == len(zoo.get_spec(name).classes)


WRONG_FILES = [
    pytest.param(kind, name, id=f"{kind.title} as {name}")
    for kind in KINDS
    for name in zoo.ZOO_SPECS
    if kind.model != name
]


@pytest.mark.parametrize(("kind", "name"), WRONG_FILES)
def test_wrong_files_are_named(kind: Any, name: str, tmp_path: Path) -> None:
    """Of every kind of file people have, a few entries suffice to tell it."""
    content = {
        entry: torch.zeros(channels or 1, 1, 1, 1) for entry, channels in kind.landmarks.items()
    }
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(name, tmp_path / "other.pth")
    message = str(caught.value)
    assert message.startswith(f"other.pth: expected the weights of {name}")
    assert f"got what looks like {kind.title}" in message
    assert kind.model is None or kind.model in message
    assert PUBLISHED_CHECKPOINTS[name].file_name in message


def test_whole_files_of_a_neighbour_are_named(tmp_path: Path) -> None:
    save_as_published(SMALL_V2, numbered_arrays(SMALL_V2), tmp_path / "hrnet.pth")
    with pytest.raises(CheckpointError, match=f"looks like HRNetV2-W18-Small-v2.*{SMALL_V2}"):
        load_checkpoint(SMALL_V1, tmp_path / "hrnet.pth")
    save_as_published("fastseg-small", numbered_arrays("fastseg-small"), tmp_path / "fastseg.pt")
    with pytest.raises(CheckpointError, match="looks like fastseg's MobileV3Small"):
        load_checkpoint("pspnet-pytorch", tmp_path / "fastseg.pt")


def test_the_file_of_the_other_branch_is_refused_by_its_name(tmp_path: Path) -> None:
    """It has the right names and shapes; only its name tells."""
    path = tmp_path / "hrnet_cs_8090_torch11.pth"
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="HRNet-OCR, trained with align_corners=True"):
        load_checkpoint("hrnetv2-w48-cityscapes", path)


def test_other_numbers_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "street.pth"
    save_as_published(SMALL_V1, numbered_arrays(SMALL_V1, num_classes=11), path)
    with pytest.raises(CheckpointError, match=r"expected 19 classes .* got 11.*--num-classes 11"):
        load_checkpoint(SMALL_V1, path)
    network: Any = load_checkpoint(SMALL_V1, path, 11)
    assert network.last_layer[3].weight.shape[0] == 11


def test_incomplete_files_name_the_entry_and_the_file(tmp_path: Path) -> None:
    arrays = numbered_arrays(SMALL_V1)
    del arrays["stage4.0.branches.3.1.conv2.weight"]
    save_as_published(SMALL_V1, arrays, tmp_path / "street.pth")
    told = re.escape("1 missing (stage4.0.branches.3.1.conv2.weight)")
    with pytest.raises(CheckpointError, match=rf"street\.pth: .*{told}"):
        load_checkpoint(SMALL_V1, tmp_path / "street.pth")


def test_files_of_no_known_kind_do_not_load(tmp_path: Path) -> None:
    torch.save({"encoder.weight": torch.zeros(3, 3)}, tmp_path / "unknown.pth")
    with pytest.raises(CheckpointError, match=r"unknown\.pth: .* do not fit"):
        load_checkpoint("fastseg-small", tmp_path / "unknown.pth")


def test_unknown_models(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match="expected one of"):
        load_checkpoint("hrnet", tmp_path / "none.pth")


def test_real_trained_weights_give_the_published_scores(shared: Path) -> None:
    """Figures: `data/README.md` beside the weights, computed with upstream's code."""
    weights = shared / "data" / "weights" / "hrnetv2_w18_small_v1_camvid11.pth"
    picture = shared / "data" / "camvid" / "test" / "0001TP_008550.png"
    if not weights.is_file() or not picture.is_file():
        pytest.skip(f"trained weights and photographs not found under {shared / 'data'}")
    network = load_checkpoint(SMALL_V1, weights, 11)
    image_hwc = np.asarray(Image.open(picture).convert("RGB"))
    table = zoo.get_spec(SMALL_V1).preprocessing.table()
    image_chw = np.stack([table[channel][image_hwc[:, :, channel]] for channel in range(3)])
    with torch.inference_mode():
        scores = network(torch.from_numpy(image_chw[None]))[0]
    assert tuple(scores.shape) == (11, 90, 120)
    assert scores.min().item() == pytest.approx(-35.399513, abs=1e-3)
    assert scores.max().item() == pytest.approx(28.606213, abs=1e-3)
    assert scores.mean().item() == pytest.approx(-0.264464, abs=1e-4)
