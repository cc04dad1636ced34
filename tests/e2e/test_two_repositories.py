"""Built models in two repositories behind one server: each is checked, each gives its masks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest

from entrypoint import can_make_a_pid_namespace
from own_mask import own_mask
from real_servers import installation, write_model
from tiny_models import SIZE_HW, TinyModel, tiny_spec
from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.shared_memory import shared_memory_mib
from tritonseg_engines.serving import ServerConfig, TritonInstallation, TritonServer
from tritonseg_engines.spec import ModelSpec

__all__ = ["installation", "write_model"]

Built = tuple[Path, tuple[ModelSpec, Path], tuple[ModelSpec, Path]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, write_model: Callable[..., Path]) -> Built:
    """An export, and two models of it, each with its repository; another team's in the second."""
    folder = tmp_path_factory.mktemp("two")
    export = folder / "tiny.onnx"
    onnx.save(TinyModel().model(), export)
    models = []
    for name in ("first", "second"):
        spec = tiny_spec(name=name)
        build_model(spec, export, folder / f"of {name}", layout="ensemble")
        models.append((spec, folder / f"of {name}"))
    write_model(folder / "of second", "foreign")
    return export, models[0], models[1]


def test_masks_of_both_are_the_exports_own(installation: TritonInstallation, built: Built) -> None:
    export, *models = built
    image_hwc = np.random.default_rng(3).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    repositories = tuple(repository for _, repository in models)
    with TritonServer(ServerConfig(repositories=repositories)) as server:
        for spec, _ in models:
            expected, stable = own_mask(export, spec, image_hwc)
            assert stable.mean() > 0.9
            with SegmentationClient(server.grpc_url, model=spec.name) as client:
                mask = client.segment(image_hwc).class_map
            assert np.array_equal(mask[stable], expected[stable])


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_one_client_lists_and_calls_both(
    installation: TritonInstallation, built: Built, compression: Literal["none", "gzip"]
) -> None:
    export, *models = built
    image_hwc = np.random.default_rng(4).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    repositories = tuple(repository for _, repository in models)
    with (
        TritonServer(ServerConfig(repositories=repositories)) as server,
        SegmentationClient(server.grpc_url, compression=compression) as client,
    ):
        listed = client.models()  # without the steps, and without the other team's
        assert [(model.name, model.version) for model in listed] == [
            ("first", "1"),
            ("second", "1"),
        ]
        for model, (spec, _) in zip(listed, models, strict=True):
            assert model.classes == spec.classes
            expected, stable = own_mask(export, spec, image_hwc)
            mask = client.segment(image_hwc, model=model.name).class_map
            assert np.array_equal(mask[stable], expected[stable])


@pytest.mark.parametrize("models", [(), ("second",)])
def test_the_second_is_checked_as_the_first(
    models: tuple[str, ...], installation: TritonInstallation, built: Built, tmp_path: Path
) -> None:
    _, (_, first), (_, second) = built
    spoiled = shutil.copytree(second, tmp_path / "spoiled")
    engine = spoiled / "second_engine" / "1" / "model.onnx"
    engine.write_bytes(engine.read_bytes() + b" ")
    with pytest.raises(RepositoryError, match=r"second: second_engine/1/model\.onnx"):
        TritonServer(ServerConfig(repositories=(first, spoiled), models=models)).start()


def test_a_step_of_a_model_that_is_named_must_be_there_once(
    installation: TritonInstallation, built: Built, tmp_path: Path
) -> None:
    _, _, (_, second) = built
    other = tmp_path / "other"
    shutil.copytree(second / "second_normalize", other / "second_normalize")
    with pytest.raises(RepositoryError, match="second_normalize is both in"):
        TritonServer(ServerConfig(repositories=(second, other), models=("second",))).start()


def test_shared_memory_is_counted_for_both(installation: TritonInstallation, built: Built) -> None:
    if not can_make_a_pid_namespace():
        pytest.skip("needs the right to mount, as root has it")
    _, (_, first), (_, second) = built
    least, other = (shared_memory_mib(path, largest_batch=1) for path in (first, second))
    command = [sys.executable, "-m", "tritonseg", "serve", "--grpc-port=0"]
    command += [f"--repository={first}", f"--repository={second}"]
    mount = f'mount -t tmpfs -o size={least}m tmpfs /dev/shm && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, "sh", *command],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert f"/dev/shm has {least} MiB, and the models in {first}, {second} need" in done.stderr
    assert f"need {least + other} for one picture" in done.stderr
