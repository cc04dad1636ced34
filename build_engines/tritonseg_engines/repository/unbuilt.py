"""The layout of the published models before any engine is built: what is committed to git."""

from __future__ import annotations

from pathlib import Path

from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.check import built_models
from tritonseg_engines.repository.deployment import Deployment, Engine, Provenance
from tritonseg_engines.repository.published_networks import network_facts
from tritonseg_engines.repository.writer import write_model
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.target import Runtime
from tritonseg_engines.tensorrt.manifest import PLAN_FILE
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.upsampling import Upsampling


def unbuilt_deployment(spec: ModelSpec) -> Deployment:
    """Return the TensorRT layout of a published model at its published input size.

    Raises:
        RepositoryError: It is not a published model, or has no published input size.
    """
    if spec.input.size_hw is None:
        raise RepositoryError(f"{spec.name}: expected a published input size, it takes any")
    scores_hw = network_facts(spec.name).scores_hw(spec.input.size_hw)
    engine = Engine(
        file=PLAN_FILE,
        sizes=NetworkSizes(height=spec.input.height, width=spec.input.width),
        output_dims=(len(spec.classes), *scores_hw),
        upsampling=Upsampling(),
    )
    return Deployment(spec=spec, engine=engine, provenance=Provenance.not_built(Runtime.TENSORRT))


def write_unbuilt(spec: ModelSpec, repository: Path) -> Path:
    """Write the four folders of a published model without its engine.

    The same specification gives the same bytes, whoever writes them and when.

    Returns:
        The ensemble's folder.

    Raises:
        RepositoryError: The folder cannot be written, or holds an engine that would be lost.
    """
    if spec.name in built_models(repository):
        raise RepositoryError(
            f"{repository}: {spec.name} has a built engine there, which this would remove; give "
            "another folder, or remove the model first"
        )
    deployment = unbuilt_deployment(spec)
    return write_model(repository, deployment, None, {}).parent
