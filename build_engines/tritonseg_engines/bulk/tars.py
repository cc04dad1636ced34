"""The members of a tar, or an error: `tarfile` ends in silence where a header is damaged."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO

from tritonseg_engines.errors import BulkError, reason_of

BLOCK_BYTES = 1 << 20
"""Read at once while headers are looked through."""


def members_of(file: IO[bytes], name: str) -> Iterator[tarfile.TarInfo]:
    """Yield the members of an uncompressed tar.

    Args:
        file: The tar, at its beginning.
        name: What it is called in errors.

    Raises:
        BulkError: It is damaged, has no end mark, or more than zeros behind it. Members that were
            yielded before may not be all.
    """
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            yield from tar
            end = tar.offset
    except tarfile.TarError as error:
        raise BulkError(f"{name} is no tar that is whole: {reason_of(error)}") from error
    _check_end(file, end, name)


def _check_end(file: IO[bytes], end: int, name: str) -> None:
    """Refuse a tar of which reading ended at something else than its end mark.

    Source of the mark, blocks of 512 zeros: POSIX.1-2017, pax, "ustar Interchange Format". One is
    enough here, since whatever is behind it has to be zeros as well.
    """
    file.seek(end)
    mark = file.read(tarfile.BLOCKSIZE)
    if len(mark) < tarfile.BLOCKSIZE:
        raise BulkError(
            f"{name} is no tar that is whole: it ends at byte {end + len(mark)} without an end mark"
        )
    if any(mark):
        raise BulkError(f"{name} is no tar that is whole: the header at byte {end} is damaged")
    while more := file.read(BLOCK_BYTES):
        if any(more):
            raise BulkError(
                f"{name} is no tar that is whole: behind its end mark at byte {end} there is more; "
                "tars that were put together, as by cat, must be one for each"
            )
