"""How the steps' cost grows with pictures, batches, callers and classes, around a tiny network.

The network is a stand-in, so that what is left is the project's own: it gives every class a colour
and scores how near to it the mean of 4x4 pixels is. Its masks have the shapes of the picture.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import tritonclient.grpc as triton
from contenders import TIMEOUT_S
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from pace import Call, Pace, time_ms
from results import markdown_table

from demo_model.scenes import draw_scene
from tritonseg import SegmentationClient
from tritonseg_engines import zoo
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.serving.latency import LatencyProbe, StepLatency
from tritonseg_engines.spec import InputSpec, ModelSpec, voc_palette

SIZES_HW = (*((side, 2 * side) for side in (352, 512, 704, 1024, 1408, 2048)), (4096, 4096))
"""0.25 to 16.8 megapixels; a scene is 4096 pixels wide at most, so the largest is a square."""
BATCHES = (1, 2, 4, 8)
CALLERS = (1, 2, 4, 8, 16)
CLASSES = (2, 19, 60, 150)
USUAL_HW = (512, 1024)
USUAL_CLASSES = 19
USUAL_MODEL = f"classes-{USUAL_CLASSES}"
SCENE_SEED = 44
STRIDE = 4
CALLS = 3
"""Requests of each caller at a point in a round."""
STEPS = ("normalize", "engine", "argmax")
FIRST_COLUMNS = {"size": "picture", "batch": "pictures in a request", "classes": "classes"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One point of a sweep.

    Attributes:
        label: As the table has it.
        model: Name on the server.
        call: One request.
        megapixels: Of all pictures in it.
        callers: How many ask at once.
    """

    label: str
    model: str
    call: Call
    megapixels: float
    callers: int = 1


def measure(folder: Path, pace: Pace) -> dict[str, dict[str, dict[str, float]]]:
    """Return by sweep and point the milliseconds of requests and of every step."""
    repository = folder / "repository"
    build_ensemble = partial(build_model, repository=repository, layout="ensemble")
    build_ensemble(_spec("any-size", USUAL_CLASSES), _network(folder, USUAL_CLASSES))
    for classes in CLASSES:
        spec = _spec(f"classes-{classes}", classes, USUAL_HW)
        build_ensemble(spec, _network(folder, classes, USUAL_HW))
    config = ServerConfig(repositories=(repository,), ready_timeout_s=TIMEOUT_S)
    with ExitStack() as stack:
        url = stack.enter_context(TritonServer(config)).grpc_url
        sweeps = {
            "size": [_picture(stack, url, "any-size", size_hw) for size_hw in SIZES_HW],
            "batch": [_batch(stack, url, count) for count in BATCHES],
            "callers": [
                replace(_picture(stack, url, USUAL_MODEL), label=str(count), callers=count)
                for count in CALLERS
            ],
            "classes": [
                replace(_picture(stack, url, f"classes-{count}"), label=str(count))
                for count in CLASSES
            ],
        }
        return {name: _sweep(points, url, pace) for name, points in sweeps.items()}


def table(sweeps: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return a table for each sweep, in milliseconds."""
    return "\n\n".join(
        _crowd_table(points) if name == "callers" else _cost_table(FIRST_COLUMNS[name], points)
        for name, points in sweeps.items()
    )


def _cost_table(first: str, points: dict[str, dict[str, float]]) -> str:
    header = [first, "end to end", *STEPS, "the rest", "all but the engine, per megapixel"]
    rows = []
    for label, found in points.items():
        own = found["request_ms"] - found["engine"]
        rest = own - found["normalize"] - found["argmax"]
        numbers = [found["request_ms"], *(found[step] for step in STEPS), rest]
        rows.append([label, *map(_ms, numbers), _ms(own / found["megapixels"])])
    return markdown_table(header, rows)


def _crowd_table(points: dict[str, dict[str, float]]) -> str:
    waits = [f"waiting for {step}" for step in STEPS]
    header = ["callers at once", "pictures a second", "end to end", *STEPS, *waits]
    rows = []
    for label, found in points.items():
        numbers = [found["request_ms"], *(found[step] for step in STEPS)]
        numbers += [found[f"{step}_queue"] for step in STEPS]
        rows.append([label, f"{found['rate']:.1f}", *map(_ms, numbers)])
    return markdown_table(header, rows)


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.1f}"


def _sweep(points: Sequence[Point], url: str, pace: Pace) -> dict[str, dict[str, float]]:
    """Visit the points in turns; return the medians over the rounds."""
    for point in points:
        for _ in range(pace.warm_up):
            point.call()
    rounds = [[_visit(point, url) for point in points] for _ in range(max(1, pace.rounds // CALLS))]
    return {
        point.label: {key: statistics.median(found[key] for found in visits) for key in visits[0]}
        for point, visits in zip(points, zip(*rounds, strict=True), strict=True)
    }


def _visit(point: Point, url: str) -> dict[str, float]:
    probe = LatencyProbe(url, point.model)
    started = time.perf_counter()
    with ThreadPoolExecutor(point.callers) as pool:
        times_ms = list(pool.map(lambda _: time_ms(point.call), range(CALLS * point.callers)))
    elapsed_s = time.perf_counter() - started
    _, *steps = probe.latencies()
    return {
        "request_ms": statistics.mean(times_ms),  # as the steps' are means, too
        "rate": len(times_ms) / elapsed_s,
        "megapixels": point.megapixels,
        **{name: _busy_ms(step) for name, step in zip(STEPS, steps, strict=True)},
        **{f"{name}_queue": step.queue_ms for name, step in zip(STEPS, steps, strict=True)},
    }


def _busy_ms(step: StepLatency) -> float:
    return step.input_ms + step.infer_ms + step.output_ms


def _picture(stack: ExitStack, url: str, model: str, size_hw: tuple[int, int] = USUAL_HW) -> Point:
    image_hwc = _drawn(size_hw)
    client = stack.enter_context(SegmentationClient(url, model=model, timeout_s=TIMEOUT_S))
    megapixels = size_hw[0] * size_hw[1] / 1e6
    return Point(
        label=f"{size_hw[1]}x{size_hw[0]} ({megapixels:.2f} MP)",
        model=model,
        call=lambda: client.segment(image_hwc),
        megapixels=megapixels,
    )


def _batch(stack: ExitStack, url: str, count: int) -> Point:
    """Return a request with several pictures, which takes tritonclient."""
    client = stack.enter_context(triton.InferenceServerClient(url))
    images_nhwc = np.stack([_drawn(USUAL_HW)] * count)
    tensor = triton.InferInput("IMAGE", list(images_nhwc.shape), "UINT8")
    tensor.set_data_from_numpy(images_nhwc)
    return Point(
        label=str(count),
        model=USUAL_MODEL,
        call=lambda: client.infer(USUAL_MODEL, [tensor], client_timeout=TIMEOUT_S),
        megapixels=count * USUAL_HW[0] * USUAL_HW[1] / 1e6,
    )


def _drawn(size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    return draw_scene(SCENE_SEED, height=size_hw[0], width=size_hw[1]).image_hwc


def _spec(name: str, classes: int, size_hw: tuple[int, int] | None = None) -> ModelSpec:
    height, width = size_hw or (None, None)
    usual = zoo.get_spec("hrnetv2-w18-small-v1-cityscapes")
    return replace(
        usual,
        name=name,
        input=InputSpec(name="image", height=height, width=width),
        classes=tuple(f"colour {index}" for index in range(classes)),
        palette=voc_palette(classes),
        ignore_index=None,
        license="none",
        source="the benchmark's own stand-in",
    )


def _network(folder: Path, classes: int, size_hw: tuple[int, int] | None = None) -> Path:
    """Write the stand-in: for every class `p·x - |p|²/2`, which is highest where x is nearest to p.

    The colours `p` are pixels of the picture, evenly chosen; x is the mean of a cell.
    """
    preprocessing = zoo.get_spec("hrnetv2-w18-small-v1-cityscapes").preprocessing
    pixels = _drawn(USUAL_HW).reshape(-1, 3)
    chosen = pixels[np.linspace(0, len(pixels) - 1, classes).astype(int)]
    colors = ((chosen - preprocessing.mean) / preprocessing.scale).astype(np.float32)
    height, width = size_hw or ("H", "W")
    cells = [side // STRIDE for side in size_hw] if size_hw else ["h", "w"]
    mean = np.full((1, 1, STRIDE, STRIDE), 1 / STRIDE**2, np.float32)
    graph = helper.make_graph(
        [
            helper.make_node(
                "Conv", ["image", "weights", "offsets"], ["scores"], strides=[STRIDE, STRIDE]
            )
        ],
        "nearest_color",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, height, width])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", classes, *cells])],
        [
            numpy_helper.from_array(colors[:, :, None, None] * mean, "weights"),
            numpy_helper.from_array(-(colors**2).sum(axis=1) / 2, "offsets"),
        ],
    )
    path = folder / f"nearest_color_{classes}{'_fixed' if size_hw else ''}.onnx"
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path
