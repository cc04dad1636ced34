"""What was written, read by the client before it takes the place of what was there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from tritonclient.grpc import model_config_pb2 as pb
from tritonclient.grpc import service_pb2

from tritonseg import ProtocolError
from tritonseg.published import read_published
from tritonseg_engines.errors import RepositoryError
from tritonseg_steps import contract

_NO_EXPORT: Final = "0" * 64
"""In the place of a digest, for a model that is not built yet and that no client will meet."""


def refuse_unreadable(config: pb.ModelConfig, version: str, *, is_built: bool) -> None:
    """Read a model's config as a client will.

    Args:
        config: Of the model that clients call, parsed from its file.
        version: The version that is served.
        is_built: Whether there is an engine, and with it the digest of an export.

    Raises:
        RepositoryError: Clients would refuse the model.
    """
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    if not is_built:
        provenance = json.loads(parameters[contract.PROVENANCE_PARAMETER])
        provenance["onnx_sha256"] = _NO_EXPORT
        parameters[contract.PROVENANCE_PARAMETER] = json.dumps(provenance)
    try:
        read_published(_metadata(config, version), parameters)
    except ProtocolError as error:
        raise RepositoryError(
            f"{config.name}: no client would take what the build has to publish: {error}; correct "
            "the specification. Nothing was changed"
        ) from error


def _metadata(config: pb.ModelConfig, version: str) -> service_pb2.ModelMetadataResponse:
    """Return what Triton makes of a config with batches."""
    metadata = service_pb2.ModelMetadataResponse(name=config.name, versions=[version])
    _add_tensors(metadata.inputs, config.input)
    _add_tensors(metadata.outputs, config.output)
    return metadata


def _add_tensors(described: object, tensors: Iterable[pb.ModelInput | pb.ModelOutput]) -> None:
    for tensor in tensors:
        name = pb.DataType.Name(tensor.data_type).removeprefix("TYPE_")
        datatype = "BYTES" if name == "STRING" else name
        described.add(name=tensor.name, datatype=datatype, shape=[-1, *tensor.dims])  # type: ignore[attr-defined]
