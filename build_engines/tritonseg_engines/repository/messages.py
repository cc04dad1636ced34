"""Small parts of Triton's protobuf messages.

Source of every field: triton-inference-server/common, `protobuf/model_config.proto`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_steps import contract

ANY = -1
"""A dimension that Triton leaves open."""


def input_tensor(name: str, data_type: int, dims: Iterable[int | None]) -> pb.ModelInput:
    """Return an input; None among the dimensions leaves one open."""
    return pb.ModelInput(name=name, data_type=data_type, dims=_dims(dims))


def output_tensor(name: str, data_type: int, dims: Iterable[int | None]) -> pb.ModelOutput:
    """Return an output; None among the dimensions leaves one open."""
    return pb.ModelOutput(name=name, data_type=data_type, dims=_dims(dims))


def set_parameters(config: pb.ModelConfig, documents: Mapping[str, Any]) -> None:
    """Add JSON documents to the parameters, and the contract's version to every config."""
    contract_version = {contract.CONTRACT_PARAMETER: contract.CONTRACT_VERSION}
    for key, document in {**contract_version, **documents}.items():
        config.parameters[key].string_value = json.dumps(document, sort_keys=True)


def texts_of(config: pb.ModelConfig, version: str) -> dict[str, str]:
    """Return the text of every parameter of one version."""
    texts = {key: value.string_value for key, value in config.parameters.items()}
    return contract.parameters_of(texts, version)


def _dims(dims: Iterable[int | None]) -> list[int]:
    return [ANY if dim is None else dim for dim in dims]
