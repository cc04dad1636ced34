"""What made a class map, written into its PNG, by which a later run knows whose result it is."""

from __future__ import annotations

import io
import json
import os
import warnings
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from tritonseg import ModelInfo
from tritonseg_engines.cli.result_names import ResultFiles

KEYWORD: Final = "tritonseg"
"""Of the PNG's tEXt chunk, which readers of the pixels pass over."""


def made_by(picture: os.stat_result, model: ModelInfo, tiling: str | None) -> str:
    """Return what a result depends on: the picture's file as it was, and the build of the model.

    How it was cut into tiles as well, where it was.
    """
    cut = {} if tiling is None else {"tiling": tiling}
    return json.dumps(
        {
            "model": model.name,
            "version": model.version,
            "onnx_sha256": model.onnx_sha256,
            "precision": model.precision,
            **cut,
            "picture": {"bytes": picture.st_size, "modified_ns": picture.st_mtime_ns},
        }
    )


def class_map_png(class_map: NDArray[np.uint8], maker: str) -> bytes:
    """Return the class indices as a grey PNG with the text of `made_by`."""
    text = PngImagePlugin.PngInfo()
    text.add_text(KEYWORD, maker)
    buffer = io.BytesIO()
    Image.fromarray(class_map).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def is_done(files: ResultFiles, maker: str) -> bool:
    """Return whether all results of a picture are there, made of it by that model."""
    try:
        with _opened(files.class_map) as image:
            return image.info.get(KEYWORD) == maker and all(file.is_file() for file in files)
    except OSError:
        return False


def stored_class_map(files: ResultFiles) -> NDArray[np.uint8]:
    """Return the class map of a picture that is done: (H, W) uint8."""
    with _opened(files.class_map) as image:
        class_map: NDArray[np.uint8] = np.asarray(image)
        return class_map


def _opened(path: Path) -> Image.Image:
    with warnings.catch_warnings():
        # Of its own results a command need not be warned; larger pictures are not read at all.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path)
