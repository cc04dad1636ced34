"""Pictures for bulk jobs, whose right masks are known by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from red_model import red_picture


def write_pictures(folder: Path, count: int) -> Path:
    """Write pictures of numbers into two folders; the right mask of each is its red channel."""
    for number in range(count):
        path = folder / f"{'ab'[number % 2]}" / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(red_picture(number)).save(path)
    return folder


def right_mask(name: str) -> np.ndarray:
    """Return the (H, W) uint8 mask of a picture of `write_pictures`, by its name."""
    return red_picture(int(Path(name).name.partition(".")[0]))[..., 0]


def rows_of(results: Path) -> dict[str, dict[str, Any]]:
    """Read all rows, of which no picture may have two."""
    import pyarrow.dataset as dataset

    rows = dataset.dataset(results / "pictures", format="parquet").to_table().to_pylist()
    named = {row["picture"]: row for row in rows}
    assert len(named) == len(rows)
    return named
