"""A worker: one client of all servers, and one part after the other; Ray replaces it if it dies."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from tritonseg import ConfigurationError, __version__
from tritonseg_engines.bulk.connection import address_of, client_of
from tritonseg_engines.bulk.job import LISTING, Job, Servers
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
        self._order = order

    @cached_property
    def _storage(self) -> Storage:
        return Storage(self._order.results)

    @cached_property
    def _runner(self) -> PartRunner:
        """Made when it is first used: Ray would try for ever to make a worker that cannot be."""
        order, model = self._order, self._order.job.model
        if order.job.tritonseg_version != __version__:
            raise BulkError(
                f"a worker on {socket.gethostname()} has tritonseg {__version__}, the job is of "
                f"{order.job.tritonseg_version}: install that on every machine of the cluster"
            )
        address = address_of(order.servers)
        return PartRunner(
            client_of(
                order.servers,
                order.job.making,
                address,
                model=model["name"],
                version=model["version"],
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
        except (BulkError, ConfigurationError) as error:
            return json.dumps({"refused": str(error)})
        except OSError as error:
            reason = f"{error.filename or part.name}: {error.strerror or error}"
            return json.dumps({"refused": f"results cannot be written: {reason}"})


def part_row(part: Part) -> dict[str, str]:
    """Return a part as a row of what Ray hands to workers."""
    return {"part": json.dumps(asdict(part))}
