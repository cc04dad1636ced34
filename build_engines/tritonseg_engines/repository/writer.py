"""Lay out a model in a Triton repository: its folders appear together or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.atomic import replaced_directories
from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.configs import model_configs
from tritonseg_engines.repository.deployment import Deployment
from tritonseg_engines.repository.files import (
    CONFIG_FILE,
    EMPTY_FOLDER_FILE,
    MANIFEST_FILE,
    STEP_FILE,
    VERSION_FOLDER,
    WARM_UP_FOLDER,
    read_config,
)
from tritonseg_engines.repository.mask_settings import SETTINGS, mask_settings
from tritonseg_engines.repository.one_model import fused_config, single_config
from tritonseg_engines.repository.ownership import obsolete_folders, refuse_taken
from tritonseg_engines.repository.read_back import refuse_unreadable
from tritonseg_engines.repository.warm_up import warm_up
from tritonseg_engines.target import ServingLayout
from tritonseg_steps import contract

PYTHON_STEPS = {
    contract.NORMALIZE_SUFFIX: "normalize_step.NormalizeStep",
    contract.ARGMAX_SUFFIX: "argmax_step.ArgmaxStep",
}
OPENVINO_ENGINES = {
    ServingLayout.ENSEMBLE: "openvino_step.OpenvinoStep",
    ServingLayout.SINGLE: "pipeline_step.WholePipelineStep",
    ServingLayout.FUSED: "openvino_step.FusedOpenvinoStep",
}
"""By layout."""


def write_model(
    repository: Path,
    deployment: Deployment,
    engine: Path | None,
    manifest: Mapping[str, Any],
) -> Path:
    """Write the ensemble and its three steps, or the one model, in place of either.

    Only what an earlier build of the same model wrote is replaced or removed.

    Args:
        repository: Folder that Triton is started on; made if it is not there.
        deployment: What the configs say.
        engine: The built network, copied to the engine's version folder; None leaves that empty,
            for an engine that is built later.
        manifest: Written beside the config of the model's own name as JSON, with that name, the
            layout, the SHA-256 of the engine file and of the Python steps, and what in the configs
            decides masks.

    Returns:
        The folder of the model's own name.

    Raises:
        RepositoryError: The folder cannot be written, a folder of that name is not this model's,
            or no client would take the model; what was there is unchanged.
    """
    if engine is not None:
        known = replace(deployment.engine, sha256=sha256_of(engine))
        deployment = replace(deployment, engine=known)
    name, configs = deployment.spec.name, _configs(deployment)
    try:
        refuse_taken(repository, name, tuple(configs))
        obsolete = obsolete_folders(repository, name, tuple(configs))
        with replaced_directories(repository, tuple(configs), removed=obsolete) as staging:
            for folder, config in configs.items():
                (staging / folder / VERSION_FOLDER).mkdir(parents=True)
                _write_config(staging / folder / CONFIG_FILE, config)
            steps = _write_steps(staging, deployment)
            document = {"model": name, "layout": deployment.layout, **manifest, "files": {}}
            if engine is not None:
                copied = _copy_engine(staging / deployment.engine_model, deployment, engine)
                document["files"] = copied | {
                    path.relative_to(staging).as_posix(): sha256_of(path) for path in steps
                }
                document[SETTINGS] = mask_settings(configs, deployment)
            text = json.dumps(document, indent=2) + "\n"
            (staging / name / MANIFEST_FILE).write_text(text, encoding="utf-8")
            for folder in configs:
                _keep_if_empty(staging / folder / VERSION_FOLDER)
            written = read_config(staging / name / CONFIG_FILE)
            refuse_unreadable(written, VERSION_FOLDER, is_built=engine is not None)
    except OSError as error:
        raise RepositoryError(
            f"{repository}: cannot be written: {error.strerror}; nothing was changed"
        ) from error
    return repository / name


def _write_config(path: Path, config: pb.ModelConfig) -> None:
    path.write_text(text_format.MessageToString(config), encoding="utf-8")


def _configs(deployment: Deployment) -> dict[str, pb.ModelConfig]:
    """Return the configs by folder name."""
    if deployment.layout is ServingLayout.SINGLE:
        return {deployment.spec.name: single_config(deployment)}
    if deployment.layout is ServingLayout.FUSED:
        return {deployment.spec.name: fused_config(deployment)}
    return model_configs(deployment)


def _write_steps(staging: Path, deployment: Deployment) -> list[Path]:
    """Write the Python steps and their warm-up; return the files that Triton imports."""
    written = []
    for folder, step_class in _python_steps(deployment).items():
        path = staging / folder / VERSION_FOLDER / STEP_FILE
        path.write_text(_model_py(step_class), encoding="utf-8")
        written.append(path)
    for suffix in PYTHON_STEPS if deployment.layout is ServingLayout.ENSEMBLE else ():
        data = staging / (deployment.spec.name + suffix) / WARM_UP_FOLDER
        for name, content in warm_up(deployment, suffix).files.items():
            data.mkdir(exist_ok=True)
            (data / name).write_bytes(content)
    return written


def _python_steps(deployment: Deployment) -> dict[str, str]:
    """Return module and class of every Python step by folder name."""
    steps = {}
    if deployment.layout is ServingLayout.ENSEMBLE:
        steps = {deployment.spec.name + suffix: step for suffix, step in PYTHON_STEPS.items()}
    if not deployment.on_gpu:
        steps[deployment.engine_model] = OPENVINO_ENGINES[deployment.layout]
    return steps


def _copy_engine(folder: Path, deployment: Deployment, engine: Path) -> dict[str, str | None]:
    """Copy the engine; return its SHA-256 by its path in the repository."""
    target = folder / VERSION_FOLDER / deployment.engine.file
    shutil.copyfile(engine, target)
    return {target.relative_to(folder.parent).as_posix(): deployment.engine.sha256}


def _keep_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        (folder / EMPTY_FOLDER_FILE).touch()


def _model_py(step_class: str) -> str:
    module, name = step_class.split(".")
    return (
        f"from tritonseg_steps.{module} import {name} as TritonPythonModel\n\n"
        '__all__ = ["TritonPythonModel"]\n'
    )
