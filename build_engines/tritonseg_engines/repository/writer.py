"""Lay out a model in a Triton repository: four folders that appear together or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.atomic import replaced_directories
from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.configs import folder_names, model_configs
from tritonseg_engines.repository.deployment import Deployment
from tritonseg_engines.repository.warm_up import WARM_UP_FOLDER, warm_up
from tritonseg_engines.tensorrt.manifest import plan_file_name
from tritonseg_steps import contract

VERSION_FOLDER = "1"
CONFIG_FILE = "config.pbtxt"
MANIFEST_FILE = "manifest.json"
EMPTY_FOLDER_FILE = ".gitkeep"
"""Version folders must be there even where nothing is in them, and git keeps no empty ones."""

PYTHON_STEPS = {
    contract.NORMALIZE_SUFFIX: "normalize_step.NormalizeStep",
    contract.ARGMAX_SUFFIX: "argmax_step.ArgmaxStep",
}
OPENVINO_ENGINE = {contract.ENGINE_SUFFIX: "openvino_step.OpenvinoStep"}


def write_model(
    repository: Path,
    deployment: Deployment,
    engine: Path | None,
    manifest: Mapping[str, Any],
    *,
    fleet: Mapping[str, Path] | None = None,
) -> Path:
    """Write the ensemble and its three steps, replacing those of the same name.

    Args:
        repository: Folder that Triton is started on; made if it is not there.
        deployment: What the configs say.
        engine: The built network, copied to the engine's version folder; None leaves that empty,
            for an engine that is built later.
        manifest: Written beside the ensemble's config as JSON, with the model's name and the
            SHA-256 of every engine file.
        fleet: TensorRT plans by the compute capability, e.g. "8.6", that they were built for.

    Returns:
        The ensemble's folder.

    Raises:
        RepositoryError: The folder cannot be written; what was there is unchanged.
    """
    plans = fleet or {}
    if plans and not deployment.on_gpu:
        raise RepositoryError(
            f"{deployment.spec.name}: expected one engine for the CPU, got plans for {list(plans)}"
        )
    names = folder_names(deployment.spec.name)
    try:
        with replaced_directories(repository, names) as staging:
            for name, config in model_configs(deployment, plans).items():
                (staging / name / VERSION_FOLDER).mkdir(parents=True)
                _write_config(staging / name / CONFIG_FILE, config)
            _write_steps(staging, deployment)
            files = _copy_engines(staging / names[2], deployment, engine, plans)
            document = {"model": names[0], **manifest, "files": files}
            text = json.dumps(document, indent=2) + "\n"
            (staging / names[0] / MANIFEST_FILE).write_text(text, encoding="utf-8")
            for name in names:
                _keep_if_empty(staging / name / VERSION_FOLDER)
    except OSError as error:
        raise RepositoryError(
            f"{repository}: cannot be written: {error.strerror}; nothing was changed"
        ) from error
    return repository / names[0]


def read_config(path: Path) -> pb.ModelConfig:
    """Parse a `config.pbtxt`.

    Raises:
        RepositoryError: It is not one.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
    except (OSError, text_format.ParseError) as error:
        raise RepositoryError(f"{path}: expected a Triton model config: {error}") from error


def _write_config(path: Path, config: pb.ModelConfig) -> None:
    path.write_text(text_format.MessageToString(config), encoding="utf-8")


def _write_steps(staging: Path, deployment: Deployment) -> None:
    steps = PYTHON_STEPS if deployment.on_gpu else {**PYTHON_STEPS, **OPENVINO_ENGINE}
    for suffix, step_class in steps.items():
        folder = staging / (deployment.spec.name + suffix)
        (folder / VERSION_FOLDER / "model.py").write_text(_model_py(step_class), encoding="utf-8")
        for name, content in warm_up(deployment, suffix).files.items():
            (folder / WARM_UP_FOLDER).mkdir(exist_ok=True)
            (folder / WARM_UP_FOLDER / name).write_bytes(content)


def _copy_engines(
    folder: Path, deployment: Deployment, engine: Path | None, fleet: Mapping[str, Path]
) -> dict[str, str]:
    """Copy the engine files; return the SHA-256 of each by its path in the repository."""
    sources = {plan_file_name(capability): path for capability, path in fleet.items()}
    if engine is not None:
        sources[deployment.engine.file] = engine
    digests = {}
    for name, source in sources.items():
        target = folder / VERSION_FOLDER / name
        shutil.copyfile(source, target)
        digests[target.relative_to(folder.parent).as_posix()] = sha256_of(target)
    return digests


def _keep_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        (folder / EMPTY_FOLDER_FILE).touch()


def _model_py(step_class: str) -> str:
    module, name = step_class.split(".")
    return (
        f"from tritonseg_steps.{module} import {name} as TritonPythonModel\n\n"
        '__all__ = ["TritonPythonModel"]\n'
    )
