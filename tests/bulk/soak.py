"""Twenty thousand pictures while servers, workers and the driver are killed, and the throughput.

    python tests/bulk/soak.py [kills] [throughput] [--pictures N] [--rounds N]

Prints a table of what was found beside its limit, and ends with 1 where one is broken.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as parquet
from PIL import Image

from red_model import RED_MODEL, build_red_model, red_picture
from tritonseg import Segmentation, SegmentationClient
from tritonseg_engines.serving import ServerConfig, TritonServer

SIZE_HW = (64, 96)
WORKERS, IN_FLIGHT, PART = 2, 8, 256
AT_LEAST = 0.9
"""Of the plain client's throughput."""
PATIENCE_S = 600.0

Row = tuple[str, str, str, bool]


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers end with it
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="*", choices=["kills", "throughput", []])
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    names = arguments.part or ["kills", "throughput"]
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tritonseg_bulk_soak_") as text:
        folder = Path(text)
        source = draw(folder / "source", arguments.pictures)
        with two_servers(build_red_model(folder)) as servers:
            if "throughput" in names:  # first, because the other kills a server
                found += throughput(folder, source, servers, arguments.rounds)
            if "kills" in names:
                found += kills(folder, source, servers, arguments.pictures)
    for what, was, limit, is_kept in found:
        print(f"| {what} | {was} | {limit} | {'yes' if is_kept else '**no**'} |")
    raise SystemExit(not all(is_kept for *_, is_kept in found))


def draw(folder: Path, count: int) -> Path:
    """Write the pictures, a thousand a folder."""
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(red_picture(number, SIZE_HW)).save(path)
    return folder


@contextmanager
def two_servers(repository: Path) -> Iterator[list[TritonServer]]:
    with ExitStack() as stack:
        config = ServerConfig(repositories=(repository,))
        yield [stack.enter_context(TritonServer(config)) for _ in range(2)]


def command(source: Path, results: Path, servers: Sequence[TritonServer], *more: str) -> list[str]:
    urls = [word for server in servers for word in ("--url", server.grpc_url)]
    sizes = ["--workers", str(WORKERS), "--in-flight", str(IN_FLIGHT), "--part", str(PART)]
    words = ["bulk", str(source), str(results), "--model", RED_MODEL, *urls, *sizes, *more]
    return [sys.executable, "-m", "tritonseg", *words]


def kills(folder: Path, source: Path, servers: Sequence[TritonServer], count: int) -> list[Row]:
    """Kill a worker, a server and the driver, resume, and look at every picture."""
    results = folder / "killed"
    parts = -(-count // PART)
    started_s = time.monotonic()
    with (folder / "killed.log").open("wb") as log:
        driver = subprocess.Popen(command(source, results, servers), stdout=log, stderr=log)
    try:
        until_finished(results, parts // 4, driver)
        worker = next(
            child
            for child in psutil.Process(driver.pid).children(recursive=True)
            if child.name().startswith("ray::MapWorker")
        )
        worker.kill()
        until_finished(results, parts // 2, driver)
        psutil.Process(servers[0].pid).kill()
        until_finished(results, parts * 3 // 4, driver)
    finally:
        driver.kill()
        driver.wait()
    print(f"killed a worker, a server and the driver in {time.monotonic() - started_s:.0f} s")
    time.sleep(3.0)  # Ray's processes end with the driver
    before = {path.name: path.stat().st_mtime_ns for path in (results / "parts").glob("*.json")}
    resumed = subprocess.run(
        command(source, results, servers, "--resume"), capture_output=True, text=True, check=False
    )
    print(resumed.stdout + resumed.stderr)
    after = {path.name: path.stat().st_mtime_ns for path in (results / "parts").glob("*.json")}
    redone = sum(after[name] != when for name, when in before.items())
    by_resumed = count - int(re.search(r"this run did (\d+)", resumed.stdout)[1])
    rows = Counter(
        name
        for file in (results / "pictures").glob("*.parquet")
        for name in parquet.read_table(file, columns=["picture"]).column(0).to_pylist()
    )
    failed = json.loads((results / "summary.json").read_text())["failed"]
    once = sum(number == 1 for number in rows.values())
    right = sum(map(is_right, range(count), [results] * count))
    masks = sum(1 for _ in (results / "masks").rglob("*.png"))
    return [
        ("pictures with exactly one row", f"{once} of {count}", "all", once == len(rows) == count),
        ("masks that are the picture's own, bit by bit", f"{right}", f"{count}", right == count),
        ("files in `masks`", f"{masks}", f"{count}", masks == count),
        ("pictures that failed", f"{failed or 0}", "0", not failed),
        ("finished at `kill -9`, left alone", f"{by_resumed}", f"{len(before) * PART}",
         by_resumed == min(count, len(before) * PART) and not redone),
    ]  # fmt: skip


def is_right(number: int, results: Path) -> bool:
    path = results / "masks" / f"{number // 1000:03}" / f"{number:06}.png.png"
    if not path.is_file():
        return False
    return np.array_equal(np.asarray(Image.open(path)), red_picture(number, SIZE_HW)[..., 0])


def until_finished(results: Path, parts: int, driver: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while sum(1 for _ in (results / "parts").glob("*.json")) < parts:
        if driver.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the job ended or stands still before {parts} parts are finished")
        time.sleep(0.02)


def throughput(
    folder: Path, source: Path, servers: Sequence[TritonServer], rounds: int
) -> list[Row]:
    """Take turns with the plain client: the same pictures, as many in flight, masks saved.

    Each round's two rates are held against each other: the machine's own pace drifts by more than
    what is asked for, over minutes, and less within a round.
    """
    plain, bulk, whole = [], [], []
    paths = sorted(source.rglob("*.png"))
    for number in range(rounds):
        plain.append(plain_rate(paths, servers, folder / f"plain{number}"))
        begin_s = time.monotonic()
        done = subprocess.run(
            command(source, folder / f"bulk{number}", servers),
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        whole.append(len(paths) / (time.monotonic() - begin_s))
        bulk.append(float(re.search(r"([\d.]+)/s;", done.stdout)[1]))
        print(f"plain {plain[-1]:.0f}/s, bulk {bulk[-1]:.0f}/s, with start {whole[-1]:.0f}/s")
    ratios = sorted(ours / theirs for ours, theirs in zip(bulk, plain, strict=True))
    ratio = statistics.median(ratios)
    spread = f"{ratio:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    medians = [statistics.median(rates) for rates in (plain, bulk, whole)]
    return [
        ("plain client, pictures/s", f"{medians[0]:.0f}", "", True),
        ("`bulk`, from the first part on", f"{medians[1]:.0f}", "", True),
        ("`bulk`, from the command to its end", f"{medians[2]:.0f}", "", True),
        ("median of the rounds' ratios", spread, f"{AT_LEAST}", ratio >= AT_LEAST),
    ]


def plain_rate(paths: Sequence[Path], servers: Sequence[TritonServer], folder: Path) -> float:
    """Return the pictures a second of a program as client/README.md has it, in one process."""
    folder.mkdir()
    url = "ipv4:" + ",".join(server.grpc_url for server in servers)
    with SegmentationClient(url, model=RED_MODEL) as client:
        client.describe()
        begin_s = time.monotonic()
        for path, result in client.segment_many(paths, max_in_flight=WORKERS * IN_FLIGHT):
            assert isinstance(result, Segmentation), result
            result.save(folder / f"{path.stem}.png")
        return len(paths) / (time.monotonic() - begin_s)


if __name__ == "__main__":
    main()
