"""The listing of all pictures, and the parts that it is worked on in.

The listing is one file, a line for each picture, written when a job begins and never again. A part
is a range of its bytes, so that a worker reads its own pictures and no others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tritonseg_engines.errors import BulkError

LONGEST_NAME: Final = 240
"""Bytes of one component, with room for a suffix. Source: NAME_MAX of Linux, 255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture, before anything of it is read.

    Attributes:
        name: What it is called in the results; no two have the same.
        file: The file that holds it, below the source.
        stamp: What changes when that file does.
        offset: Where in the file it is: byte of a tar, row of a Parquet file, 0 of a file alone.
        size: Bytes; 0 where only reading tells.
    """

    name: str
    file: str
    stamp: str
    offset: int
    size: int

    def line(self) -> bytes:
        """Return it as a line of the listing."""
        fields = [self.name, self.file, self.stamp, self.offset, self.size]
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Picture:
        """Return the picture of a line."""
        name, file, stamp, offset, size = json.loads(line)
        return cls(name=name, file=file, stamp=stamp, offset=offset, size=size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some pictures that follow each other in the listing.

    Attributes:
        index: Its number, counted from 0.
        first: The first picture's number in the listing, counted from 0.
        count: Pictures.
        start: Its first byte in the listing.
        end: The byte behind its last.
        digest: SHA-256 of those bytes, in hex.
    """

    index: int
    first: int
    count: int
    start: int
    end: int
    digest: str

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"part-{self.index:06}"

    def pictures(self, content: bytes) -> list[Picture]:
        """Return its pictures out of its bytes of the listing.

        Raises:
            BulkError: Those are not the bytes that it was cut from.
        """
        if hashlib.sha256(content).hexdigest() != self.digest:
            raise BulkError(
                f"the listing has changed in {self.name} since the job began: begin in an empty "
                "folder"
            )
        return [Picture.of_line(line) for line in content.splitlines(keepends=True)]


def listing_of(pictures: Iterable[Picture]) -> bytes:
    """Return the listing, in order of names.

    Raises:
        BulkError: Results cannot be named as pictures are, or as two of them.
    """
    ordered = sorted(pictures, key=lambda picture: picture.name)
    _check_names([picture.name for picture in ordered])
    return b"".join(picture.line() for picture in ordered)


def parts_of(listing: bytes, size: int) -> Iterator[Part]:
    """Yield the parts of a listing, of `size` pictures each; the last may have fewer."""
    start = first = index = 0
    lines = listing.splitlines(keepends=True)
    while first < len(lines):
        content = b"".join(lines[first : first + size])
        count = min(size, len(lines) - first)
        yield Part(
            index=index,
            first=first,
            count=count,
            start=start,
            end=start + len(content),
            digest=hashlib.sha256(content).hexdigest(),
        )
        start, first, index = start + len(content), first + count, index + 1


def changes(before: bytes, after: bytes) -> str:
    """Return in one line what differs between two listings of one source."""
    was, now = (
        {picture.name: picture for picture in map(Picture.of_line, listing.splitlines())}
        for listing in (before, after)
    )
    kinds = {
        "new": [name for name in now if name not in was],
        "gone": [name for name in was if name not in now],
        "changed": [name for name in was if name in now and was[name] != now[name]],
    }
    return ", ".join(
        f"{len(names)} {kind} ({names[0]}{', ...' if names[1:] else ''})"
        for kind, names in kinds.items()
        if names
    )


def _check_names(names: Sequence[str]) -> None:
    """Refuse names that would lead out of the results, or two to one file."""
    seen = set(names)
    if len(seen) < len(names):
        twice = next(one for one, other in pairwise(names) if one == other)
        raise BulkError(f"two pictures are named {twice!r}: names must differ, results go by them")
    for name in names:
        steps = name.split("/")
        if not all(map(_can_name, steps)):
            raise BulkError(
                f"{name!r} cannot name a result: steps between '/' must be UTF-8 without control "
                f"characters, of 1 to {LONGEST_NAME} bytes, and none '.' or '..'"
            )
        for end in range(1, len(steps)):
            folder = "/".join(steps[:end])
            if folder.endswith(".png") and folder[: -len(".png")] in seen:
                raise BulkError(f"{name!r} lies in a folder that has the name of a result")


def _can_name(step: str) -> bool:
    try:
        length = len(step.encode())
    except UnicodeEncodeError:  # bytes of a file system that are no UTF-8
        return False
    is_plain = all(character >= " " for character in step)
    return is_plain and 1 <= length <= LONGEST_NAME and step not in (".", "..")
