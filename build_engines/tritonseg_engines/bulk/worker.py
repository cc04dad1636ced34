"""A worker: one client of all servers, and one part after the other; Ray replaces it if it dies."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tritonseg import SegmentationClient
from tritonseg_engines.bulk.job import LISTING, Job, Making, Servers
from tritonseg_engines.bulk.parts import Part
from tritonseg_engines.bulk.segmenting import PartRunner
from tritonseg_engines.bulk.sources import open_source
from tritonseg_engines.bulk.storage import Storage
from tritonseg_engines.errors import BulkError


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrder:
    """All that a worker has to know.

    Attributes:
        job: What is done.
        results: Where, by path or URL.
        servers: Who computes.
        run: Which run of the job this is; any two differ.
    """

    job: Job
    results: str
    servers: Servers
    run: str = field(default_factory=lambda: secrets.token_hex(8))


class Worker:
    """What Ray Data makes of a class: it is called with rows, each the `asdict` of a part.

    Args:
        order: What is to be done.
    """

    def __init__(self, order: WorkOrder) -> None:
        self._storage = Storage(order.results)
        self._runner = PartRunner(
            client_of(
                order.servers,
                order.job.making,
                address_of(order.servers),
                model=order.job.model["name"],
                version=order.job.model["version"],
            ),
            open_source(order.job.source, results=order.results),
            self._storage,
            order.job,
            in_flight=order.servers.in_flight,
            run=order.run,
        )

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
        """Return what became of each part, as JSON: finished, or why the job must end."""
        return {"report": [self._report(Part(**json.loads(text))) for text in batch["part"]]}

    def _report(self, part: Part) -> str:
        try:
            content = self._storage.read(LISTING, part.start, part.end)
            finished = self._runner.run(part, part.pictures(content))
            return finished.without_files().to_json()
        except BulkError as error:
            return json.dumps({"refused": str(error)})
        except OSError as error:
            reason = f"{error.filename or part.name}: {error.strerror or error}"
            return json.dumps({"refused": f"results cannot be written: {reason}"})


def part_row(part: Part) -> dict[str, str]:
    """Return a part as a row of what Ray hands to workers."""
    return {"part": json.dumps(asdict(part))}


def client_of(
    servers: Servers, making: Making, address: str, *, model: str, version: str | None
) -> SegmentationClient:
    """Return a client of one address."""
    return SegmentationClient(
        address,
        model=model,
        model_version=version,
        timeout_s=servers.timeout_s,
        transport=making.transport,
        limits=making.limits,
        **servers.access.client_arguments,
    )


def address_of(servers: Servers) -> str:
    """Return one address for all servers, of which gRPC takes turns.

    Raises:
        BulkError: They cannot be put into one, or a name is not known here.
    """
    if len(servers.urls) == 1:
        return servers.urls[0]
    if servers.access.is_encrypted:
        raise BulkError(
            "several --url over TLS cannot be told apart by their certificates: give one "
            "'dns:///NAME:PORT' whose addresses are all servers"
        )
    addresses = dict.fromkeys(address for url in servers.urls for address in _addresses(url))
    return "ipv4:" + ",".join(addresses)


def _addresses(url: str) -> list[str]:
    host, colon, port = url.rpartition(":")
    if not colon or not port.isdigit() or ":" in host or "/" in url:
        raise BulkError(f"several --url must each be 'host:port', got {url!r}")
    try:
        found = socket.getaddrinfo(host, int(port), socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise BulkError(f"{url}: {error.strerror or error}") from error
    return [f"{address[0]!s}:{port}" for *_, address in found]
