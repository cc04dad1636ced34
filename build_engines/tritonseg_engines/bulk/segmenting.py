"""One part: its pictures read, segmented, written, and the manifest when all that is done."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from tritonseg import (
    ClientClosedError,
    MessageTooLargeError,
    ModelInfo,
    Segmentation,
    SegmentationClient,
    SegmentationError,
    TransportError,
)
from tritonseg_engines.bulk import coco, rows
from tritonseg_engines.bulk.attempts import Attempts
from tritonseg_engines.bulk.job import Job, described, differences
from tritonseg_engines.bulk.manifest import Failure, FinishedPart, manifest_name
from tritonseg_engines.bulk.parts import Part, Picture
from tritonseg_engines.bulk.sources import Read, Source, Unread
from tritonseg_engines.bulk.storage import Storage
from tritonseg_engines.errors import BulkError, reason_of
from tritonseg_engines.in_order import in_order

MASKS: Final = "masks"
PAUSES_S: Final = (1.0, 5.0)
"""Before pictures are tried once more of which server or connection were to blame; the client has
tried them some seconds long before."""

DEADLY: Final = Unread(
    kind="WorkerDied", reason="workers died while they did this picture alone: see Ray's log"
)

Outcome = Segmentation | SegmentationError | Unread


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    position: int
    row: dict[str, Any]
    file: tuple[str, int] | None = None
    entry: dict[str, Any] | None = None
    is_worth_another: bool = False


class PartRunner:
    """Does one part after the other.

    Args:
        client: Of the job's model and version.
        source: Of the pictures.
        storage: Of the results.
        job: What is done.
        in_flight: Calls under way at once.
        run: Which run of the job this is.
    """

    def __init__(
        self,
        client: SegmentationClient,
        source: Source,
        storage: Storage,
        job: Job,
        *,
        in_flight: int,
        run: str,
    ) -> None:
        self._client = client
        self._source = source
        self._storage = storage
        self._job = job
        self._job_digest = job.digest
        self._form = job.making.form
        self._is_near = storage.is_near and Storage(job.source.url).is_near
        self._threads = in_flight if self._is_near else 2 * in_flight
        self._turn = threading.Semaphore(in_flight)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="bulk")
        self._run = run
        self._known: ModelInfo | None = None

    def run(self, part: Part, pictures: Sequence[Picture]) -> FinishedPart:
        """Do a part from its beginning, and replace all that is there of it.

        Raises:
            BulkError: A server answered with another model.
            OSError: Results cannot be written; object stores have errors of their own.
        """
        began_s = time.time()
        self._storage.remove(manifest_name(part))  # it is not finished from here on
        attempts = Attempts.of(self._storage, part, self._run)
        done: dict[int, _Done] = {}
        left = list(range(part.count))
        for pause_s in (0.0, *PAUSES_S):
            if left:
                time.sleep(pause_s)
                tried = self._one_by_one if attempts.is_careful else self._tried
                done.update((one.position, one) for one in tried(part, pictures, left, attempts))
            left = [position for position in left if done[position].is_worth_another]
        in_order_of_listing = [done[position] for position in range(part.count)]
        finished = self._finish(part, in_order_of_listing, began_s)
        attempts.end()
        return finished

    def _one_by_one(
        self, part: Part, pictures: Sequence[Picture], positions: Sequence[int], attempts: Attempts
    ) -> Iterator[_Done]:
        for position in positions:
            if attempts.is_deadly(position):
                yield self._written(part, position, pictures[position].name, DEADLY)
            else:
                attempts.note(position)
                yield from self._tried(part, pictures, [position], attempts)
        attempts.note(None)

    def _tried(
        self, part: Part, pictures: Sequence[Picture], positions: Sequence[int], _: Attempts
    ) -> Iterator[_Done]:
        """Yield what became of each picture; threads have as much of its way as is worth it.

        On a disk of this machine reading and writing take less than threads that contend for it.
        Where files are an ocean away a thread has the whole way, and half of them read and write
        while half are waiting for a server.
        """
        chosen = [pictures[position] for position in positions]

        def read(found: tuple[int, Read]) -> tuple[int, bytes | Unread]:
            place, read_file = found
            return place, self._content(chosen[place], read_file)

        def segment(found: tuple[int, bytes | Unread]) -> tuple[int, Outcome]:
            place, content = found
            return place, content if isinstance(content, Unread) else self._outcome(content)

        def write(found: tuple[int, Outcome]) -> _Done:
            place, outcome = found
            return self._written(part, positions[place], chosen[place].name, outcome)

        def whole_way(found: tuple[int, Read]) -> _Done:
            return write(segment(read(found)))

        files = self._source.contents(chosen)
        if self._is_near:
            outcomes = in_order(map(read, files), segment, self._threads, self._pool)
            return map(write, outcomes)
        return in_order(files, whole_way, self._threads, self._pool)

    def _content(self, picture: Picture, read_file: Read) -> bytes | Unread:
        if picture.size > self._job.making.max_bytes:
            return _too_large(picture.size, self._job.making.max_bytes)
        return read_file()

    def _outcome(self, content: bytes) -> Outcome:
        try:
            with self._turn:
                return self._client.segment(content, tiling=self._job.making.tiling)
        except ClientClosedError:
            raise  # no picture's error
        except SegmentationError as error:
            return error
        except Exception as error:  # noqa: BLE001 - even what we did not think of stops no other
            return Unread(kind=type(error).__name__, reason=reason_of(error) or "no words")

    def _written(self, part: Part, position: int, name: str, outcome: Outcome) -> _Done:
        mask = f"{MASKS}/{name}.png"
        if not isinstance(outcome, Segmentation):
            if self._form == "png":
                self._storage.remove(mask)  # that of an earlier attempt, which had more luck
            return _failed(position, name, outcome)
        self._check_model(outcome)
        height, width = outcome.image_size
        note = None if outcome.tiling is None else outcome.tiling.reason
        row = {"picture": name, "height": height, "width": width, "note": note}
        if self._form == "png":
            content = outcome.to_png()
            self._storage.write(mask, content, is_flushed=False)
            return _Done(position=position, row={**row, "mask": mask}, file=(mask, len(content)))
        if self._form == "rle":
            return _Done(position=position, row={**row, "segments": rows.segments_of(outcome)})
        image_id = coco.image_id_of(part, position)
        entry = coco.entries_of(name, image_id, outcome)
        return _Done(position=position, row={**row, "image_id": image_id}, entry=entry)

    def _check_model(self, result: Segmentation) -> None:
        """Refuse a mask of another model than the job's: no row can say whose it is."""
        if result.model == self._known and result.model_version == self._job.model["version"]:
            return
        found = {**described(result.model), "version": result.model_version}
        differing = differences(self._job.model, found)
        if differing:
            raise BulkError(f"a server answered with another model than the job's: {differing}")
        self._known = result.model

    def _finish(self, part: Part, done: Sequence[_Done], began_s: float) -> FinishedPart:
        files = dict(one.file for one in done if one.file is not None)
        contents = {rows.rows_name(part): rows.rows_parquet([one.row for one in done], self._form)}
        if self._form == "coco":
            entries = [one.entry for one in done if one.entry is not None]
            contents[coco.coco_name(part)] = coco.part_json(entries)
        for name, content in contents.items():
            self._storage.write(name, content, is_flushed=False)
            files[name] = len(content)
        self._storage.flush(files)  # before anything says that they are there
        finished = FinishedPart(
            index=part.index,
            digest=part.digest,
            job=self._job_digest,
            pictures=part.count,
            failures=[
                Failure(picture=one.row["picture"], kind=one.row["kind"], reason=one.row["error"])
                for one in done
                if one.row.get("error") is not None
            ],
            files=files,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            began_s=began_s,
            ended_s=time.time(),
        )
        self._storage.write(manifest_name(part), finished.to_json().encode())
        return finished


def _failed(position: int, name: str, outcome: SegmentationError | Unread) -> _Done:
    if isinstance(outcome, Unread):
        row = {"picture": name, "kind": outcome.kind, "error": outcome.reason}
        return _Done(position=position, row=row)
    is_worth_another = outcome.retryable or isinstance(outcome, TransportError)
    return _Done(
        position=position,
        row={"picture": name, "kind": type(outcome).__name__, "error": str(outcome)},
        is_worth_another=is_worth_another and not isinstance(outcome, MessageTooLargeError),
    )


def _too_large(size: int, most: int) -> Unread:
    return Unread(
        kind="ImageTooLargeError",
        reason=f"the file has {size} bytes, at most {most} are read; --max-megapixels takes more",
    )
