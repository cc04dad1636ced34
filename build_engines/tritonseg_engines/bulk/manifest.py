"""Which parts are finished: a file for each, written when all else of it is there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from tritonseg_engines.bulk.parts import Part
from tritonseg_engines.bulk.storage import Storage

FOLDER: Final = "parts"
THREADS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A picture that has no mask.

    Attributes:
        picture: Its name.
        kind: The error's class.
        reason: The error's words.
    """

    picture: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedPart:
    """What became of one part.

    Attributes:
        index: The part's number.
        digest: The part's digest.
        job: The job's digest.
        pictures: How many it has.
        failures: Those without a mask.
        files: Bytes of all files of its results, by name.
        worker: Who did it, as HOST:PID.
        began_s: When, in seconds since 1970.
        ended_s: When it was finished, likewise.
    """

    index: int
    digest: str
    job: str
    pictures: int
    failures: Sequence[Failure]
    files: Mapping[str, int]
    worker: str
    began_s: float
    ended_s: float

    def to_json(self) -> str:
        """Return it as its file has it."""
        return json.dumps(asdict(self))

    def without_files(self) -> FinishedPart:
        """Return it as it is kept of all parts, since names of millions of files are not small."""
        return replace(self, files={})

    @classmethod
    def of_json(cls, text: str | bytes) -> FinishedPart:
        """Return what `to_json` was called on.

        Raises:
            ValueError: It is something else.
        """
        try:
            document = json.loads(text)
            failures = tuple(Failure(**failure) for failure in document.pop("failures"))
            return cls(failures=failures, **document)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(str(error)) from error


def manifest_name(part: Part) -> str:
    """Return the file that says that a part is finished."""
    return f"{FOLDER}/{part.name}.json"


def finished_parts(storage: Storage, job: str, parts: Iterable[Part]) -> dict[int, FinishedPart]:
    """Return the parts of a job that are finished, and whose files are all there, by number.

    Args:
        storage: Of the results.
        job: The job's digest.
        parts: All of the job's.

    Raises:
        OSError: The folder cannot be read; object stores have errors of their own.
    """
    files = storage.files()
    named = [part for part in parts if manifest_name(part) in files]

    def read(part: Part) -> FinishedPart | None:
        try:
            finished = FinishedPart.of_json(storage.read(manifest_name(part)))
        except ValueError:
            return None
        is_this = (finished.index, finished.digest, finished.job) == (part.index, part.digest, job)
        if not is_this or not _are_there(finished.files, files):
            return None
        return finished.without_files()

    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(read, named)
        return {finished.index: finished for finished in found if finished is not None}


def _are_there(wanted: Mapping[str, int], files: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(name in files and files[name]["size"] == size for name, size in wanted.items())
