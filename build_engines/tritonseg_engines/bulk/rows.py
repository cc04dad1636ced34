"""A row for each picture, in a Parquet file for each part."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as arrow
import pyarrow.parquet as parquet

from tritonseg import Segmentation
from tritonseg_engines.bulk.job import Form
from tritonseg_engines.bulk.parts import Part

FOLDER: Final = "pictures"

SEGMENTS: Final = arrow.list_(
    arrow.struct(
        [
            ("index", arrow.int16()),
            ("class", arrow.string()),
            ("area", arrow.int64()),
            ("counts", arrow.string()),
        ]
    )
)
_BEFORE: Final = [("picture", arrow.string()), ("height", arrow.int32()), ("width", arrow.int32())]
_AFTER: Final = [("note", arrow.string()), ("kind", arrow.string()), ("error", arrow.string())]
_OF_FORM: Final[Mapping[Form, list[tuple[str, arrow.DataType]]]] = {
    "png": [("mask", arrow.string())],
    "rle": [("segments", SEGMENTS)],
    "coco": [("image_id", arrow.int64())],
}


def rows_name(part: Part) -> str:
    """Return the file of a part's rows."""
    return f"{FOLDER}/{part.name}.parquet"


def schema_of(form: Form) -> arrow.Schema:
    """Return the columns of a form; what a picture has not is null."""
    return arrow.schema([*_BEFORE, *_OF_FORM[form], *_AFTER])


def rows_parquet(rows: Sequence[Mapping[str, Any]], form: Form) -> bytes:
    """Return rows as a file."""
    buffer = io.BytesIO()
    parquet.write_table(
        arrow.Table.from_pylist(rows, schema=schema_of(form)), buffer, compression="zstd"
    )
    return buffer.getvalue()


def segments_of(result: Segmentation) -> list[dict[str, Any]]:
    """Return the run lengths of every class that is present, as pycocotools reads them."""
    counts = result.pixel_counts
    return [
        {
            "index": result.classes.index(name),
            "class": name,
            "area": counts[name],
            "counts": runs["counts"],
        }
        for name, runs in result.to_rle().items()
    ]
