"""The segmentation models among all that a server serves."""

from __future__ import annotations

from typing import Final

from tritonclient.grpc import service_pb2

from .._errors import ProtocolError
from .._model.metadata import CONTRACT_PARAMETER, ModelInfo
from .deadline import Deadline
from .description import read_published
from .endpoint import ModelEndpoint, ServerEndpoint
from .flow import Flow
from .protocol import CLASS_MAP, IMAGE

_READY: Final = "READY"


def list_models(server: ServerEndpoint, deadline: Deadline) -> Flow[tuple[ModelInfo, ...]]:
    """Return what a server serves for clients of this package, by name and version.

    Models of other kinds publish no contract, and the steps of an ensemble make no class maps of
    pictures: both are left out.

    Raises:
        AccessDeniedError: The server does not list its models for everybody.
        ProtocolError: One publishes a contract, and breaks it.
    """
    index = yield server.list_models(deadline.require_s())
    served = sorted(
        {(entry.name, _version(entry)) for entry in index.models if entry.state == _READY}
    )
    models = []
    for name, version in served:
        endpoint = server.model(name, str(version))
        model = yield from _describe(endpoint, deadline)
        if model is not None:
            models.append(model)
    return tuple(models)


def _version(entry: service_pb2.RepositoryIndexResponse.ModelIndex) -> int:
    if not (entry.version.isascii() and entry.version.isdigit()):
        raise ProtocolError(
            f"expected a number for the version of model {entry.name!r}, got {entry.version!r}"
        )
    return int(entry.version)


def _describe(endpoint: ModelEndpoint, deadline: Deadline) -> Flow[ModelInfo | None]:
    response = yield endpoint.fetch_config(deadline.require_s())
    parameters = {key: value.string_value for key, value in response.config.parameters.items()}
    if CONTRACT_PARAMETER not in parameters:
        return None
    metadata = yield endpoint.fetch_metadata(deadline.require_s())
    names = {tensor.name for tensor in (*metadata.inputs, *metadata.outputs)}
    if not names >= {IMAGE, CLASS_MAP}:
        return None
    model, _ = read_published(metadata, parameters, endpoint.version)
    return model
