"""Twice as many requests as a server can answer, at random times: what becomes of them.

Open loop: whoever asks does not wait for the answer before the next, as a street full of cameras
does not. Capacity is the rate of a closed loop of four callers, before and after, and unloaded
times are of one caller. The line in the first step has a time, `tritonseg_queue_ms`. The clients
are bare ones, without retries.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import tritonclient.grpc as triton
from cases import make_case, small_demo
from numpy.typing import NDArray
from open_loop import CONNECTIONS, OVERLOAD, Caller, alone_ms, capacity, open_loop, p99
from PIL import Image
from results import markdown_table

from demo_model.scenes import draw_scene
from tiny_models import SIZE_HW, TinyModel, tiny_spec
from tritonseg_engines.build.model import build_model
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.target import ServingLayout
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec
from tritonseg_steps.admission import CALM_BURSTS, CALM_S, LEAST_BURST
from tritonseg_steps.contract import QUEUE_TIME_PARAMETER
from tritonseg_steps.geometry import Size

UNLOADED_S: Final = 6.0
CAPACITY_S: Final = 6.0
REST: Final = 1.5
"""After an overload, in times that its end takes; before that, four callers at once are more than
are let in."""
QUEUE_MS: Final = 1000
SECONDS: Final = 300.0
QUICK_SECONDS: Final = 15.0
MANY_HW: Final[tuple[Size, ...]] = ((512, 1024), (360, 480), (768, 1024), (400, 900))
MANY: Final = ("small", "demo")
"""Models that take pictures of other sizes than their network's."""
MODELS: Final = ("demo",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What is asked of which model.

    Attributes:
        layout: Of the model.
        pictures: "one size" or "many sizes".
        encoded: Whether files are sent instead of pixels.
    """

    layout: ServingLayout
    pictures: str = "one size"
    encoded: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it is of pixels of one size."""
        return self.pictures == "one size" and not self.encoded

    @property
    def name(self) -> str:
        """Return it in words."""
        return f"{self.layout}, {self.pictures}, {'files' if self.encoded else 'pixels'}"


LOADS: Final = (
    Load(layout=ServingLayout.SINGLE),
    Load(layout=ServingLayout.SINGLE, pictures="many sizes"),
    Load(layout=ServingLayout.SINGLE, encoded=True),
    Load(layout=ServingLayout.ENSEMBLE),
    Load(layout=ServingLayout.ENSEMBLE, pictures="many sizes"),
    Load(layout=ServingLayout.ENSEMBLE, encoded=True),
    Load(layout=ServingLayout.FUSED),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A model to be served, and what it is asked for.

    Attributes:
        name: Of the model.
        repository: With nothing else in it.
        load: How it is asked.
        images_hwc: The pictures, `(H, W, 3)` uint8 RGB each.
    """

    name: str
    repository: Path
    load: Load
    images_hwc: Sequence[NDArray[np.uint8]]

    def caller(self) -> Caller:
        """Return what asks for one picture after the other."""
        return Caller(self.name, [_request(image, self.load) for image in self.images_hwc])


def measure(
    folder: Path, seconds: float, models: Sequence[str], *, plain: bool = False
) -> list[dict[str, Any]]:
    """Return a row for every model and load; of pixels of one size only if that is plain."""
    return [
        {"model": model, **_measure(load, model, folder, seconds)}
        for model in models
        for load in LOADS
        if load.is_plain or not (plain or (load.pictures != "one size" and model not in MANY))
    ]


def _measure(load: Load, model: str, folder: Path, seconds: float) -> dict[str, Any]:
    built = build(load, model, folder)
    with TritonServer(ServerConfig(repositories=(built.repository,))) as server:
        caller = built.caller()
        clients = [triton.InferenceServerClient(server.grpc_url) for _ in range(CONNECTIONS)]
        for client in clients:
            caller.learn(client)
        idle_ms = alone_ms(caller, clients[0], UNLOADED_S)
        before = capacity(caller, clients, CAPACITY_S)
        outcome = open_loop(caller, clients, OVERLOAD * before, seconds)
        turn_s = max(outcome.answered_ms) / 1000 / LEAST_BURST
        time.sleep(REST * max(CALM_S, CALM_BURSTS * LEAST_BURST * turn_s))
        after = capacity(caller, clients, CAPACITY_S)
        for client in clients:
            client.close()
        regions = _shared_memory_mib()
    return {
        "load": load.name,
        "seconds": seconds,
        "capacity_per_s": statistics.mean((before, after)),
        "capacity_before_per_s": before,
        "capacity_after_per_s": after,
        "asked_per_s": OVERLOAD * before,
        "answered": len(outcome.answered_ms),
        "refused": len(outcome.refused_ms),
        "others": list(outcome.others)[:5],
        "other_count": outcome.others.total(),
        "wrong": outcome.wrong,
        "goodput_per_s": len(outcome.answered_ms) / outcome.took_s,
        "alone_median_ms": statistics.median(idle_ms),
        "alone_p99_ms": p99(idle_ms),
        "answered_median_ms": statistics.median(outcome.answered_ms),
        "answered_p99_ms": p99(outcome.answered_ms),
        "answered_slowest_ms": max(outcome.answered_ms),
        "refused_median_ms": statistics.median(outcome.refused_ms or [0.0]),
        "refused_p99_ms": p99(outcome.refused_ms or [0.0]),
        "shared_memory_mib": regions,
    }


def build(load: Load, model: str, folder: Path) -> Built:
    """Build a model in a folder of its own, with the limits of a service that answers soon."""
    here = folder / f"{model}-{load.name}".replace(", ", "-").replace(" ", "-")
    here.mkdir()
    spec, export, sizes_hw = _model(model, here)
    repository = here / "models"
    build_model(spec, export, repository, layout=load.layout)
    _keep_answers_soon(repository / spec.name, load.layout)
    if load.pictures == "one size":
        sizes_hw = sizes_hw[:1]
    images_hwc = [
        draw_scene(number, height=height, width=width).image_hwc
        for number, (height, width) in enumerate(sizes_hw)
    ]
    return Built(name=spec.name, repository=repository, load=load, images_hwc=images_hwc)


def _keep_answers_soon(model: Path, layout: ServingLayout) -> None:
    """Let nobody wait long, as `tritonseg tune` writes it for a service with a latency to keep."""
    first = f"{model.name}_normalize" if layout is ServingLayout.ENSEMBLE else model.name
    path = model.with_name(first) / "config.pbtxt"
    config = read_config(path)
    config.parameters[QUEUE_TIME_PARAMETER].string_value = str(QUEUE_MS)
    path.write_text(str(config))


def _model(name: str, folder: Path) -> tuple[ModelSpec, Path, Sequence[Size]]:
    if name == "tiny":
        export = folder / "tiny.onnx"
        onnx.save(TinyModel().model(), export)
        return tiny_spec(), export, (SIZE_HW,)
    if name == "small":
        export, spec = small_demo(folder)
        return spec, export, ((256, 512), *MANY_HW)
    if name == "demo":
        return demo_spec(), DEMO_ONNX, MANY_HW
    if name == "hrnet":
        case = make_case("hrnetv2-w18-small-v1-cityscapes", folder)
        return case.spec, case.export, (case.image_hwc.shape[:2],)
    raise ValueError(name)


def _request(image_hwc: NDArray[np.uint8], load: Load) -> list[triton.InferInput]:
    if not load.encoded:
        picture = triton.InferInput("IMAGE", [1, *image_hwc.shape], "UINT8")
        picture.set_data_from_numpy(image_hwc[None])
        return [picture]
    file = BytesIO()
    Image.fromarray(image_hwc).save(file, "JPEG", quality=90)
    encoded = triton.InferInput("ENCODED_IMAGE", [1, 1], "BYTES")
    encoded.set_data_from_numpy(np.array([[file.getvalue()]], np.object_))
    return [encoded]


def _shared_memory_mib() -> float:
    memory = os.statvfs("/dev/shm")
    return (memory.f_blocks - memory.f_bfree) * memory.f_frsize / 2**20


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return a row for every load."""
    header = [
        "model, layout, pictures", "capacity, /s", "asked, /s", "goodput to capacity",
        "alone: median (p99), ms", "answered: median (p99), ms", "p99 to p99 alone",
        "refused", "refused after: median (p99), ms", "wrong, other",
    ]  # fmt: skip
    return markdown_table(header, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> list[str]:
    asked = row["answered"] + row["refused"] + row["other_count"]
    return [
        f"{row['model']}, {row['load']}",
        f"{row['capacity_per_s']:.2f}",
        f"{row['asked_per_s']:.2f}",
        f"**{row['goodput_per_s'] / row['capacity_per_s']:.3f}**",
        f"{row['alone_median_ms']:.0f} ({row['alone_p99_ms']:.0f})",
        f"{row['answered_median_ms']:.0f} ({row['answered_p99_ms']:.0f})",
        f"**{row['answered_p99_ms'] / row['alone_p99_ms']:.2f}**",
        f"{row['refused'] / asked:.0%}",
        f"{row['refused_median_ms']:.1f} ({row['refused_p99_ms']:.1f})",
        f"{row['wrong']}, {row['other_count']}",
    ]
