"""Workers by Ray Data, on this machine or on a cluster."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, Final

from tritonseg_engines.bulk.job import Cluster
from tritonseg_engines.bulk.manifest import FinishedPart
from tritonseg_engines.bulk.parts import Part
from tritonseg_engines.bulk.worker import Worker, WorkOrder, part_row
from tritonseg_engines.errors import BulkError

OBJECT_STORE_BYTES: Final = 128 << 20
"""Of a Ray of our own, through which go numbers of parts; its default is a third of the memory."""
ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",  # a command that segments pictures tells nobody of it
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns that this will be the default
}
STANDARD_ERROR: Final = 2
REACHED_WITHIN_S: Final = 10.0
MOST_BLOCKS: Final = 10_000
"""Of Ray Data, each with rows that one worker does one after the other."""


def imported_ray() -> Any:
    """Return Ray's module, told what this command wants of it.

    Raises:
        ModuleNotFoundError: It is not installed; the extra `bulk` brings it.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)  # before the import, which reads them
    import ray.data

    return ray


def work(order: WorkOrder, parts: Sequence[Part], cluster: Cluster) -> Iterator[FinishedPart]:
    """Yield parts as they are finished, in any order; a part whose worker died is done again.

    Raises:
        BulkError: There is no Ray at the address, or the job must end.
    """
    ray = imported_ray()
    _begin(ray, cluster)
    try:
        # Ray tells of workers that died on standard output, which is for results.
        with redirect_stdout(sys.stderr):
            for row in _data(ray, order, parts, cluster).iter_rows():
                report = json.loads(row["report"])
                if "refused" in report:
                    raise BulkError(report["refused"])
                yield FinishedPart.of_json(row["report"])
    except ray.exceptions.RayError as error:
        raise BulkError(f"Ray gave up: {_last_line(error)}") from error
    finally:
        ray.shutdown()


def _begin(ray: Any, cluster: Cluster) -> None:
    if cluster.address is not None:
        _check_reached(cluster.address)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if cluster.address is None:
        options |= {
            "num_cpus": cluster.workers + 1,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    try:
        with _standard_error_closed(), _handlers_kept():
            ray.init(address=cluster.address or "local", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = "on this machine" if cluster.address is None else f"at {cluster.address}"
        raise BulkError(f"no Ray {where}: {_last_line(error)}") from error


def _check_reached(address: str) -> None:
    """Refuse an address at which nothing listens; Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():  # "auto" and the like
        return
    try:
        socket.create_connection((host, int(port)), REACHED_WITHIN_S).close()
    except OSError as error:
        raise BulkError(f"no Ray at {address}: {error.strerror or error}") from error


@contextmanager
def _standard_error_closed() -> Iterator[None]:
    """Keep off the terminal that Ray read its log level, which no level of it does."""
    sys.stderr.flush()
    kept = os.dup(STANDARD_ERROR)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
        os.dup2(nowhere.fileno(), STANDARD_ERROR)
    try:
        yield
    finally:
        os.dup2(kept, STANDARD_ERROR)
        os.close(kept)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Put back who handles SIGTERM: Ray's core would print a stack and abort."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _data(ray: Any, order: WorkOrder, parts: Sequence[Part], cluster: Cluster) -> Any:
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    blocks = min(len(parts), MOST_BLOCKS)
    return ray.data.from_items(
        [part_row(part) for part in parts], override_num_blocks=blocks
    ).map_batches(
        Worker,
        fn_constructor_args=(order,),
        batch_size=1,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=min(cluster.workers, len(parts))),
        num_cpus=1,
    )


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
