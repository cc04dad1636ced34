"""Callers of pictures of one size and of many: nobody waits for seconds among milliseconds.

A tiny network, because the shorter the engine, the more a queue shows. Beside the repository as it
is built, with its limit in the first step, stand the same without one, and with that of Triton's
dynamic batcher, as it was built once. All servers run, and take turns in a cell.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import tritonclient.grpc as triton
from pace import Pace
from results import markdown_table
from tritonclient.grpc import model_config_pb2 as pb

from tiny_models import SIZE_HW, TinyModel, tiny_spec
from tritonseg_engines.build.model import build_model
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.target import ServingLayout
from tritonseg_steps.contract import QUEUE_PARAMETER
from tritonseg_steps.geometry import Size
from tritonseg_steps.resize_policy import FitPad

BATCHED: Final = {ServingLayout.SINGLE: "tiny", ServingLayout.ENSEMBLE: "tiny_engine"}
FIRST: Final = {ServingLayout.SINGLE: "tiny", ServingLayout.ENSEMBLE: "tiny_normalize"}
CALLERS: Final = (1, 8, 40, 64)
MANY_HW: Final[tuple[Size, ...]] = (
    SIZE_HW, (90, 120), (48, 200), (128, 128), (75, 33), (100, 100), (64, 64), (200, 150),
)  # fmt: skip
PICTURES: Final = {"one size": (SIZE_HW,), "many sizes": MANY_HW}
ANSWERS_A_CALLER: Final = 8
LEAST_ANSWERS: Final = 200
LIMIT: Final = 64
BATCHER, UNLIMITED, BUILT = "Triton's batcher", "no limit", "as built"
CONTENDERS: Final = (BATCHER, UNLIMITED, BUILT)


def measure(folder: Path, pace: Pace) -> list[dict[str, Any]]:
    """Return, for every cell, median and slowest answer in ms and answers a second of each."""
    return [cell for layout in FIRST for cell in _measure(layout, folder, pace)]


def _measure(layout: ServingLayout, folder: Path, pace: Pace) -> list[dict[str, Any]]:
    onnx.save(TinyModel().model(), folder / "tiny.onnx")
    spec = tiny_spec()
    fit = FitPad(height=SIZE_HW[0], width=SIZE_HW[1])
    spec = replace(spec, preprocessing=replace(spec.preprocessing, resize=fit))
    repositories = {name: folder / layout / name / "models" for name in CONTENDERS}
    build_model(spec, folder / "tiny.onnx", repositories[BUILT], layout=layout)
    for name in (BATCHER, UNLIMITED):
        shutil.copytree(repositories[BUILT], repositories[name])
        _change(repositories[name] / FIRST[layout], _lift)
    _change(repositories[BATCHER] / BATCHED[layout], _batch)
    with ExitStack() as stack:
        urls = {
            name: stack.enter_context(TritonServer(ServerConfig(repositories=(path,)))).grpc_url
            for name, path in repositories.items()
        }
        return [
            {"layout": layout, "pictures": kind, "callers": callers, **found}
            for kind, sizes_hw in PICTURES.items()
            for callers in CALLERS
            for found in [_cell(urls, sizes_hw, callers, pace.loop_rounds)]
        ]


def _change(model: Path, change: Callable[[pb.ModelConfig], None]) -> None:
    path = model / "config.pbtxt"
    config = read_config(path)
    change(config)
    path.write_text(str(config))


def _lift(config: pb.ModelConfig) -> None:
    del config.parameters[QUEUE_PARAMETER]


def _batch(config: pb.ModelConfig) -> None:
    config.dynamic_batching.default_queue_policy.max_queue_size = LIMIT


def _cell(
    urls: dict[str, str], sizes_hw: tuple[Size, ...], callers: int, rounds: int
) -> dict[str, dict[str, float]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in urls}
    for _ in range(rounds):
        for name, url in urls.items():
            found[name].append(_loop(url, sizes_hw, callers))
    return {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for name, runs in found.items()
    }


def _loop(url: str, sizes_hw: tuple[Size, ...], callers: int) -> dict[str, float]:
    answers = max(ANSWERS_A_CALLER, LEAST_ANSWERS // callers)
    with ExitStack() as stack, ThreadPoolExecutor(callers) as threads:
        clients = [stack.enter_context(triton.InferenceServerClient(url)) for _ in range(callers)]
        for client in clients:  # connected
            _ask_ms(client, SIZE_HW)

        def ask_all(number: int) -> list[float]:
            return [
                _ask_ms(clients[number], sizes_hw[(number + turn) % len(sizes_hw)])
                for turn in range(answers)
            ]

        begun = time.perf_counter()
        times_ms = sorted(ms for one in threads.map(ask_all, range(callers)) for ms in one)
        seconds = time.perf_counter() - begun
    return {
        "median_ms": statistics.median(times_ms),
        "slowest_ms": times_ms[-1],
        "per_s": len(times_ms) / seconds,
    }


def _ask_ms(client: triton.InferenceServerClient, image_hw: Size) -> float:
    picture = triton.InferInput("IMAGE", [1, *image_hw, 3], "UINT8")
    picture.set_data_from_numpy(np.zeros((1, *image_hw, 3), np.uint8))
    outputs = [triton.InferRequestedOutput("CLASS_MAP")]
    begun = time.perf_counter()
    client.infer("tiny", [picture], outputs=outputs)
    return 1000 * (time.perf_counter() - begun)


def table(cells: list[dict[str, Any]]) -> str:
    """Return a row for every cell."""
    header = ["layout, pictures, callers"]
    header += [
        f"{name}: {what}"
        for name in CONTENDERS
        for what in ("median, ms", "slowest, ms", "a second")
    ]
    rows = [
        [
            f"{cell['layout']}, {cell['pictures']}, {cell['callers']}",
            *(text for name in CONTENDERS for text in _figures(cell[name])),
        ]
        for cell in cells
    ]
    return markdown_table(header, rows)


def _figures(found: dict[str, float]) -> list[str]:
    return [
        f"{found['median_ms']:.1f}",
        f"{found['slowest_ms']:.0f}",
        f"{found['per_s']:.0f}",
    ]
