"""What the client costs on top of bare tritonclient that sends the same tensor.

A network that costs hardly anything, so that a client shows. Both clients take turns; what either
does with a picture is all that is between a source and its class map. A transport is one entry of
`TRANSPORTS`: what both are given, and the bare call.
"""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import tritonclient.grpc as triton
import tritonclient.utils.shared_memory as regions
from numpy.typing import NDArray
from pace import Pace, latencies_ms
from PIL import Image
from results import markdown_table

from demo_model.scenes import draw_scene
from tiny_models import SIZE_HW, TinyModel, tiny_spec
from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_steps.resize_policy import FitPad

SIZES_HW: Final = {"0.5": (608, 832), "2": (1216, 1664), "8": (2432, 3328)}
"""By megapixels."""
TIMEOUT_S: Final = 60.0
JPEG_QUALITY: Final = 90

Pixels = NDArray[np.uint8]
Segment = Callable[[], Pixels]


@dataclass(frozen=True, kw_only=True, slots=True)
class Transport:
    """A way that pictures travel.

    Attributes:
        name: The client's `transport`.
        source: What both are given, of a picture (H, W, 3).
        bare: The class map of a source through tritonclient alone.
    """

    name: str
    source: Callable[[Pixels], Any]
    bare: Callable[[triton.InferenceServerClient, Any], Pixels]


def jpeg(image_hwc: Pixels) -> bytes:
    """Return a picture as a file."""
    file = io.BytesIO()
    Image.fromarray(image_hwc).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def bare_pixels(client: triton.InferenceServerClient, image_hwc: Pixels) -> Pixels:
    """Ask tritonclient with pixels."""
    tensor = triton.InferInput("IMAGE", [1, *image_hwc.shape], "UINT8")
    tensor.set_data_from_numpy(image_hwc[None])
    return _class_map(client, tensor)


def bare_decoded(client: triton.InferenceServerClient, file: bytes) -> Pixels:
    """Ask tritonclient with the pixels of a file, as Pillow has them."""
    return bare_pixels(client, np.asarray(Image.open(io.BytesIO(file)).convert("RGB")))


def bare_file(client: triton.InferenceServerClient, file: bytes) -> Pixels:
    """Ask tritonclient with a file."""
    tensor = triton.InferInput("ENCODED_IMAGE", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[file]], object))
    return _class_map(client, tensor)


def bare_shared(client: triton.InferenceServerClient, image_hwc: Pixels) -> Pixels:
    """Ask tritonclient with pixels in memory that the server maps, made at the first call."""
    name = f"bare-{image_hwc.nbytes}"
    region = _REGIONS.get(name)
    if region is None:
        region = regions.create_shared_memory_region(name, f"/{name}", image_hwc.nbytes)
        client.register_system_shared_memory(name, f"/{name}", image_hwc.nbytes)
        _REGIONS[name] = region
    regions.set_shared_memory_region(region, [image_hwc])
    tensor = triton.InferInput("IMAGE", [1, *image_hwc.shape], "UINT8")
    tensor.set_shared_memory(name, image_hwc.nbytes)
    return _class_map(client, tensor)


TRANSPORTS: Final = {
    "pixels": Transport(name="raw", source=lambda image_hwc: image_hwc, bare=bare_pixels),
    "a JPEG, decoded here": Transport(name="raw", source=jpeg, bare=bare_decoded),
    "a JPEG as it is": Transport(name="encoded", source=jpeg, bare=bare_file),
    "pixels, shared memory": Transport(
        name="shared_memory", source=lambda image_hwc: image_hwc, bare=bare_shared
    ),
}
_REGIONS: Final[dict[str, Any]] = {}
"""Of `bare_shared`, until the measurement ends."""


def measure(folder: Path, pace: Pace) -> list[dict[str, Any]]:
    """Return, by transport and size, medians in ms of both and of the ratio in each turn."""
    config = ServerConfig(repositories=(_build(folder),), allowed_apis=("shared-memory",))
    with (
        TritonServer(config) as server,
        triton.InferenceServerClient(server.grpc_url) as bare,
    ):
        try:
            return [
                {
                    "source": source,
                    "megapixels": size,
                    **_cell(server.grpc_url, bare, one, size, pace),
                }
                for source, one in TRANSPORTS.items()
                for size in SIZES_HW
            ]
        finally:
            while _REGIONS:
                regions.destroy_shared_memory_region(_REGIONS.popitem()[1])


def _cell(
    url: str, bare: triton.InferenceServerClient, transport: Transport, size: str, pace: Pace
) -> dict[str, float]:
    height, width = SIZES_HW[size]
    source = transport.source(draw_scene(3, height=height, width=width).image_hwc)
    with ExitStack() as stack:
        client = stack.enter_context(
            SegmentationClient(url, model="tiny", transport=transport.name, timeout_s=TIMEOUT_S)
        )
        calls: dict[str, Segment] = {
            "client": lambda: client.segment(source).class_map,
            "bare": lambda: transport.bare(bare, source),
        }
        ours, theirs = (call() for call in calls.values())
        if not np.array_equal(ours, theirs):
            raise RuntimeError("the two have different masks, so one of them sends something else")
        times = latencies_ms(calls, pace)
    ratios = [ours / theirs for ours, theirs in zip(times["client"], times["bare"], strict=True)]
    return {
        "client_ms": statistics.median(times["client"]),
        "bare_ms": statistics.median(times["bare"]),
        "ratio": statistics.median(ratios),
    }


def table(cells: list[dict[str, Any]]) -> str:
    """Return a row for every transport and size."""
    header = ["source, megapixels", "tritonclient, ms", "client, ms", "more, ms", "ratio"]
    rows = [
        [
            f"{cell['source']}, {cell['megapixels']}",
            f"{cell['bare_ms']:.1f}",
            f"{cell['client_ms']:.1f}",
            f"{cell['client_ms'] - cell['bare_ms']:+.1f}",
            f"{cell['ratio']:.2f}",
        ]
        for cell in cells
    ]
    return markdown_table(header, rows)


def _class_map(client: triton.InferenceServerClient, tensor: triton.InferInput) -> Pixels:
    outputs = [triton.InferRequestedOutput("CLASS_MAP")]
    answer = client.infer("tiny", [tensor], outputs=outputs, client_timeout=TIMEOUT_S)
    class_map: Pixels = answer.as_numpy("CLASS_MAP")[0]
    return class_map


def _build(folder: Path) -> Path:
    onnx.save(TinyModel().model(), folder / "tiny.onnx")
    spec = tiny_spec()
    fit = FitPad(height=SIZE_HW[0], width=SIZE_HW[1])
    spec = replace(spec, preprocessing=replace(spec.preprocessing, resize=fit))
    build_model(spec, folder / "tiny.onnx", folder / "repository", layout="single")
    return folder / "repository"
