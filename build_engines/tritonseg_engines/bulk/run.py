"""The driver: what is to be done, what is done already, and the end of a job."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from tritonseg import ModelInfo, SegmentationError
from tritonseg_engines.bulk.coco import DATA_SET, write_data_set
from tritonseg_engines.bulk.connection import address_of
from tritonseg_engines.bulk.job import (
    JOB,
    LISTING,
    Job,
    described,
    differences,
)
from tritonseg_engines.bulk.manifest import Failure, FinishedPart, finished_parts
from tritonseg_engines.bulk.order import BulkOrder, Tell
from tritonseg_engines.bulk.parts import Part, changes, listing_of, parts_of
from tritonseg_engines.bulk.served import served_model
from tritonseg_engines.bulk.sources import SourceOptions, known_kind, open_source
from tritonseg_engines.bulk.storage import Storage, is_unfinished, shows_changes
from tritonseg_engines.errors import BulkError, reason_of
from tritonseg_engines.progress import Progress

SUMMARY: Final = "summary.json"
SEGMENTING: Final = "segmenting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A job that stands in its folder, with what is left of it.

    Attributes:
        job: What is done.
        parts: All of it.
        finished: What was finished before, by part.
    """

    job: Job
    parts: Sequence[Part]
    finished: Mapping[int, FinishedPart]

    @property
    def left(self) -> list[Part]:
        """The parts that are not finished."""
        return [part for part in self.parts if part.index not in self.finished]


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOutcome:
    """How a job ended.

    Attributes:
        pictures: How many it has.
        done: How many of them this run segmented, or tried to.
        seconds: From the first part's beginning to the last one's end, in this run.
        failures: Pictures without a mask.
    """

    pictures: int
    done: int
    seconds: float
    failures: Sequence[Failure]


def run_bulk(order: BulkOrder, *, tell: Tell, progress: Progress) -> BulkOutcome:
    """Do a job, or what is left of it.

    Raises:
        BulkError: It cannot be planned, is another than the one in the folder, or must end.
        SegmentationError: No server answers for the model.
        ModuleNotFoundError: The extra `bulk` is not installed.
        OSError: Results cannot be written.
    """
    from tritonseg_engines.bulk import cluster  # planning needs neither Arrow nor Ray
    from tritonseg_engines.bulk.worker import WorkOrder

    cluster.imported_ray()
    address_of(order.servers)
    storage = Storage(order.results)
    with storage.held():
        begun = begun_job(storage, resume=order.resume)
        planned = plan(order, storage, begun, served_model(order, begun, tell), tell)
        finished = dict(planned.finished)
        before = total = sum(one.pictures for one in finished.values())
        progress(SEGMENTING, before, planned.job.pictures)
        this_run: list[FinishedPart] = []
        work_order = WorkOrder(job=planned.job, results=order.results, servers=order.servers)
        for one in cluster.work(work_order, planned.left, order.cluster) if planned.left else ():
            finished[one.index] = one
            this_run.append(one)
            total += one.pictures
            progress(SEGMENTING, total, planned.job.pictures)
        with reached(order.results):
            return _end(storage, planned, finished, this_run)


def begun_job(storage: Storage, *, resume: bool) -> Job | None:
    """Return the job that was begun in a folder, to go on with; None where there is none.

    Raises:
        BulkError: Results would be replaced, or the folder is somebody else's.
    """
    with reached(storage.url):
        if storage.exists(JOB):
            if not resume:
                raise BulkError(
                    f"{storage.url} holds a job: give --resume to go on with it, or another folder"
                )
            return Job.of_document(storage.read(JOB), storage.path(JOB))
        others = [name for name in storage.files() if name != LISTING and not is_unfinished(name)]
    if others:
        raise BulkError(f"{storage.url} holds no job, but {others[0]}: give an empty folder")
    return None


def plan(
    order: BulkOrder, storage: Storage, begun: Job | None, model: ModelInfo, tell: Tell
) -> Planned:
    """Write down what a job is, or hold it against the one that was begun.

    Raises:
        BulkError: It cannot be planned, or is another.
    """
    source, listing = _listed(order, tell)
    job = Job(
        source=source,
        making=order.making,
        model=described(model),
        pictures=listing.count(b"\n"),
        listing_sha256=hashlib.sha256(listing).hexdigest(),
    )
    if not storage.writes_whole:
        tell(
            f"{order.results} cannot rename files: those that are being written may be seen there "
            "in part, and are right once parts/ names them"
        )
    with reached(order.results):
        if begun is None:
            storage.write(LISTING, listing)
            storage.write(JOB, json.dumps(job.document(), indent=1).encode())
        else:
            _refuse_another(storage, begun, job, listing)
            storage.sweep()
        for name in (SUMMARY, DATA_SET):  # of the masks as they were at an earlier run's end
            storage.remove(name)
        parts = list(parts_of(listing, job.making.part_size))
        finished = finished_parts(storage, job.digest, parts) if begun is not None else {}
    if order.retry_failed:
        finished = {index: one for index, one in finished.items() if not one.failures}
    if begun is not None:
        done = sum(one.pictures for one in finished.values())
        tell(f"{done} of {job.pictures} pictures are done")
    return Planned(job=job, parts=parts, finished=finished)


@contextmanager
def reached(url: str) -> Iterator[None]:
    """Turn what a storage has against us into one line."""
    try:
        yield
    except (BulkError, SegmentationError):
        raise
    except Exception as error:  # object stores have errors of their own
        raise BulkError(f"{url}: {reason_of(error) or type(error).__name__}") from error


def _listed(order: BulkOrder, tell: Tell) -> tuple[SourceOptions, bytes]:
    """Return what is read, its kind known, and the listing of its pictures."""
    with reached(order.source.url):
        source = replace(order.source, kind=known_kind(order.source, results=order.results))
        opened = open_source(source, results=order.results)
        found = list(opened.pictures())
        if not found:
            raise BulkError(f"{order.source.url} holds no picture for --kind {source.kind}")
        listing = listing_of(found)
        left_out = opened.left_out()
    for line in left_out:
        tell(line)
    if not all(shows_changes(picture.stamp) for picture in found):
        tell(
            f"{order.source.url} does not say when a file changes: one that does and keeps its "
            "size is taken for the one that was listed"
        )
    return source, listing


def _refuse_another(storage: Storage, begun: Job, job: Job, listing: bytes) -> None:
    was, now = begun.document(), job.document()
    counts = ("listing_sha256", "pictures")
    if was["source"] == now["source"] and begun.listing_sha256 != job.listing_sha256:
        differing = f"pictures differ: {changes(storage.read(LISTING), listing)}"
    else:
        differing = differences(
            {name: value for name, value in was.items() if name not in counts},
            {name: value for name, value in now.items() if name not in counts},
        )
    if differing:
        raise BulkError(
            f"{storage.url} holds another job: {differing}; run it as it was, or give another "
            "folder"
        )


def _check_all_is_there(storage: Storage, planned: Planned) -> None:
    """Hold all manifests against the files once more: a job may take days, in a shared folder."""
    there = finished_parts(storage, planned.job.digest, planned.parts)
    gone = [part.name for part in planned.parts if part.index not in there]
    if gone:
        raise BulkError(
            f"{storage.url}: {len(gone)} parts are not as they were finished any more ({gone[0]}): "
            "--resume does them again"
        )


def _end(
    storage: Storage,
    planned: Planned,
    finished: Mapping[int, FinishedPart],
    this_run: Sequence[FinishedPart],
) -> BulkOutcome:
    _check_all_is_there(storage, planned)
    in_order = [finished[part.index] for part in planned.parts]
    failures = [failure for one in in_order for failure in one.failures]
    if planned.job.making.form == "coco":
        write_data_set(storage, planned.parts, planned.job.model["classes"])
    summary = {
        "pictures": planned.job.pictures,
        "segmented": planned.job.pictures - len(failures),
        "failed": dict(Counter(failure.kind for failure in failures)),
    }
    storage.write(SUMMARY, json.dumps(summary, indent=1).encode())
    seconds = 0.0
    if this_run:
        seconds = max(one.ended_s for one in this_run) - min(one.began_s for one in this_run)
    return BulkOutcome(
        pictures=planned.job.pictures,
        done=sum(one.pictures for one in this_run),
        seconds=seconds,
        failures=failures,
    )
