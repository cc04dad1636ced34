"""Pictures as input data for NVIDIA's perf_analyzer, which draws random pixels without any.

Source: docs/input_data.md of triton-inference-server/perf_analyzer: a list of steps, each with its
tensors' bytes in base64 and their shape without the batch axis. An input that a step lacks is not
sent, which is what models with two inputs need, of which a request brings one.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from tritonseg import UnsupportedImageError, load_image
from tritonseg_engines.atomic import replaced_file
from tritonseg_steps.contract import ENCODED_IMAGE, IMAGE
from tritonseg_steps.encoded_image import EncodedImageError, decode_rgb

Transport: TypeAlias = Literal["raw", "encoded"]

_LENGTH: Final = struct.Struct("<I")
"""In front of every element of a BYTES tensor; source: the KServe protocol's binary data.

Without it perf_analyzer takes a file's first four bytes for the length, as in "expecting string of
length 3774863615", which are a JPEG's.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class PerfInput:
    """What was written.

    Attributes:
        pictures: How many.
        byte_count: Of the file.
    """

    pictures: int
    byte_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SentPicture:
    """One picture as a request carries it.

    Attributes:
        tensor: IMAGE or ENCODED_IMAGE.
        content: The tensor's bytes; those of a file have their length in front.
        shape: Of the tensor, without the batch axis.
        size_hw: Height and width of the picture as displayed, in pixels, which its mask has.
    """

    tensor: str
    content: bytes
    shape: tuple[int, ...]
    size_hw: tuple[int, int]


def write_perf_input(
    pictures: Sequence[Path],
    output: Path,
    *,
    transport: Transport = "raw",
    on_picture: Callable[[Path], object] = lambda _picture: None,
) -> PerfInput:
    """Write one step a picture; one picture at a time is in memory.

    Args:
        pictures: Files, read exactly as `SegmentationClient.segment` reads them.
        output: The JSON file, which is there whole or not at all.
        transport: "raw" writes IMAGE, 4 bytes a pixel once in base64. "encoded" writes the files as
            ENCODED_IMAGE, a third larger than they are.
        on_picture: Called with each picture once it was read.

    Raises:
        InvalidImageError: A picture that a client would refuse or, with "encoded", a server.
        OSError: The file cannot be written.
    """
    with replaced_file(output) as file:
        file.write(b'{"data": [')
        for position, picture in enumerate(pictures):
            sent = read_sent_picture(picture, transport=transport)
            on_picture(picture)
            step = {sent.tensor: _tensor(sent.content, sent.shape)}
            file.write(b",\n" if position else b"\n")
            file.write(json.dumps(step).encode())
        file.write(b"\n]}\n")
        return PerfInput(pictures=len(pictures), byte_count=file.tell())


def read_sent_picture(picture: Path, *, transport: Transport) -> SentPicture:
    """Read a picture as `SegmentationClient.segment` does, as what is sent of it.

    Raises:
        InvalidImageError: A client would refuse it or, with "encoded", a server.
    """
    image_hwc = load_image(picture)  # what the client refuses is refused in its words
    height, width, _channels = image_hwc.shape
    if transport == "raw":
        return SentPicture(
            tensor=IMAGE,
            content=image_hwc.tobytes(),
            shape=image_hwc.shape,
            size_hw=(height, width),
        )
    encoded = picture.read_bytes()
    try:
        decode_rgb(encoded)
    except EncodedImageError as error:
        raise UnsupportedImageError(
            f"image file '{picture}': servers do not decode it ({error}); write its pixels, with "
            "--transport raw"
        ) from error
    return SentPicture(
        tensor=ENCODED_IMAGE,
        content=_LENGTH.pack(len(encoded)) + encoded,
        shape=(1,),
        size_hw=(height, width),
    )


def _tensor(content: bytes, shape: Sequence[int]) -> Mapping[str, object]:
    return {"content": {"b64": base64.b64encode(content).decode()}, "shape": list(shape)}
