"""Web workers with thread pools at a queue with a limit: how many posts are refused.

Two processes of 40 threads, which is the pool that FastAPI runs plain functions in. Each has one
client, and posts pictures as fast as its threads are free. A gate lets only so many of them call
at once; the others wait in front of the client instead of in the server.
"""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections import Counter, deque
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from cases import small_demo
from pace import Pace
from results import markdown_table

from demo_model.scenes import draw_scene
from tritonseg import OverloadedError, SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_steps.contract import QUEUE_PARAMETER

PROCESSES: Final = 2
THREADS: Final = 40
POSTS: Final = 200
GATES: Final = (None, 32, 8, 4)
QUEUES: Final = (None, 64)
MODEL: Final = "street-demo"
TIMEOUT_S: Final = 30.0


class Gate:
    """Lets so many threads in, in the order in which they came.

    `threading.Semaphore` has no order: who leaves and comes again overtakes who waits, and of
    these posts the slowest took 26 s in place of 8.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1


def measure(folder: Path, pace: Pace) -> list[dict[str, Any]]:
    """Return, by queue and gate, posts that were refused, their latency and the rate."""
    export, spec = small_demo(folder)
    with ExitStack() as stack:
        urls = {}
        for queue in QUEUES:
            repository = folder / f"queue-{queue}"
            build_model(spec, export, repository, layout="single")
            path = repository / MODEL / "config.pbtxt"
            config = read_config(path)
            del config.parameters[QUEUE_PARAMETER]
            if queue is not None:
                config.parameters[QUEUE_PARAMETER].string_value = str(queue)
            path.write_text(str(config))
            server = TritonServer(ServerConfig(repositories=(repository,)))
            urls[queue] = stack.enter_context(server).grpc_url
        found: dict[tuple[Any, Any], list[dict[str, float]]] = {
            (queue, gate): [] for queue in QUEUES for gate in GATES
        }
        for _ in range(pace.loop_rounds):
            for (queue, gate), runs in found.items():
                runs.append(_run(urls[queue], gate))
    return [
        {"queue": queue, "gate": gate, **_medians(runs)} for (queue, gate), runs in found.items()
    ]


def table(cells: list[dict[str, Any]]) -> str:
    """Return a row for every queue and gate."""
    header = ["queue's limit, calls at once of each worker", "refused of 200",
              "median, s", "slowest, s", "masks a second"]  # fmt: skip
    rows = [
        [
            f"{cell['queue'] or 'none'}, {cell['gate'] or 'as many as threads'}",
            f"{cell['refused']:.0f}",
            f"{cell['median_s']:.2f}",
            f"{cell['slowest_s']:.2f}",
            f"{cell['per_s']:.1f}",
        ]
        for cell in cells
    ]
    return markdown_table(header, rows)


def _run(url: str, gate: int | None) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        begin = context.Manager().Barrier(PROCESSES)
        workers = [pool.submit(_worker, url, gate, begin) for _ in range(PROCESSES)]
        outcomes = [worker.result() for worker in workers]
    times_s = sorted(one for worker in outcomes for one in worker["times_s"])
    masks = sum(worker["masks"] for worker in outcomes)
    return {
        "refused": POSTS - masks,
        "median_s": statistics.median(times_s),
        "slowest_s": times_s[-1],
        "per_s": masks / max(worker["took_s"] for worker in outcomes),
    }


def _worker(url: str, gate: int | None, begin: Any) -> dict[str, Any]:
    image_hwc = draw_scene(3, height=256, width=512).image_hwc
    turn = Gate(gate or THREADS)
    counts: Counter[str] = Counter()
    times_s: list[float] = []

    def post(_number: int) -> None:
        begin_s = time.monotonic()
        try:
            with turn:
                client.segment(image_hwc)
            counts["masks"] += 1
        except OverloadedError:
            counts["refused"] += 1
        times_s.append(time.monotonic() - begin_s)

    with (
        SegmentationClient(url, model=MODEL, timeout_s=TIMEOUT_S) as client,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        client.describe()
        begin.wait()
        begin_s = time.monotonic()
        list(pool.map(post, range(POSTS // PROCESSES)))
        took_s = time.monotonic() - begin_s
    return {"masks": counts["masks"], "times_s": times_s, "took_s": took_s}


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}
