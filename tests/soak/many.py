"""`segment_many` on photographs against the best that a closed loop gets from the same server."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import psutil
import tritonclient.grpc as triton
from cases import small_demo
from figures import KINDS, Figure
from PIL import Image

from demo_model.scenes import draw_scene
from tritonseg import AsyncSegmentationClient, SegmentationClient, load_image
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer

MODEL = "street-demo"
IN_FLIGHT = 8
LEAST_RATIO = 0.95
MAX_GROWTH_MIB = 8
Pair: TypeAlias = tuple[Callable[[], None], Callable[[], None]]
"""`segment_many`, and the closed loop."""
_PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """Pictures a second of both, one after the other."""

    many: float
    loop: float


def measure(folder: Path, *, photographs: int = 2_000, rounds: int = 20) -> list[Figure]:
    """Return figures for each client."""
    export, spec = small_demo(folder)
    repository = folder / "many"
    build_model(spec, export, repository, layout="single")
    files = _photographs(folder)
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        return [
            figure
            for kind in KINDS
            for figure in _figures(kind, server.grpc_url, files, photographs, rounds)
        ]


def _figures(
    kind: str, url: str, files: Sequence[Path], photographs: int, rounds: int
) -> list[Figure]:
    chosen = [files[index % len(files)] for index in range(photographs // rounds)]
    pictures = [load_image(path) for path in chosen]
    segment_all = {"threads": _in_threads, "asyncio": _in_tasks}[kind]
    pairs: dict[str, Pair] = {
        "files; Pillow decodes for the loop": (
            lambda: segment_all(url, chosen),
            lambda: _closed_loop(url, chosen, _decoded),
        ),
        "decoded pictures": (
            lambda: segment_all(url, pictures),
            lambda: _closed_loop(url, pictures, np.asarray),
        ),
    }
    for calls in (*pairs.values(), *pairs.values()):
        calls[0]()
    peaks_mib: list[float] = []
    turns = dict(zip(pairs, (rounds, rounds // 2), strict=True))
    figures = [
        _figure(
            kind,
            source,
            _rounds(calls, len(chosen), turns[source], peaks_mib),
            turns[source] * len(chosen),
        )
        for source, calls in pairs.items()
    ]
    growth_mib = statistics.median(peaks_mib[-3:]) - statistics.median(peaks_mib[:3])
    memory = Figure(
        what=f"memory from the first {len(chosen)} to the last of {len(peaks_mib) * len(chosen)}",
        kind=kind,
        found=f"{growth_mib:+.1f} MiB",
        limit=f"+{MAX_GROWTH_MIB} MiB",
        is_kept=growth_mib <= MAX_GROWTH_MIB,
    )
    return [*figures, memory]


def _rounds(calls: Pair, pictures: int, rounds: int, peaks_mib: list[float]) -> list[Round]:
    """Measure both in turns, in the order A B, B A, ..."""
    found = []
    for turn in range(rounds):
        order = (0, 1) if turn % 2 else (1, 0)
        rates = {index: _rate(calls[index], pictures) for index in order}
        found.append(Round(many=rates[0], loop=rates[1]))
        gc.collect()
        peaks_mib.append(psutil.Process().memory_info().rss / 2**20)
    return found


def _figure(kind: str, source: str, found: list[Round], photographs: int) -> Figure:
    ratio = statistics.median(one.many / one.loop for one in found)
    many, loop = (
        statistics.median(getattr(one, name) for one in found) for name in ("many", "loop")
    )
    return Figure(
        what=f"segment_many, {photographs} photographs, {IN_FLIGHT} in flight: a second, to those "
        f"of bare tritonclient in a closed loop; {source}",
        kind=kind,
        found=f"{many:.1f} / {loop:.1f} = {ratio:.3f}",
        limit=f"{LEAST_RATIO}",
        is_kept=ratio >= LEAST_RATIO,
    )


def _in_threads(url: str, files: Sequence[Any]) -> None:
    with SegmentationClient(url, model=MODEL) as client:
        for _ in client.segment_many(files, max_in_flight=IN_FLIGHT, on_error="raise"):
            pass


def _in_tasks(url: str, files: Sequence[Any]) -> None:
    async def all_of_them() -> None:
        async with AsyncSegmentationClient(url, model=MODEL) as client:
            async for _ in client.segment_many(files, max_in_flight=IN_FLIGHT, on_error="raise"):
                pass

    asyncio.run(all_of_them())


def _closed_loop(url: str, sources: Sequence[Any], decoded: Callable[[Any], np.ndarray]) -> None:
    """Each caller with a connection of its own, as load generators have."""
    shares = [sources[caller::IN_FLIGHT] for caller in range(IN_FLIGHT)]

    def ask(share: Sequence[Any]) -> None:
        with triton.InferenceServerClient(url) as client:
            for source in share:
                image_hwc = decoded(source)
                tensor = triton.InferInput("IMAGE", [1, *image_hwc.shape], "UINT8")
                tensor.set_data_from_numpy(image_hwc[None])
                outputs = [triton.InferRequestedOutput("CLASS_MAP")]
                client.infer(MODEL, [tensor], outputs=outputs).as_numpy("CLASS_MAP")

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        list(pool.map(ask, shares))


def _decoded(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def _rate(call: Callable[[], None], pictures: int) -> float:
    begin_s = time.perf_counter()
    call()
    return pictures / (time.perf_counter() - begin_s)


def _photographs(folder: Path) -> list[Path]:
    """Those of the reference data; drawn streets of the same size where that is not there."""
    shared = Path(os.environ.get("TRITONSEG_SHARED", _PROJECT.parent / "shared"))
    found = sorted((shared / "data" / "camvid").glob("[ct]*/*.png"))
    found = [path for path in found if path.parent.name != "test_labels"]
    if found:
        return found
    files = [folder / f"street-{seed}.png" for seed in range(40)]
    for seed, path in enumerate(files):
        Image.fromarray(draw_scene(seed, height=360, width=480).image_hwc).save(path)
    return files
