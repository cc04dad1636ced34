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
from tritonseg_engines.tuning.trial import PREFIX
from tritonseg_engines.tuning.variant import Variant
from tritonseg_engines.zoo.street_demo import STREET
from tritonseg_steps.contract import NETWORK_SIZES_PARAMETER

JPEG_QUALITY: Final = 90


@contextmanager
def pictures_or_street(variant: Variant, pictures: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """Yield the pictures if there are some, else a street of the size that the network takes.

    Where the network leaves its size open, the street has the size at which it ships, 512x1024.

    Raises:
        InvalidImageError: A picture that a client would refuse.
    """
    if pictures:
        for picture in pictures:  # what a client refuses is better refused before servers start
            load_image(picture)
        yield tuple(pictures)
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
