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
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.configs import Deployment, folder_names, model_configs
from tritonseg_steps import contract

VERSION_FOLDER = "1"
CONFIG_FILE = "config.pbtxt"
MANIFEST_FILE = "manifest.json"

STEP_CLASSES = {
    contract.NORMALIZE_SUFFIX: "normalize_step.NormalizeStep",
    contract.ENGINE_SUFFIX: "openvino_step.OpenvinoStep",
    contract.ARGMAX_SUFFIX: "argmax_step.ArgmaxStep",
}


def write_model(
    repository: Path, deployment: Deployment, engine: Path, manifest: Mapping[str, Any]
) -> Path:
    """Write the ensemble and its three steps, replacing those of the same name.

    Args:
        repository: Folder that Triton is started on; made if it is not there.
        deployment: What the configs say.
        engine: The built network; copied to the engine's version folder.
        manifest: Written beside the ensemble's config as JSON.

    Returns:
        The ensemble's folder.

    Raises:
        RepositoryError: The folder cannot be written; what was there is unchanged.
    """
    names = folder_names(deployment.spec.name)
    try:
        with replaced_directories(repository, names) as staging:
            for name, config in model_configs(deployment).items():
                (staging / name / VERSION_FOLDER).mkdir(parents=True)
                _write_config(staging / name / CONFIG_FILE, config)
            for suffix, step_class in STEP_CLASSES.items():
                model = staging / (names[0] + suffix) / VERSION_FOLDER / "model.py"
                model.write_text(_model_py(step_class), encoding="utf-8")
            shutil.copyfile(engine, staging / names[2] / VERSION_FOLDER / deployment.engine.file)
            document = json.dumps(manifest, indent=2) + "\n"
            (staging / names[0] / MANIFEST_FILE).write_text(document, encoding="utf-8")
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


def _model_py(step_class: str) -> str:
    module, name = step_class.split(".")
    return (
        f"from tritonseg_steps.{module} import {name} as TritonPythonModel\n\n"
        '__all__ = ["TritonPythonModel"]\n'
    )
