"""Jobs as the driver leaves them before there are workers, and parts as workers leave them."""

from __future__ import annotations

from pathlib import Path

from tritonseg_engines.bulk.manifest import Failure, FinishedPart, manifest_name
from tritonseg_engines.bulk.order import BulkOrder
from tritonseg_engines.bulk.parts import Part
from tritonseg_engines.bulk.run import Planned, begun_job, plan
from tritonseg_engines.bulk.served import served_model
from tritonseg_engines.bulk.storage import Storage


def planned(order: BulkOrder, told: list[str] | None = None) -> Planned:
    """What the driver does before it asks Ray for workers."""
    tell = ([] if told is None else told).append
    storage = Storage(order.results)
    begun = begun_job(storage, resume=order.resume)
    return plan(order, storage, begun, served_model(order, begun, tell), tell)


def finish(one: Planned, part: Part, results: str, *failures: Failure) -> Path:
    """Leave what a worker leaves of a part; return its manifest."""
    storage = Storage(results)
    storage.write(f"pictures/{part.name}.parquet", b"rows")
    finished = FinishedPart(
        index=part.index,
        digest=part.digest,
        job=one.job.digest,
        pictures=part.count,
        failures=failures,
        files={f"pictures/{part.name}.parquet": 4},
        worker="here:1",
        began_s=1.0,
        ended_s=2.0,
    )
    storage.write(manifest_name(part), finished.to_json().encode())
    return Path(results, manifest_name(part))
