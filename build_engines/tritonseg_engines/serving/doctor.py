"""What this machine, a server and a repository are like, and what is wrong with them."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tritonseg_engines.errors import RepositoryError, ServerStartError
from tritonseg_engines.install_command import install_command
from tritonseg_engines.repository.check import check_repository, repository_remarks
from tritonseg_engines.repository.manifests import read_manifest, recorded_versions
from tritonseg_engines.serving.installation import find_tritonserver, refuse_numpy
from tritonseg_engines.target import Runtime
from tritonseg_engines.tensorrt import Machine, inspect_machine
from tritonseg_steps.contract import CONTRACT_VERSION

PACKAGES: Final = ("tritonseg", "numpy", "tritonclient", "onnx", "onnxruntime", "openvino", "torch")
CALL_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerState:
    """A running server as it answers.

    Attributes:
        url: Where it was asked.
        version: Triton's version; None if it did not answer.
        models: State of every model by name, e.g. "READY"; None if it does not list them.
        problems: One line for everything that is wrong.
    """

    url: str
    version: str | None = None
    models: dict[str, str] | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """Everything that was looked at.

    Attributes:
        versions: Of Python, the contract and every package; None for what is not installed.
        machine: GPUs and TensorRT.
        tritonserver: The Triton that `tritonseg serve` would start, or why there is none.
        numpy_problem: Why that Triton cannot work with the NumPy that is here.
        server: The server asked for, if any.
        models: What is wrong with every model of the repository asked for, if any.
        remarks: By model what is no problem, but should be known of it.
        repository_problem: Why that repository could not be looked at.
    """

    versions: dict[str, str | None]
    machine: Machine
    tritonserver: str
    numpy_problem: str | None = None
    server: ServerState | None = None
    models: dict[str, list[str]] = field(default_factory=dict)
    remarks: dict[str, list[str]] = field(default_factory=dict)
    repository_problem: str | None = None

    @property
    def problems(self) -> list[str]:
        """One line for everything that keeps a model from being served as it was built."""
        lines = [self.numpy_problem] if self.numpy_problem else []
        lines += self.server.problems if self.server else []
        lines += [self.repository_problem] if self.repository_problem else []
        return lines + [f"{name}: {line}" for name, found in self.models.items() for line in found]


def diagnose(*, url: str | None = None, repository: Path | None = None) -> Diagnosis:
    """Look at this machine, and at a server and a repository if they are given.

    Args:
        url: `HOST:PORT` of a server's gRPC.
        repository: Folder that Triton is started on.
    """
    machine = inspect_machine()
    versions = _versions()
    models: dict[str, list[str]] = {}
    remarks: dict[str, list[str]] = {}
    repository_problem = None
    if repository is not None:
        try:
            models = check_repository(repository, machine)
            remarks = repository_remarks(repository)
        except RepositoryError as error:
            repository_problem = str(error)
        if versions[Runtime.OPENVINO] is None:
            _require_openvino(repository, models)
    tritonserver, numpy_problem = _tritonserver()
    return Diagnosis(
        versions=versions,
        machine=machine,
        tritonserver=tritonserver,
        numpy_problem=numpy_problem,
        server=None if url is None else _server_state(url),
        models=models,
        remarks=remarks,
        repository_problem=repository_problem,
    )


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    found["contract"] = CONTRACT_VERSION
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def _require_openvino(repository: Path, models: dict[str, list[str]]) -> None:
    for version in recorded_versions(repository):
        try:
            provenance = read_manifest(version.manifest_path)["provenance"]
        except RepositoryError:
            continue  # reported already
        if provenance.get("runtime") == Runtime.OPENVINO and version.label in models:
            models[version.label].append(f"needs openvino here: {install_command('steps')}")


def _tritonserver() -> tuple[str, str | None]:
    """Return what would be started, or why there is none, and why it could not work."""
    try:
        found = find_tritonserver()
    except ServerStartError as error:
        return str(error), None
    version = f"Triton {found.version}" if found.version else found.wheel or "Triton"
    described = f"{version}: {found.executable}"
    try:
        refuse_numpy(found)
    except ServerStartError as error:
        return described, str(error)
    return described, None


def _server_state(url: str) -> ServerState:
    with triton.InferenceServerClient(url) as client:
        try:
            ready = client.is_server_ready(client_timeout=CALL_TIMEOUT_S)
            version = client.get_server_metadata(client_timeout=CALL_TIMEOUT_S).version
        except InferenceServerException as error:
            line = f"{url}: no Triton answers on gRPC there ({error.message()})"
            return ServerState(url=url, problems=(line,))
        models, problems = _model_states(client)
    if not ready:
        problems.insert(0, f"{url}: the server is not ready")
    return ServerState(url=url, version=version, models=models, problems=tuple(problems))


def _model_states(client: Any) -> tuple[dict[str, str] | None, list[str]]:
    try:
        index = client.get_model_repository_index(client_timeout=CALL_TIMEOUT_S).models
    except InferenceServerException:
        return None, []  # an API that may be closed
    states: dict[str, str] = {}
    for model in index:
        if states.get(model.name) != "READY":  # of several versions, as long as one is served
            states[model.name] = model.state or "NOT LOADED"
    # What was unloaded is so because somebody wanted it: a request, or a version policy.
    broken = [one for one in index if one.state not in ("READY", "") and one.reason != "unloaded"]
    labels = [f"{one.name} version {one.version}" if one.version else one.name for one in broken]
    return states, [
        f"{label}: {one.state} on the server ({one.reason})"
        for label, one in zip(labels, broken, strict=True)
    ]
