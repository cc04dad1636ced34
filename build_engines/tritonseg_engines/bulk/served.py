"""Which model a job is of: asked of its servers before anything is planned."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tritonseg import ModelInfo, SegmentationError, TransportError
from tritonseg_engines.bulk.connection import client_of
from tritonseg_engines.bulk.job import Job, Servers, described, differences
from tritonseg_engines.bulk.order import BulkOrder, Tell
from tritonseg_engines.errors import BulkError

NAMES_OF_SEVERAL: Final = ("dns:", "xds:", "ipv4:", "ipv6:")
"""Beginnings of gRPC names that may stand for several servers, all of which take turns."""


def served_model(order: BulkOrder, begun: Job | None, tell: Tell) -> ModelInfo:
    """Return the model that all servers serve.

    Raises:
        BulkError: They serve different ones, or nobody could tell whether they do.
        SegmentationError: None answers, or one refuses.
    """
    version = order.version
    if version is None and begun is not None and begun.model["name"] == order.model:
        version = begun.model["version"]
    first: ModelInfo | None = None
    unreached: TransportError | None = None
    for url in order.servers.urls:
        servers = replace(order.servers, urls=[url])
        with client_of(servers, order.making, url, model=order.model, version=version) as client:
            try:
                model = client.describe()
            except TransportError as error:
                tell(f"{url} is left out until it answers: {error}")
                unreached = error
                continue
            except SegmentationError as error:
                error.args = (f"{url}: {error.args[0]}", *error.args[1:])
                raise
        if first is None:
            first, version = model, model.version
        elif model != first:
            differing = differences(described(first), described(model))
            raise BulkError(f"{url} serves another model than {order.servers.urls[0]}: {differing}")
    if first is None:
        raise unreached or BulkError("no server was given")
    _say_what_cannot_be_told_apart(first, order.servers, begun, tell)
    return first


def _say_what_cannot_be_told_apart(
    model: ModelInfo, servers: Servers, begun: Job | None, tell: Tell
) -> None:
    may_be_several = len(servers.urls) > 1 or servers.urls[0].startswith(NAMES_OF_SEVERAL)
    if model.digest is None:
        if may_be_several:
            raise BulkError(
                f"answers of model '{model.name}' do not say which build they are of, so masks of "
                "two builds could be mixed: give one server's --url, or build the model again with "
                "`tritonseg build`"
            )
        tell(
            f"answers of model '{model.name}' do not say which build they are of: only its version "
            "is held against the job's; `tritonseg build` makes one whose answers say it"
        )
    if (may_be_several or begun is not None) and _hides_its_engine(model):
        tell(
            f"model '{model.name}' ({model.precision}, {model.runtime}) was built by an earlier "
            "release and does not say which engine it has; another of the same export may give "
            "other masks: see that all servers have the same, or build it again with `tritonseg "
            "build`"
        )


def _hides_its_engine(model: ModelInfo) -> bool:
    """Return whether another engine, by calibration or GPU, would go unnoticed."""
    return model.engine_sha256 is None and (
        model.precision == "int8" or model.runtime == "tensorrt"
    )
