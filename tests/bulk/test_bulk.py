"""`tritonseg bulk` with Ray and real servers: every picture once, whatever is killed."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from bulk_pictures import right_mask, rows_of, write_pictures
from red_model import RED_MODEL, build_red_model
from tritonseg import SegmentationClient
from tritonseg_engines.serving import ServerConfig, TritonServer

pytestmark = [
    pytest.mark.usefixtures("with_ray"),
    pytest.mark.filterwarnings("default"),  # Ray's own, of what it will change
]
COUNT = 60


@pytest.fixture(scope="module")
def servers(
    with_ray: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TritonServer, TritonServer]]:
    config = ServerConfig(repositories=(build_red_model(tmp_path_factory.mktemp("red")),))
    with TritonServer(config) as first, TritonServer(config) as second:
        yield first, second


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, and two that cannot be segmented."""
    folder = write_pictures(tmp_path_factory.mktemp("pictures"), COUNT)
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "a/cut.png").write_bytes((folder / "a/0000.png").read_bytes()[:-40])
    return folder


FAILED = {"broken.png", "a/cut.png"}


def words(source: object, results: object, servers: tuple[TritonServer, ...]) -> list[str]:
    urls = [word for server in servers for word in ("--url", server.grpc_url)]
    rest = ["--model", RED_MODEL, "--part", "7", *urls]
    return [sys.executable, "-m", "tritonseg", "bulk", str(source), str(results), *rest]


def bulk(
    source: object, results: object, servers: tuple[TritonServer, ...], *more: str, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*words(source, results, servers), *more],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def check_rows(rows: Mapping[str, Mapping[str, Any]]) -> None:
    assert len(rows) == COUNT + len(FAILED)
    assert {name for name, row in rows.items() if row["error"] is not None} == FAILED
    assert {row["kind"] for name, row in rows.items() if name in FAILED} == {"ImageDecodeError"}
    for name, row in rows.items():
        if name not in FAILED:
            assert (row["height"], row["width"]) == right_mask(name).shape


def check_masks(results: Path) -> None:
    """Hold each mask against the picture's red channel, which is the model's answer."""
    rows = rows_of(results)
    check_rows(rows)
    masks = {path.relative_to(results).as_posix() for path in results.glob("masks/**/*.png")}
    assert masks == {row["mask"] for row in rows.values() if row["mask"] is not None}
    for name in rows.keys() - FAILED:
        mask = np.asarray(Image.open(results / rows[name]["mask"]))
        np.testing.assert_array_equal(mask, right_mask(name))


def test_masks_are_the_clients(
    servers: tuple[TritonServer, TritonServer], source: Path, tmp_path: Path
) -> None:
    results = tmp_path / "out"
    done = bulk(source, results, servers)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines() == [
        "Error: 2 of 62 pictures could not be segmented: a/cut.png (ImageDecodeError), "
        "broken.png (ImageDecodeError)"
    ]
    assert re.fullmatch(
        rf"60 of 62 pictures are segmented; this run did 62 in [\d.]+ s, [\d.]+/s; a row for each "
        rf"is in {results}/pictures\n",
        done.stdout,
    )
    check_masks(results)
    with SegmentationClient(servers[0].grpc_url, model=RED_MODEL) as client:
        for name in ("a/0000.png", "b/0059.png"):
            mask = np.asarray(Image.open(results / "masks" / f"{name}.png"))
            np.testing.assert_array_equal(mask, client.segment(source / name).class_map)
    assert json.loads((results / "summary.json").read_text()) == {
        "pictures": 62, "segmented": 60, "failed": {"ImageDecodeError": 2},
    }  # fmt: skip
    again = bulk(source, results, servers, "--resume")
    assert (again.returncode, "this run did 0 " in again.stdout) == (1, True)


def test_run_lengths(
    servers: tuple[TritonServer, TritonServer], source: Path, tmp_path: Path
) -> None:
    from pycocotools import mask as coco_mask

    bulk(source, tmp_path / "out", servers, "--results", "rle")
    rows = rows_of(tmp_path / "out")
    check_rows(rows)
    for name in rows.keys() - FAILED:
        row = rows[name]
        found = np.full((row["height"], row["width"]), 255, np.uint8)
        for one in row["segments"]:
            runs = {"size": list(found.shape), "counts": one["counts"]}
            found[coco_mask.decode(runs).astype(bool)] = one["index"]
            assert one["class"] == f"red {one['index']}"
            assert one["area"] == coco_mask.area(runs)
        np.testing.assert_array_equal(found, right_mask(name))


def test_a_coco_data_set(
    servers: tuple[TritonServer, TritonServer], source: Path, tmp_path: Path
) -> None:
    from pycocotools.coco import COCO

    bulk(source, tmp_path / "out", servers, "--results", "coco")
    check_rows(rows_of(tmp_path / "out"))
    data_set = COCO(tmp_path / "out/coco.json")
    images = data_set.loadImgs(data_set.getImgIds())
    assert len(images) == len({image["file_name"] for image in images}) == COUNT
    for image in images:
        found = np.full((image["height"], image["width"]), 255, np.uint8)
        for annotation in data_set.loadAnns(data_set.getAnnIds(image["id"])):
            found[data_set.annToMask(annotation).astype(bool)] = annotation["category_id"]
        np.testing.assert_array_equal(found, right_mask(image["file_name"]))


@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_packed_pictures(
    servers: tuple[TritonServer, TritonServer], source: Path, tmp_path: Path, kind: str
) -> None:
    files = {path.relative_to(source).as_posix(): path for path in source.rglob("*.png")}
    packed = tmp_path / "packed"
    packed.mkdir()
    more = ["--names", "name"] if kind == "parquet" else []
    if kind == "parquet":
        import pyarrow as arrow
        import pyarrow.parquet as parquet

        table = arrow.table(
            {"name": list(files), "image": [path.read_bytes() for path in files.values()]}
        )
        parquet.write_table(table, packed / "0.parquet", row_group_size=10)
    else:
        with tarfile.open(packed / "s.tar", "w") as tar:
            for name, path in files.items():
                member = tarfile.TarInfo(name)
                member.size = path.stat().st_size
                tar.addfile(member, io.BytesIO(path.read_bytes()))
    done = bulk(packed, tmp_path / "out", servers, *more)
    assert done.returncode == 1, done.stderr
    rows = {name.removeprefix("s.tar/"): row for name, row in rows_of(tmp_path / "out").items()}
    check_rows(rows)
    for name in rows.keys() - FAILED:
        mask = np.asarray(Image.open(tmp_path / "out" / rows[name]["mask"]))
        np.testing.assert_array_equal(mask, right_mask(name))


def test_a_worker_and_the_driver_are_killed(
    servers: tuple[TritonServer, TritonServer], source: Path, tmp_path: Path
) -> None:
    results, log = tmp_path / "out", tmp_path / "log"
    slow = ["--workers", "2", "--in-flight", "1"]
    with log.open("wb") as file:
        driver = subprocess.Popen(
            [*words(source, results, servers), *slow], stdout=file, stderr=file
        )
    try:
        _until(lambda: (results / "pictures").exists(), driver)
        family = psutil.Process(driver.pid).children(recursive=True)
        next(one for one in family if one.name().startswith("ray::MapWorker")).kill()
        _until(lambda: len(list((results / "parts").glob("*.json"))) >= 3, driver)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    before = {path: path.stat().st_mtime_ns for path in (results / "parts").glob("*.json")}
    assert 3 <= len(before) <= 9, log.read_text()
    again = bulk(source, results, servers, "--resume")
    assert f"{min(62, 7 * len(before))} of 62 pictures are done" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    check_masks(results)
    assert not list(results.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("number", "told"),
    [(signal.SIGINT, "stopped by Ctrl-C\n"), (signal.SIGTERM, "stopped by SIGTERM\n")],
)
def test_a_driver_that_is_told_to_stop(
    servers: tuple[TritonServer, TritonServer],
    source: Path,
    tmp_path: Path,
    number: signal.Signals,
    told: str,
) -> None:
    driver = subprocess.Popen(
        [*words(source, tmp_path / "out", servers), "--in-flight", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _until((tmp_path / "out/pictures").exists, driver)
    family = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(number)
    assert driver.communicate(timeout=60) == ("", told)
    assert driver.returncode == 128 + number
    _, left = psutil.wait_procs(family, timeout=30)
    assert left == []


def test_a_server_is_killed(source: Path, tmp_path: Path, servers: Any) -> None:
    with TritonServer(servers[0].config) as doomed:
        both = (doomed, servers[1])
        with (tmp_path / "log").open("wb") as file:
            driver = subprocess.Popen(
                [*words(source, tmp_path / "out", both), "--in-flight", "1"],
                stdout=file,
                stderr=file,
            )
        _until((tmp_path / "out/pictures").exists, driver)
        psutil.Process(doomed.pid).kill()
        assert driver.wait(120) == 1  # for the two that are no pictures
    check_masks(tmp_path / "out")


def test_a_ray_that_runs_already(
    servers: tuple[TritonServer, TritonServer], source: Path, tmp_path: Path
) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3})
    address = cluster.address
    try:
        done = bulk(source, tmp_path / "out", servers, "--ray-address", address)
    finally:
        cluster.shutdown()
    assert "60 of 62 pictures are segmented" in done.stdout, done.stderr
    check_masks(tmp_path / "out")
    gone = bulk(source, tmp_path / "no", servers, "--ray-address", address)
    assert (gone.returncode, f"no Ray at {address}: " in gone.stderr) == (1, True)


def test_an_object_store(
    servers: tuple[TritonServer, TritonServer], source: Path, tmp_path: Path
) -> None:
    moto = pytest.importorskip("moto.server", reason="needs moto[server] and s3fs")
    import s3fs

    store = moto.ThreadedMotoServer("127.0.0.1", 0)
    store.start()
    try:
        host, port = store.get_host_and_port()
        env = {
            "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "s3cr3t",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
        s3 = s3fs.S3FileSystem(
            key="key",
            secret="s3cr3t",
            endpoint_url=env["AWS_ENDPOINT_URL"],
            use_listings_cache=False,
        )
        s3.mkdir("bucket")
        s3.put(f"{source}/", "bucket/in/", recursive=True)
        done = bulk("s3://bucket/in", "s3://bucket/out", servers, "--results", "coco", **env)
        assert "60 of 62 pictures are segmented" in done.stdout, done.stderr
        again = bulk(
            "s3://bucket/in", "s3://bucket/out", servers, "--results", "coco", "--resume", **env
        )
        assert "62 of 62 pictures are done" in again.stderr
        png = bulk("s3://bucket/in", "s3://bucket/png", servers, **env)
        assert "60 of 62 pictures are segmented" in png.stdout, png.stderr
        s3.get("bucket/png/", f"{tmp_path}/png/", recursive=True)
        check_masks(tmp_path / "png")
        data_set = json.loads(s3.cat("bucket/out/coco.json"))
        assert len(data_set["images"]) == COUNT
    finally:
        store.stop()


def _until(condition: Callable[[], bool], driver: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert driver.poll() is None, "the job ended before"
        assert time.monotonic() < deadline
        time.sleep(0.005)
