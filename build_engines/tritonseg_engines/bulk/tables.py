"""Parquet files with a column of encoded pictures: bytes, or a struct of Hugging Face's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import pyarrow as arrow
import pyarrow.parquet as parquet

from tritonseg_engines.bulk.parts import Picture
from tritonseg_engines.bulk.sources import (
    Read,
    Unread,
    changed,
    files_beside,
    links_left_out,
    unread,
)
from tritonseg_engines.bulk.storage import Storage, stamp_of
from tritonseg_engines.errors import BulkError, reason_of

ROWS_AT_ONCE: Final = 64
"""Pictures in memory beside those that are on their way."""


class TableSource:
    """Pictures in one Parquet file, or in all in and below a folder.

    Args:
        url: The file or folder.
        column: The pictures'; None where one column alone can be that.
        names: The column of their names; None for file and row.
        results: Where results go, which are no tables of pictures even if they lie within.
    """

    def __init__(
        self,
        url: str,
        *,
        column: str | None = None,
        names: str | None = None,
        results: str | None = None,
    ) -> None:
        folder, _, file = url.rpartition("/")
        self._one = file if file.lower().endswith(".parquet") else None
        self._storage = Storage(folder if self._one else url)
        self._column, self._naming, self._results = column, names, results

    def pictures(self) -> Iterator[Picture]:
        """Yield all there are, by file and row or by their keys.

        Raises:
            BulkError: A file is broken, or has no such column.
            OSError: A file cannot be read.
        """
        for file in sorted(self._files()):
            stamp = stamp_of(self._storage.about(file))
            try:
                names = self._names(file)
            except arrow.ArrowException as error:
                raise BulkError(f"{file} is no Parquet file: {reason_of(error)}") from error
            for row, name in enumerate(names):
                yield Picture(name=name, file=file, stamp=stamp, offset=row, size=0)

    def contents(self, pictures: Sequence[Picture]) -> Iterator[tuple[int, Read]]:
        """Yield each one's position and what has its bytes; each file is read once, as one goes."""
        wanted: dict[str, dict[int, int]] = defaultdict(dict)
        for position, picture in enumerate(pictures):
            wanted[picture.file][picture.offset] = position
        for file, rows in wanted.items():
            stamp = pictures[next(iter(rows.values()))].stamp
            left = dict(rows)
            reason = changed(file)  # or of rows that are not there any more
            try:
                # Before, as what changed may be no table, and after each read, if meanwhile.
                rows_at_once = self._rows(file, rows) if self._is_as_listed(file, stamp) else ()
                for found in rows_at_once:
                    if not self._is_as_listed(file, stamp):
                        break
                    for row, content in found:
                        yield left.pop(row), partial(_as_it_is, content)
            except Exception as error:  # noqa: BLE001 - object stores have errors of their own
                reason = unread(error)
            for position in left.values():
                yield position, partial(_as_it_is, reason)

    def left_out(self) -> list[str]:
        """Return a line for each link astray; a row without a picture is one that fails."""
        return [] if self._one else links_left_out(self._storage, self._results)

    def _is_as_listed(self, file: str, stamp: str) -> bool:
        return stamp_of(self._storage.about(file)) == stamp

    def _files(self) -> list[str]:
        if self._one is not None:
            return [self._one]
        files = files_beside(self._storage, self._results)
        return [name for name in files if name.lower().endswith(".parquet")]

    def _names(self, file: str) -> list[str]:
        with self._storage.fs.open(self._storage.path(file), "rb") as opened:
            table = parquet.ParquetFile(opened)
            schema = table.schema_arrow
            self._picture_column(file, schema)
            if self._naming is None:
                return [f"{file}/{row:09}" for row in range(table.metadata.num_rows)]
            if self._naming not in schema.names:
                raise _no_column(file, self._naming, schema)
            keys = table.read(columns=[self._naming]).column(0).to_pylist()
        if any(key is None or key == "" for key in keys):
            raise BulkError(f"{file}: column {self._naming!r} has a row without a name")
        return [str(key) for key in keys]

    def _rows(self, file: str, rows: dict[int, int]) -> Iterator[list[tuple[int, bytes | Unread]]]:
        """Yield the wanted rows, as many at once as are read at once."""
        with self._storage.fs.open(self._storage.path(file), "rb") as opened:
            table = parquet.ParquetFile(opened)
            column = self._picture_column(file, table.schema_arrow)
            first = 0
            for group in range(table.num_row_groups):
                count = table.metadata.row_group(group).num_rows
                if any(first <= row < first + count for row in rows):
                    row = first
                    batches = table.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[column])
                    for batch in batches:
                        yield [
                            (row + offset, _bytes_of(batch.column(0)[offset].as_py()))
                            for offset in range(batch.num_rows)
                            if row + offset in rows
                        ]
                        row += batch.num_rows
                first += count

    def _picture_column(self, file: str, schema: arrow.Schema) -> str:
        """Return the name of the column, and refuse a file without it."""
        able = [field.name for field in schema if _holds_bytes(field.type)]
        if self._column is not None:
            if self._column not in schema.names:
                raise _no_column(file, self._column, schema)
            if self._column not in able:
                raise BulkError(
                    f"{file}: column {self._column!r} is of {schema.field(self._column).type}; "
                    "expected the bytes of picture files, or a struct with them as 'bytes'"
                )
            return self._column
        if len(able) != 1:
            found = ", ".join(able) or f"none of {', '.join(schema.names)}"
            raise BulkError(
                f"{file}: which column has the pictures? Give --field; of bytes are: {found}"
            )
        return str(able[0])


def _holds_bytes(kind: Any) -> bool:
    if arrow.types.is_struct(kind):
        names = [kind.field(index).name for index in range(kind.num_fields)]
        return "bytes" in names and _holds_bytes(kind.field(names.index("bytes")).type)
    return bool(arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind))


def _bytes_of(value: Any) -> bytes | Unread:
    content = value.get("bytes") if isinstance(value, dict) else value
    return Unread(kind="ReadError", reason="the row has no picture") if content is None else content


def _as_it_is(content: bytes | Unread) -> bytes | Unread:
    return content


def _no_column(file: str, name: str, schema: arrow.Schema) -> BulkError:
    return BulkError(f"{file} has no column {name!r}; it has {', '.join(schema.names)}")
