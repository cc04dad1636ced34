"""What somebody wants of a job, and how the driver says what it comes upon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tritonseg_engines.bulk.job import Cluster, Making, Servers
from tritonseg_engines.bulk.sources import SourceOptions

Tell = Callable[[str], None]
"""Takes one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOrder:
    """What is wanted.

    Attributes:
        source: What is read.
        results: Where results go, by path or URL.
        model: The model's name on the servers.
        version: Of it; None for the highest that is served, or the job's own at a resume.
        making: How masks are made and kept.
        servers: Who computes.
        cluster: Where workers run.
        resume: Whether to go on with a job that was begun.
        retry_failed: Whether parts with pictures that failed are done again.
    """

    source: SourceOptions
    results: str
    model: str
    version: str | None
    making: Making
    servers: Servers
    cluster: Cluster
    resume: bool = False
    retry_failed: bool = False
