"""What `tritonseg segment` does with its pictures once it is known where results go."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal

import click
from PIL import Image

from tritonseg import (
    AccessDeniedError,
    ClassMap,
    ClientClosedError,
    ConfigurationError,
    ConnectError,
    ModelInfo,
    ModelNotFoundError,
    ModelNotReadyError,
    ProtocolError,
    Segmentation,
    SegmentationClient,
    SegmentationError,
)
from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.cli.made_by import class_map_png, is_done, made_by, stored_class_map
from tritonseg_engines.cli.progress_bars import progress_bars
from tritonseg_engines.cli.result_names import ResultFiles
from tritonseg_engines.coco_file import coco_file

JPEG_QUALITY = 92
SEGMENTING: Final = "segmenting"
NAMED_FAILURES: Final = 10
"""In the last line; each has had a line of its own before."""
OF_THE_SERVER: Final = (
    AccessDeniedError, ClientClosedError, ConfigurationError, ConnectError, ModelNotFoundError,
    ModelNotReadyError, ProtocolError,
)  # fmt: skip
"""What the next picture would meet as well."""


def left_to_do(
    planned: Mapping[Path, ResultFiles], model: ModelInfo, tiling: str | None
) -> Mapping[Path, ResultFiles]:
    """Return the pictures that have no results of this model and of what they are now."""
    left = {
        image: files
        for image, files in planned.items()
        if not is_done(files, made_by(image.stat(), model, tiling))
    }
    click.echo(f"{len(planned) - len(left)} of {len(planned)} pictures are done", err=True)
    return left


def segment_all(
    client: SegmentationClient,
    planned: Mapping[Path, ResultFiles],
    max_in_flight: int,
    tiling: Literal["auto"] | None,
    *,
    as_json: bool,
) -> list[Path]:
    """Segment pictures, write and print what comes; return those that failed, which stop no other.

    Raises:
        SegmentationError: The server is to blame, or the only picture failed.
    """
    seen = {image: image.stat() for image in planned}
    failed: list[Path] = []
    with progress_bars() as progress:
        outcomes = client.segment_many(planned, max_in_flight=max_in_flight, tiling=tiling)
        for done, (image, outcome) in enumerate(outcomes):
            with progress.aside():
                try:
                    _write(image, seen[image], outcome, planned[image], as_json=as_json)
                except SegmentationError as error:
                    if as_json:
                        click.echo(json.dumps(_failure(image, error)))
                    if len(planned) == 1 or isinstance(error, OF_THE_SERVER):
                        if done:
                            told = f"{done} of {len(planned)} are done; --resume goes on"
                            click.echo(told, err=True)
                        raise
                    message = str(error)
                    named = message if str(image) in message else f"{image}: {message}"
                    click.echo(named, err=True)
                    failed.append(image)
            progress(SEGMENTING, done + 1, len(planned))
    return failed


def some_failed(failed: Sequence[object], *, of: int) -> click.ClickException:
    """Return what a command ends with that did not come to an end with all pictures."""
    named = ", ".join(map(str, failed[:NAMED_FAILURES]))
    more = ", ..." if len(failed) > NAMED_FAILURES else ""
    return click.ClickException(
        f"{len(failed)} of {of} pictures could not be segmented: {named}{more}"
    )


def write_coco(
    path: Path, planned: Mapping[Path, ResultFiles], model: ModelInfo, tiling: str | None
) -> None:
    """Write a COCO data set of all pictures that have results of this model.

    Args:
        path: The file, which is replaced if it is there.
        planned: Where each picture's results are; pictures are numbered in its order.
        model: What made them.
        tiling: How they were cut.
    """
    with written_in(path.parent), coco_file(path, model.classes) as data_set:
        for image, files in planned.items():
            if is_done(files, made_by(image.stat(), model, tiling)):
                data_set.add(image, ClassMap(class_map=stored_class_map(files), model=model))


def _write(
    image: Path,
    seen: os.stat_result,
    outcome: Segmentation | SegmentationError,
    files: ResultFiles,
    *,
    as_json: bool,
) -> None:
    """Write and print what became of a picture.

    Raises:
        SegmentationError: It could not be segmented, or is no picture to Pillow here.
    """
    if isinstance(outcome, SegmentationError):
        raise outcome
    overlay = outcome.overlay()
    with written_in(files.class_map.parent):
        files.class_map.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(files.color_map, _encoded(outcome.color_map(), "PNG"))
        write_atomically(files.overlay, _encoded(overlay, "JPEG", quality=JPEG_QUALITY))
        # At last, because it says that the picture is done.
        maker = made_by(seen, outcome.model, None if outcome.tiling is None else "auto")
        write_atomically(files.class_map, class_map_png(outcome.class_map, maker))
    if as_json:
        written = {name: str(path) for name, path in asdict(files).items()}
        click.echo(json.dumps({"image": str(image), **outcome.to_dict(), **written}))
    else:
        click.echo(f"{image}: {describe(outcome.coverage)}")
    if outcome.tiling is not None and outcome.tiling.reason is not None:
        told = f"{image}: in {outcome.tiling.tile_count} tiles, which may differ from the whole"
        click.echo(f"{told}: {outcome.tiling.reason}", err=True)


def _failure(image: Path, error: SegmentationError) -> dict[str, str]:
    return {"image": str(image), "error": str(error), "kind": type(error).__name__}


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@contextmanager
def written_in(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into one line."""
    try:
        yield
    except OSError as error:
        advice = "give another folder with -o"
        if error.errno == errno.ENAMETOOLONG:
            advice = "give the picture a shorter name"
        raise click.ClickException(
            f"{folder}: results cannot be written there: {error.strerror or error}; {advice}"
        ) from error


def describe(coverage: Mapping[str, float], most: int = 5) -> str:
    """Return the largest classes as text, e.g. "road 41.0 %, building 22.3 %"."""
    largest = sorted(coverage.items(), key=lambda entry: -entry[1])[:most]
    return ", ".join(f"{name} {share:.1%}" for name, share in largest if share > 0)
