"""What callers send: the user's pictures, or a drawn street of the model's size."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from PIL import Image

from tritonseg import load_image
from tritonseg_engines.errors import LoadTestError
from tritonseg_engines.picture_files import SUFFIXES, picture_files
from tritonseg_engines.tuning.trial import PREFIX
from tritonseg_engines.tuning.variant import Variant
from tritonseg_engines.zoo.street_demo import STREET
from tritonseg_steps.contract import NETWORK_SIZES_PARAMETER

JPEG_QUALITY: Final = 90
MOST_PICTURES: Final = 16
"""Every load sends each once before it counts, and holds all in memory, as pixels perhaps."""


@contextmanager
def pictures_or_street(variant: Variant, named: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """Yield the pictures that were found, else a street of the size that the network takes.

    Where the network leaves its size open, the street has the size at which it ships, 512x1024.

    Args:
        variant: That will get them.
        named: What `named_pictures` found.

    Raises:
        InvalidImageError: A picture that a client would refuse.
    """
    if named:
        pictures = some_of(named)
        for picture in pictures:  # what a client refuses is better refused before servers start
            load_image(picture)
        yield pictures
        return
    sizes = json.loads(
        variant.configs[variant.model].parameters[NETWORK_SIZES_PARAMETER].string_value
    )
    street = Image.fromarray(load_image(STREET))
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        size_wh = (sizes["width"] or street.width, sizes["height"] or street.height)
        path = Path(folder) / STREET.name
        street.resize(size_wh).save(path, quality=JPEG_QUALITY)
        yield (path,)


def some_of(pictures: Sequence[Path]) -> tuple[Path, ...]:
    """Return all, or `MOST_PICTURES` that are spread evenly over them."""
    count = min(len(pictures), MOST_PICTURES)
    return tuple(pictures[index * len(pictures) // count] for index in range(count))


def named_pictures(named: Sequence[Path]) -> list[Path]:
    """Return the pictures that are meant by pictures and folders.

    Raises:
        LoadTestError: A folder holds none.
        OSError: A folder cannot be read.
    """
    found: list[Path] = []
    for path in named:
        files = picture_files([path])
        if not files:
            raise LoadTestError(f"{path} holds no picture ({', '.join(SUFFIXES)})")
        found += files
    return found
