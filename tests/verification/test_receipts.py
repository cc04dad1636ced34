"""What a receipt holds, and what becomes of one that is damaged."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from forged_repositories import copied
from repository_mutations import LAYOUTS, engine_of, served_files
from residual_network import residual_network
from tritonseg_engines.errors import VerificationError
from tritonseg_engines.repository.receipts import read_receipt
from tritonseg_engines.verification.asking import canaries_of
from tritonseg_engines.verification.canary import Canary
from tritonseg_engines.verification.choice import Answer, choose_canaries, least_equal
from tritonseg_engines.verification.files import check_files

SIZE_HW = (64, 96)


def receipt_path(repository: Path, model: str) -> Path:
    return repository / model / "1" / "receipt.json"


@pytest.mark.parametrize("model", LAYOUTS)
def test_every_served_file_is_in_it(good: Path, model: str) -> None:
    receipt = json.loads(receipt_path(good, model).read_text())
    own = [name for name in served_files(good) if name.startswith(model)]
    configs = {f"{folder}/config.pbtxt" for folder in receipt["configs"]}
    assert {*receipt["files"], *configs, f"{model}/1/receipt.json"} == set(own)
    for name, digest in receipt["files"].items():
        assert hashlib.sha256((good / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("model", LAYOUTS)
def test_it_says_what_made_the_class_maps_and_where(good: Path, model: str) -> None:
    receipt = json.loads(receipt_path(good, model).read_text())
    assert receipt["layout"] == LAYOUTS[model]
    assert (receipt["precision"], receipt["runtime"]) == ("fp32", "openvino")
    assert receipt["made_with"].keys() >= {"tritonseg", "contract", "openvino", "onnxruntime"}
    assert receipt["made_on"]["int8"] in ("avx2", "vnni")


@pytest.mark.parametrize(("model", "seed"), [("alpha", 0), ("beta", 1), ("gamma", 2)])
def test_class_maps_are_the_exports_own(good: Path, model: str, seed: int) -> None:
    """By ONNX Runtime on the export, resized by OpenCV, and no step of ours."""
    import cv2
    import onnxruntime

    session = onnxruntime.InferenceSession(residual_network(seed=seed).SerializeToString())
    canaries = canaries_of(check_files(good, [model])[0].receipt)
    assert len(canaries) >= 3
    for canary in canaries:
        image = (canary.picture().astype(np.float32) - 127.5) / 60
        (scores,) = session.run(None, {"NORMALIZED": image.transpose(2, 0, 1)[None]})
        planes = [cv2.resize(plane, canary.size_hw[::-1]) for plane in scores[0]]
        assert (np.argmax(planes, axis=0) == canary.class_map).mean() > 0.999
        assert len(np.unique(canary.class_map)) > 1
        assert canary.equal_to_fp32 > 0.9999


def test_the_pictures_are_of_several_kinds(good: Path) -> None:
    canaries = canaries_of(check_files(good, ["alpha"])[0].receipt)
    assert {canary.kind for canary in canaries} == {"clouds", "blocks", "contrasts"}


def test_a_receipt_that_was_edited_is_told(good: Path, tmp_path: Path) -> None:
    path = receipt_path(copied(good, tmp_path / "r"), "beta")
    path.write_text(path.read_text().replace('"least_equal": 0.9999', '"least_equal": 0.1'))
    with pytest.raises(VerificationError, match="its own SHA-256 differs"):
        read_receipt(path)


def test_a_lost_receipt_is_not_taken_for_an_earlier_build(good: Path, tmp_path: Path) -> None:
    repository = copied(good, tmp_path / "r")
    receipt_path(repository, "beta").unlink()
    (checked,) = check_files(repository, ["beta"])
    assert checked.problem is not None
    assert "beta/1/receipt.json is missing" in checked.problem


def test_a_model_of_an_earlier_build_is_a_remark(good: Path, tmp_path: Path) -> None:
    repository = copied(good, tmp_path / "r")
    receipt_path(repository, "beta").unlink()
    manifest = repository / "beta/1/manifest.json"
    document = json.loads(manifest.read_text())
    del document["receipt"]
    manifest.write_text(json.dumps(document))
    (checked,) = check_files(repository, ["beta"])
    assert checked.problem is None
    assert "has no receipt, because an earlier tritonseg built it" in checked.remarks[0]


def test_tuning_is_a_remark_and_no_problem(good: Path, tmp_path: Path) -> None:
    repository = copied(good, tmp_path / "r")
    config = repository / "alpha_engine/config.pbtxt"
    config.write_text(config.read_text().replace("count: 1", "count: 2"))
    (checked,) = check_files(repository, ["alpha"])
    assert checked.problem is None
    assert "alpha_engine/config.pbtxt is not the build's to the byte" in checked.remarks[0]
    (exact,) = check_files(repository, ["alpha"], exact=True)
    assert exact.problem is not None


def canary(class_map: np.ndarray, *, bound: float = 0.9999) -> Canary:
    return Canary(
        kind="clouds", seed=0, size_hw=class_map.shape, picture_sha256="0" * 64,
        class_map=class_map, least_equal=bound, equal_to_fp32=1.0,
    )  # fmt: skip


def test_a_few_pixels_are_rounding_and_more_are_not() -> None:
    expected = np.zeros((100, 400), np.uint8)
    one = canary(expected)
    for unequal, is_right in ((0, True), (4, True), (5, False)):
        served = expected.copy()
        served.flat[:unequal] = 1
        assert (one.difference(served) is None) is is_right, unequal


def test_another_shape_or_type_is_told() -> None:
    one = canary(np.zeros((4, 6), np.uint8))
    assert "expected a class map of [4, 6] uint8" in str(one.difference(np.zeros((6, 4), np.uint8)))
    assert "got [4, 6] int64" in str(one.difference(np.zeros((4, 6), np.int64)))


def test_a_picture_that_is_drawn_otherwise_is_no_false_alarm() -> None:
    with pytest.raises(VerificationError, match="draws another picture than the build's did"):
        canary(np.zeros((4, 6), np.uint8)).picture()


def test_the_bound_comes_from_the_gate_and_is_tighter() -> None:
    assert least_equal(0.985) == pytest.approx(0.9985)
    assert least_equal(0.9999) == pytest.approx(0.9999)


def test_pictures_without_classes_are_left_out() -> None:
    def ask(image_hwc: np.ndarray) -> Answer | None:
        if image_hwc.max() == 255 and image_hwc.min() == 0:  # the contrasts
            return None
        return Answer(class_map=image_hwc[..., 0] // 64, equal_to_fp32=1.0)

    chosen = choose_canaries(ask, [SIZE_HW], network_pixels=64 * 96, gate_equal_pixels=0.9999)
    assert 0 < len(chosen) <= 5
    assert "contrasts" not in {one.kind for one in chosen}


def test_an_engine_that_lost_its_name_is_found(good: Path, tmp_path: Path) -> None:
    repository = copied(good, tmp_path / "r")
    (repository / engine_of(repository, "gamma")).rename(repository / "gamma/1/other.onnx")
    (checked,) = check_files(repository, ["gamma"])
    assert "gamma/1/model.onnx is missing; build it again: " in str(checked.problem)
