"""The digest of a build covers the engine that is served: two builds are told apart by it alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from plan_repositories import write_plan_repository
from residual_network import residual_network, residual_spec, write_pictures
from tiny_models import TinyModel, tiny_spec
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.repository.messages import texts_of
from tritonseg_steps import contract

ENGINES = {"single": "tiny", "fused": "tiny", "ensemble": "tiny_engine"}


def published(repository: Path, model: str, version: str = "1") -> dict[str, Any]:
    texts = texts_of(read_config(repository / model / "config.pbtxt"), version)
    return {key: json.loads(text) for key, text in texts.items()}


def engine_of(repository: Path, model: str) -> Any:
    return published(repository, model)[contract.PROVENANCE_PARAMETER]["engine_sha256"]


def digests(repository: Path, model: str) -> set[str]:
    """Of the model, of its last step and of its receipt, which are one."""
    receipt = json.loads((repository / model / "1" / "receipt.json").read_text())
    steps = [path.parent.name for path in repository.glob(f"{model}*/config.pbtxt")]
    found = [published(repository, step).get(contract.DIGEST_PARAMETER) for step in steps]
    return {receipt["digest"], *(one for one in found if one is not None)}


def file_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("layout", ENGINES)
def test_it_is_that_of_the_file_that_is_served(layout: str, tmp_path: Path) -> None:
    onnx.save(TinyModel().model(), tmp_path / "export.onnx")
    repository = tmp_path / "r"
    report = build_model(tiny_spec(), tmp_path / "export.onnx", repository, layout=layout)
    served = file_sha256(repository / ENGINES[layout] / "1" / "model.onnx")
    assert engine_of(repository, "tiny") == report.provenance.engine_sha256 == served
    manifest = json.loads((repository / "tiny" / "1" / "manifest.json").read_text())
    assert manifest["provenance"] == published(repository, "tiny")[contract.PROVENANCE_PARAMETER]


def test_builds_calibrated_with_other_pictures_are_told_apart(tmp_path: Path) -> None:
    onnx.save(residual_network(), tmp_path / "export.onnx")
    found = [int8_digest(tmp_path, name, seed) for name, seed in (("a", 1), ("b", 2), ("c", 1))]
    assert found[0] != found[1]
    assert found[0] == found[2]  # the same once more is the same build


def int8_digest(folder: Path, name: str, seed: int) -> str:
    pictures = write_pictures(folder / f"pictures {name}", 4, seed=seed)
    options = BuildOptions(calibration=pictures, minimum_pictures=4, accept=True)
    repository = folder / name
    build_model(
        residual_spec(), folder / "export.onnx", repository, precision="int8", options=options
    )
    (digest,) = digests(repository, "residual")
    return digest


def test_plans_of_two_gpus_are_told_apart(tmp_path: Path) -> None:
    found = []
    for gpu in ("NVIDIA L4", "NVIDIA H100"):
        repository = write_plan_repository(tmp_path / gpu, gpu_name=gpu)
        plan = repository / "tiny_engine" / "1" / "model.plan"
        assert engine_of(repository, "tiny") == file_sha256(plan)
        found += digests(repository, "tiny")
    assert len(set(found)) == len(found) == 2


def test_every_version_publishes_its_own(tmp_path: Path) -> None:
    spec = tiny_spec()
    for version, precision in (("1", "fp32"), ("2", "fp16")):
        onnx.save(TinyModel().model(), tmp_path / "export.onnx")
        options = replace(BuildOptions(), version=version)
        build_model(
            spec, tmp_path / "export.onnx", tmp_path / "r", precision=precision, options=options
        )
    for version in "12":
        provenance = published(tmp_path / "r", "tiny", version)[contract.PROVENANCE_PARAMETER]
        served = file_sha256(tmp_path / "r" / "tiny" / version / "model.onnx")
        assert provenance["engine_sha256"] == served
