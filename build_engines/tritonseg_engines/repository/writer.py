"""Lay out a model in a Triton repository: its folders appear together or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.atomic import alone_in, replaced_directories
from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.configs import model_configs
from tritonseg_engines.repository.deployment import Deployment
from tritonseg_engines.repository.files import (
    CONFIG_FILE,
    EMPTY_FOLDER_FILE,
    FIRST_VERSION,
    MANIFEST_FILE,
    RECEIPT_FILE,
    STEP_FILE,
    WARM_UP_FOLDER,
    read_config,
)
from tritonseg_engines.repository.mask_settings import SETTINGS, mask_settings
from tritonseg_engines.repository.one_model import fused_config, single_config
from tritonseg_engines.repository.ownership import obsolete_folders, refuse_taken
from tritonseg_engines.repository.read_back import refuse_unreadable
from tritonseg_engines.repository.receipts import RECEIPT, write_receipt
from tritonseg_engines.repository.versions import copy_versions, kept_versions, shared_config
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
    *,
    version: str | None = None,
    documents: Sequence[Path] = (),
    receipt: Mapping[str, Any] | None = None,
    keeps_obsolete: bool = False,
) -> Path:
    """Write the ensemble and its three steps, or the one model, in place of either.

    Only what an earlier build of the same model wrote is replaced or removed.

    Args:
        repository: Folder that Triton is started on; made if it is not there.
        deployment: What the configs say.
        engine: The built network, copied to the engine's version folder; None leaves that empty,
            for an engine that is built later.
        manifest: Written into the version folder of the model's own name as JSON, with that name,
            the version, the layout, the provenance as published, the SHA-256 of the engine file
            and of the Python steps, and what in the configs decides masks.
        version: Written in place of that version, beside the model's others; None for a model
            without others.
        documents: Files to copy beside the manifest.
        receipt: What the build knows of the receipt beside it; files and configs are added. None
            writes none.
        keeps_obsolete: Leave the folders that an earlier layout needed; `remove_obsolete` follows.

    Returns:
        The version folder of the model's own name.

    Raises:
        RepositoryError: The folder cannot be written, a folder of that name is not this model's,
            the version cannot stand beside the others, or no client would take the model; what
            was there is unchanged.
    """
    if engine is not None:
        deployment = deployment.with_engine(engine)
    try:
        with alone_in(repository):
            return _write(
                repository,
                deployment,
                engine,
                manifest,
                version=version,
                documents=documents,
                receipt=receipt,
                keeps_obsolete=keeps_obsolete,
            )
    except OSError as error:
        raise RepositoryError(
            f"{repository}: cannot be written: {error.strerror}; nothing was changed"
        ) from error


def _write(
    repository: Path,
    deployment: Deployment,
    engine: Path | None,
    manifest: Mapping[str, Any],
    *,
    version: str | None,
    documents: Sequence[Path],
    receipt: Mapping[str, Any] | None,
    keeps_obsolete: bool,
) -> Path:
    """Write as `write_model` does, while nobody else does."""
    name, configs = deployment.spec.name, _configs(deployment)
    number = version or FIRST_VERSION
    settings = mask_settings(configs, deployment, number)
    refuse_taken(repository, name, tuple(configs))
    kept = kept_versions(repository, name, deployment.layout, version)
    configs = {
        folder: shared_config(config, number, settings[folder], repository, kept)
        for folder, config in configs.items()
    }
    obsolete = () if keeps_obsolete else obsolete_folders(repository, name, tuple(configs))
    with replaced_directories(repository, tuple(configs), removed=obsolete) as staging:
        copy_versions(repository / name, kept, staging / name)
        for folder, config in configs.items():
            (staging / folder / number).mkdir(parents=True)
            _write_config(staging / folder / CONFIG_FILE, config)
        files = _write_files(staging, deployment, engine, number)
        recorded: dict[str, Any] = {"files": {}}
        if engine is not None:
            recorded = {"files": files, SETTINGS: settings}
        facts = {"model": name, "version": number, "layout": deployment.layout}
        if receipt is not None:
            recorded[RECEIPT] = RECEIPT_FILE
        published = {"provenance": asdict(deployment.provenance)}
        text = json.dumps({**facts, **published, **manifest, **recorded}, indent=2) + "\n"
        (staging / name / number / MANIFEST_FILE).write_text(text, encoding="utf-8")
        for document in documents:
            shutil.copyfile(document, staging / name / number / document.name)
        for folder in configs:
            _keep_if_empty(staging / folder / number)
        if receipt is not None:
            write_receipt(staging, name, number, tuple(configs), {**facts, **receipt})
        written = read_config(staging / name / CONFIG_FILE)
        for one in (number, *kept):
            refuse_unreadable(written, one, is_built=engine is not None)
    return repository / name / number


def _write_files(
    staging: Path, deployment: Deployment, engine: Path | None, version: str
) -> dict[str, str]:
    """Write steps, warm-up and engine; return the SHA-256 of what masks depend on, by path."""
    written = _write_steps(staging, deployment, version)
    if engine is not None:
        target = staging / deployment.engine_model / version / deployment.engine.file
        shutil.copyfile(engine, target)
        written.insert(0, target)
    digests = {path: sha256_of(path) for path in written}
    if engine is not None and digests[written[0]] != deployment.provenance.engine_sha256:
        raise RepositoryError(f"{engine}: was changed while it was copied; build the model again")
    return {path.relative_to(staging).as_posix(): digest for path, digest in digests.items()}


def _write_config(path: Path, config: pb.ModelConfig) -> None:
    path.write_text(text_format.MessageToString(config), encoding="utf-8")


def _configs(deployment: Deployment) -> dict[str, pb.ModelConfig]:
    """Return the configs by folder name."""
    if deployment.layout is ServingLayout.SINGLE:
        return {deployment.spec.name: single_config(deployment)}
    if deployment.layout is ServingLayout.FUSED:
        return {deployment.spec.name: fused_config(deployment)}
    return model_configs(deployment)


def _write_steps(staging: Path, deployment: Deployment, version: str) -> list[Path]:
    """Write the Python steps and their warm-up; return the files that Triton imports."""
    written = []
    for folder, step_class in _python_steps(deployment).items():
        path = staging / folder / version / STEP_FILE
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


def _keep_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        (folder / EMPTY_FOLDER_FILE).touch()


def _model_py(step_class: str) -> str:
    module, name = step_class.split(".")
    return (
        f"from tritonseg_steps.{module} import {name} as TritonPythonModel\n\n"
        '__all__ = ["TritonPythonModel"]\n'
    )
