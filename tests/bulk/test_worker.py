"""What a worker does with a part, in the process of the test: Ray only calls it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bulk_pictures import rows_of
from tritonseg.testing import FakeTriton
from tritonseg_engines.bulk import mounts
from tritonseg_engines.bulk.job import LISTING
from tritonseg_engines.bulk.manifest import manifest_name
from tritonseg_engines.bulk.order import BulkOrder
from tritonseg_engines.bulk.run import begun_job, plan
from tritonseg_engines.bulk.served import served_model
from tritonseg_engines.bulk.storage import Storage

pytestmark = pytest.mark.usefixtures("with_arrow")


def worker_of(order: BulkOrder) -> Any:
    """A worker as Ray makes one, of a job that is planned if it is not."""
    from tritonseg_engines.bulk.worker import Worker, WorkOrder

    results = Storage(order.results)
    begun = begun_job(results, resume=True)
    planned = plan(order, results, begun, served_model(order, begun, print), print)
    job = WorkOrder(job=planned.job, results=order.results, servers=order.servers, run="this")
    return Worker(job), planned


def reports(worker: Any, parts: Any) -> list[dict[str, Any]]:
    from tritonseg_engines.bulk.worker import part_row

    return [json.loads(worker({"part": [part_row(part)["part"]]})["report"][0]) for part in parts]


def test_a_server_that_changes_its_model_meanwhile(
    order: Callable[..., BulkOrder], fake: FakeTriton
) -> None:
    worker, planned = worker_of(order())
    assert reports(worker, planned.parts[:1])[0]["pictures"] == 3
    provenance = json.loads(fake.parameters["tritonseg_provenance"])
    fake.parameters["tritonseg_provenance"] = json.dumps({**provenance, "onnx_sha256": "f" * 64})
    fake.parameters["tritonseg_digest"] = json.dumps("e" * 64)
    (told,) = reports(worker, planned.parts[1:2])
    assert told["refused"].startswith("a server answered with another model than the job's: ")
    assert "onnx_sha256" in told["refused"]


def test_a_part_that_is_begun_anew_is_not_finished(order: Callable[..., BulkOrder]) -> None:
    worker, planned = worker_of(order())
    reports(worker, planned.parts[:1])
    manifest = Path(order().results, manifest_name(planned.parts[0]))
    seen: list[bool] = []
    segment = worker._runner._client.segment

    def looking(content: bytes, **options: Any) -> Any:
        seen.append(manifest.exists())
        return segment(content, **options)

    worker._runner._client.segment = looking
    reports(worker, planned.parts[:1])
    assert (seen, manifest.exists()) == ([False] * 3, True)


def test_files_that_are_far_give_what_near_ones_do(
    order: Callable[..., BulkOrder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def done(name: str) -> tuple[dict[str, bytes], dict[str, dict[str, Any]], int]:
        results = tmp_path / name
        worker, planned = worker_of(order(results=str(results)))
        assert all(report["failures"] == [] for report in reports(worker, planned.parts))
        masks = {path.name: path.read_bytes() for path in (results / "masks").rglob("*.png")}
        return masks, rows_of(results), worker._runner._threads

    near = done("near")
    monkeypatch.setattr(mounts, "NEAR", frozenset())
    far = done("far")
    assert near[:2] == far[:2]
    assert len(near[0]) == 10
    assert (near[2], far[2]) == (8, 16)  # of eight in flight


def test_results_that_cannot_be_written_end_the_job(order: Callable[..., BulkOrder]) -> None:
    worker, planned = worker_of(order())
    Path(order().results, "masks").write_bytes(b"a file")
    (told,) = reports(worker, planned.parts[:1])
    assert told["refused"].startswith("results cannot be written: ")


def test_a_listing_that_is_edited(order: Callable[..., BulkOrder]) -> None:
    worker, planned = worker_of(order())
    listing = Path(order().results, LISTING)
    listing.write_bytes(listing.read_bytes().replace(b"0000.png", b"0009.png"))
    assert "the listing has changed" in reports(worker, planned.parts[:1])[0]["refused"]


def test_a_server_that_comes_back_in_time(
    order: Callable[..., BulkOrder], fake: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tritonseg_engines.bulk import segmenting

    monkeypatch.setattr(segmenting, "PAUSES_S", (0.5, 4.0))
    worker, planned = worker_of(order())
    fake.stop()
    threading.Timer(5.0, fake.start).start()
    (told,) = reports(worker, planned.parts[:1])
    assert told["failures"] == []


def _deadly(order: BulkOrder) -> None:
    """Do the first part, with a picture that takes the process with it."""
    worker, planned = worker_of(order)
    first = planned.parts[0]
    listing = Path(order.results, LISTING).read_bytes()
    fatal = Path(order.source.url, first.pictures(listing[: first.end])[1].name).read_bytes()
    segment = worker._runner._client.segment

    def dying(content: bytes, **options: Any) -> Any:
        if content == fatal:
            os.kill(os.getpid(), signal.SIGSEGV)
        return segment(content, **options)

    worker._runner._client.segment = dying
    reports(worker, [first])


def test_a_picture_that_kills_every_worker_gets_a_row(order: Callable[..., BulkOrder]) -> None:
    codes = []
    while not codes or codes[-1]:
        process = multiprocessing.get_context("spawn").Process(target=_deadly, args=(order(),))
        process.start()
        process.join(60)
        codes.append(process.exitcode)
        assert len(codes) < 9
    assert codes == [-signal.SIGSEGV] * 4 + [0]
    rows = rows_of(Path(order().results))
    assert [row["kind"] for row in rows.values()].count("WorkerDied") == 1
    assert len(rows) == 3
    assert not list(Path(order().results, "attempts").glob("*"))


def test_a_machine_with_another_release(order: Callable[..., BulkOrder]) -> None:
    worker, planned = worker_of(order())
    job = replace(planned.job, tritonseg_version="0.0.9")
    other = type(worker)(replace(worker._order, job=job))
    (told,) = reports(other, planned.parts[:1])
    assert "has tritonseg" in told["refused"]
    assert "the job is of 0.0.9: install that on every machine" in told["refused"]


def test_what_nobody_thought_of_is_a_row(order: Callable[..., BulkOrder]) -> None:
    worker, planned = worker_of(order())

    def exhausted(content: bytes, **options: Any) -> Any:
        raise MemoryError

    worker._runner._client.segment = exhausted
    (told,) = reports(worker, planned.parts[:1])
    assert [failure["kind"] for failure in told["failures"]] == ["MemoryError"] * 3
