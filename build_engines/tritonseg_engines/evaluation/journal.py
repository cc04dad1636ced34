"""What was counted so far, in a file, so that a run that was interrupted goes on where it was."""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final

from tritonseg_engines.errors import EvaluationError
from tritonseg_engines.evaluation.counts import ModelCounts, PictureCounts

ANEW: Final = "--overwrite begins anew"


class Journal:
    """One line for every picture, after one that says of what run.

    A process that is killed leaves whole lines and perhaps half of one, which is dropped. Every
    line's checksum is of all lines up to it, so that one that stands twice, is gone from between
    others or is another run's is as damaged as one that was edited.

    Args:
        path: The file; its folder exists.
        header: All that the counts depend on, as JSON; a journal with another is refused.
        resume: Whether to go on with what is there.

    Attributes:
        is_empty: Whether no picture is in it.

    Raises:
        EvaluationError: Another process writes it, or what is there is of another run or damaged.
        OSError: It cannot be written.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], *, resume: bool) -> None:
        self.path = path
        self._header: dict[str, Any] = json.loads(json.dumps(header))
        self.is_empty = True
        self._checksum = 0
        # Opened without being emptied: another process may be at it.
        self._file: BinaryIO = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            self._lock()
            if resume and self._holds_this_run():
                self.is_empty = not self._file.read(1)
            else:
                self._begin()
        except BaseException:
            self._file.close()
            raise

    def counted(self, class_count: int) -> Iterator[PictureCounts]:
        """Yield what was counted before, and stand ready to go on behind it.

        Args:
            class_count: Number of classes.

        Raises:
            EvaluationError: A line is damaged.
        """
        self._file.seek(0)
        self._checksum = 0
        self._document(self._file.readline(), 1)
        begin = end = self._file.tell()
        number = 1
        for line in self._file:
            number += 1
            if not line.endswith(b"\n"):
                break
            yield self._counts_of(line, number, class_count)
            end += len(line)
        self.is_empty = end == begin
        self._file.seek(end)
        self._file.truncate()

    def append(self, counts: PictureCounts) -> None:
        """Write a picture's counts, so that they outlive this process."""
        self.is_empty = False
        self._write(
            {
                "index": counts.index,
                "size_hw": list(counts.size_hw),
                "changed": list(counts.changed),
                "models": [one.to_json() for one in counts.models],
            }
        )

    def remove(self) -> None:
        """Delete the file, once its run has come to an end."""
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is not None and self.is_empty:
            self.remove()  # nothing to go on from
        # What could not be written is tried once more here; that it failed was told before.
        with suppress(OSError) if exc is not None else nullcontext():
            self._file.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EvaluationError(
                f"{self.path}: another evaluation is writing there; give another folder with -o"
            ) from None
        except OSError:  # a file system without locks
            return

    def _begin(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._checksum = 0
        self._write({"run": self._header})

    def _holds_this_run(self) -> bool:
        """Return whether there is a first line, and it is this run's."""
        line = self._file.readline()
        if not line.endswith(b"\n"):
            return False
        before = self._document(line, 1).get("run")
        if not isinstance(before, dict):
            raise self._damaged(1)
        if before != self._header:
            what, then, now = _difference("run", before, self._header)
            raise EvaluationError(
                f"{self.path}: expected a run that goes on, got one of another {what}: "
                f"{_short(then)} then, {_short(now)} now; {ANEW}"
            )
        return True

    def _counts_of(self, line: bytes, number: int, class_count: int) -> PictureCounts:
        document = self._document(line, number)
        try:
            height, width = document["size_hw"]
            return PictureCounts(
                index=int(document["index"]),
                size_hw=(int(height), int(width)),
                models=tuple(ModelCounts.from_json(one, class_count) for one in document["models"]),
                changed=tuple(map(int, document["changed"])),
            )
        except (KeyError, TypeError, ValueError, IndexError):
            raise self._damaged(number) from None

    def _write(self, document: Mapping[str, Any]) -> None:
        text = json.dumps(document, separators=(",", ":")).encode()
        self._checksum = zlib.crc32(text, self._checksum)
        try:
            self._file.write(b"%08x %s\n" % (self._checksum, text))
            self._file.flush()
        except OSError as error:  # which names no file
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def _document(self, line: bytes, number: int) -> dict[str, Any]:
        checksum, _, text = line.rstrip(b"\n").partition(b" ")
        self._checksum = zlib.crc32(text, self._checksum)
        if checksum != b"%08x" % self._checksum:
            raise self._damaged(number)
        document: dict[str, Any] = json.loads(text)
        return document

    def _damaged(self, number: int) -> EvaluationError:
        return EvaluationError(
            f"{self.path}: line {number} is damaged, so nothing can go on from it; {ANEW}"
        )


def _difference(name: str, then: object, now: object) -> tuple[str, object, object]:
    """Return the innermost that differs first, by its name."""
    if isinstance(then, dict) and isinstance(now, dict):
        key = next(key for key in [*now, *then] if then.get(key) != now.get(key))
        return _difference(key, then.get(key), now.get(key))
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = zip(then, now, strict=True)
        return next(_difference(name, *pair) for pair in pairs if pair[0] != pair[1])
    return name, then, now


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
