"""A job's folder: begun, gone on with, or refused in a line that says why."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
from click.testing import CliRunner

from bulk_jobs import finish, planned
from tritonseg.testing import FakeTriton
from tritonseg_engines.bulk.attempts import Attempts
from tritonseg_engines.bulk.connection import address_of
from tritonseg_engines.bulk.job import JOB, LISTING, Making, Servers
from tritonseg_engines.bulk.manifest import Failure, finished_parts, manifest_name
from tritonseg_engines.bulk.order import BulkOrder
from tritonseg_engines.bulk.run import _end as end_of
from tritonseg_engines.bulk.sources import SourceOptions
from tritonseg_engines.bulk.storage import PASSWORD, Storage
from tritonseg_engines.cli.app import cli
from tritonseg_engines.errors import BulkError
from tritonseg_engines.server_access import Access

Orders = Callable[..., BulkOrder]


def test_a_job_begins(order: Orders, fake: FakeTriton) -> None:
    one = planned(order())
    folder = Path(order().results)
    assert {path.name for path in folder.iterdir()} == {JOB, LISTING}
    assert [part.count for part in one.parts] == [3, 3, 3, 1]
    assert one.left == one.parts
    document = json.loads((folder / JOB).read_text())
    assert (document["model"]["name"], document["model"]["version"]) == ("red", "1")
    assert len((folder / LISTING).read_text().splitlines()) == document["pictures"] == 10


def test_what_is_finished_is_not_done_again(order: Orders) -> None:
    one = planned(order())
    finish(one, one.parts[1], order().results)
    finish(one, one.parts[2], order().results, Failure(picture="x", kind="K", reason="r"))
    told: list[str] = []
    again = planned(order(resume=True), told)
    assert [part.index for part in again.left] == [0, 3]
    assert told == ["6 of 10 pictures are done"]
    retried = planned(order(resume=True, retry_failed=True))
    assert [part.index for part in retried.left] == [0, 2, 3]


def test_what_is_there_in_part_or_of_another_job_is_not_finished(order: Orders) -> None:
    one = planned(order())
    results = order().results
    storage = Storage(results)
    for part in one.parts:
        finish(one, part, results)
    Path(results, "pictures/part-000000.parquet").unlink()
    Path(results, "pictures/part-000001.parquet").write_bytes(b"row")
    text = Path(results, manifest_name(one.parts[2])).read_text()
    Path(results, manifest_name(one.parts[2])).write_text(text.replace(one.job.digest, "0" * 64))
    assert set(finished_parts(storage, one.job.digest, one.parts)) == {3}
    Path(results, manifest_name(one.parts[3])).write_text(text[:40])
    assert finished_parts(storage, one.job.digest, one.parts) == {}
    other = [replace(part, digest="0" * 64) for part in one.parts]
    finish(one, one.parts[0], results)
    assert finished_parts(storage, one.job.digest, other) == {}


def test_what_was_being_written_goes(order: Orders) -> None:
    planned(order())
    half = Path(order().results, ".0001.png.0a0b0c0d.tmp")
    half.write_bytes(b"half of a")
    somebodys = Path(order().results, "notes.tmp")
    somebodys.touch()
    planned(order(resume=True))
    assert (half.exists(), somebodys.exists()) == (False, True)


def test_a_source_that_has_changed(order: Orders, pictures: Path) -> None:
    planned(order())
    os.utime(pictures / "a/0000.png", ns=(1, 1))
    (pictures / "b/0001.png").unlink()
    (pictures / "b/new.png").write_bytes(b"new")
    with pytest.raises(BulkError) as refused:
        planned(order(resume=True))
    assert (
        "holds another job: pictures differ: 1 new (b/new.png), 1 gone (b/0001.png), "
        "1 changed (a/0000.png); run it as it was" in str(refused.value)
    )


def test_another_source_or_another_way_to_make_masks(order: Orders, tmp_path: Path) -> None:
    planned(order())
    with pytest.raises(BulkError, match=r'making\.form was "png", is "rle"; making\.part_size was'):
        planned(order(resume=True, making=Making(form="rle", part_size=4)))
    other = tmp_path / "other"
    (tmp_path / "pictures").rename(other)
    with pytest.raises(BulkError, match=r'source\.url was ".*/pictures", is ".*/other"'):
        planned(order(resume=True, source=SourceOptions(url=str(other))))


def test_other_servers_and_more_workers_are_the_same_job(order: Orders, fake: FakeTriton) -> None:
    one = planned(order())
    servers = Servers(urls=[fake.url], timeout_s=9.0, in_flight=3)
    assert planned(order(resume=True, servers=servers)).job == one.job


def test_folders_of_somebody_else(order: Orders) -> None:
    planned(order())
    with pytest.raises(BulkError, match="holds a job: give --resume"):
        planned(order())
    Path(order().results, JOB).unlink()
    planned(order())  # as one that was killed before it had begun
    Path(order().results, JOB).unlink()
    Path(order().results, "thesis.txt").touch()
    with pytest.raises(BulkError, match=r"holds no job, but thesis\.txt"):
        planned(order(resume=True))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 1, "source": 3}', b'"x"'])
def test_a_jobs_file_that_is_none(order: Orders, content: bytes) -> None:
    planned(order())
    Path(order().results, JOB).write_bytes(content)
    with pytest.raises(BulkError, match="is not a job's file that is whole"):
        planned(order(resume=True))


def test_two_drivers_in_one_folder(tmp_path: Path) -> None:
    with (
        Storage(str(tmp_path)).held(),
        pytest.raises(BulkError, match="another job writes there"),
        Storage(str(tmp_path)).held(),
    ):
        pass
    with Storage(str(tmp_path)).held():
        pass


def test_one_address_for_several_servers() -> None:
    servers = Servers(urls=["127.0.0.1:1", "localhost:2", "127.0.0.1:1"])
    assert address_of(servers) == "ipv4:127.0.0.1:1,127.0.0.1:2"
    assert address_of(Servers(urls=["dns:///pool:8001"])) == "dns:///pool:8001"
    with pytest.raises(BulkError, match="must each be 'host:port', got 'unix:/run/t'"):
        address_of(Servers(urls=["unix:/run/t", "127.0.0.1:1"]))
    with pytest.raises(BulkError, match="several --url over TLS"):
        address_of(replace(servers, access=Access(tls=True)))


def test_a_source_without_pictures_of_its_kind(order: Orders, pictures: Path) -> None:
    with pytest.raises(BulkError, match="holds no picture for --kind webdataset"):
        planned(order(source=SourceOptions(url=str(pictures), kind="webdataset")))


def test_secrets_are_neither_printed_nor_written(order: Orders, fake: FakeTriton) -> None:
    servers = Servers(urls=[fake.url], access=Access(headers={"x-key": "s3cr3t"}))
    planned(order(servers=servers))
    written = [path.read_text() for path in Path(order().results).iterdir()]
    assert "s3cr3t" not in "".join(written)
    access = Access(headers={"x-key": "s3cr3t"}, token="s3cr3t", tls=True, key=b"s3cr3t")
    assert "s3cr3t" not in repr(Servers(urls=["a:1"], access=access))


def test_a_picture_with_which_workers_die_is_left_out(order: Orders, tmp_path: Path) -> None:
    """Attempts that never end, as those of processes that were killed."""
    part, storage = planned(order()).parts[0], Storage(order().results)

    def begun() -> Attempts:
        return Attempts.of(storage, part, "this run")

    assert [begun().is_careful for _ in range(3)] == [False, False, True]
    begun().note(0)
    second = begun()
    assert not second.is_deadly(0)
    second.note(2)
    third = begun()
    third.note(2)
    assert [begun().is_deadly(position) for position in range(3)] == [False, False, True]
    other = Attempts.of(storage, part, "next run")
    assert (other.is_careful, other.is_deadly(2)) == (False, False)
    other.end()
    assert not begun().is_careful


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"run": "r", "begun": "x"}', b"\xff"])
def test_what_is_remembered_of_workers_cannot_be_read(order: Orders, content: bytes) -> None:
    part, storage = planned(order()).parts[0], Storage(order().results)
    storage.write(f"attempts/{part.name}.json", content)
    attempts = Attempts.of(storage, part, "r")
    assert (attempts.begun, attempts.died_with) == (1, {})


def test_the_end_of_an_earlier_run_is_gone_when_another_begins(order: Orders) -> None:
    planned(order())
    for name in ("summary.json", "coco.json"):
        Path(order().results, name).write_text("{}")
    planned(order(resume=True))
    assert {path.name for path in Path(order().results).iterdir()} == {JOB, LISTING}


def test_parts_that_are_gone_at_the_end(order: Orders) -> None:
    one = planned(order())
    for part in one.parts:
        finish(one, part, order().results)
    there = finished_parts(Storage(order().results), one.job.digest, one.parts)
    assert end_of(Storage(order().results), one, there, []).done == 0
    Path(order().results, "pictures/part-000002.parquet").unlink()
    with pytest.raises(BulkError, match=r"1 parts are not as .* any more \(part-000002\)"):
        end_of(Storage(order().results), one, there, [])


def test_results_within_the_source(order: Orders, pictures: Path) -> None:
    within = str(pictures / "out")
    one = planned(order(results=within))
    finish(one, one.parts[0], within)
    Path(within, "masks").mkdir()
    Path(within, "masks/a.png").touch()
    again = planned(order(results=within, resume=True))
    assert (again.job, len(again.left)) == (one.job, 3)


def test_what_a_file_system_does_not_do_is_said(order: Orders, pictures: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(f"{pictures}/", "/bulk-in/", recursive=True)
    told: list[str] = []
    try:
        source = SourceOptions(url="memory://bulk-in")
        planned(order(source=source, results="memory://bulk-out"), told)
    finally:
        for folder in ("/bulk-in", "/bulk-out"):
            memory.rm(folder, recursive=True)
    assert ["does not say when a file changes" in told[0], "cannot rename" in told[1]] == [True] * 2


@pytest.mark.parametrize("changed", ["source", "results"])
def test_a_password_in_a_url(order: Orders, changed: str) -> None:
    url = "ftp://me:s3cr3t@host/folder"
    values = {"source": SourceOptions(url=url), "results": url}
    with pytest.raises(BulkError, match="carries a password") as refused:
        planned(order(**{changed: values[changed]}))
    assert "s3cr3t" not in str(refused.value)
    assert not Path(order().results, JOB).exists()


def test_what_is_no_password() -> None:
    for url in ("abfs://container@account.dfs.core.windows.net/f:o@lder", "memory://a:1/b@c"):
        assert PASSWORD.search(url) is None


def bulk(*words: object) -> tuple[int, str]:
    outcome = CliRunner().invoke(cli, ["bulk", *map(str, words)])
    return outcome.exit_code, outcome.stderr


def test_wrong_usage(tmp_path: Path) -> None:
    code, told = bulk(tmp_path, tmp_path / "out", "--model", "m", "--retry-failed")
    assert (code, "--retry-failed goes with --resume" in told) == (2, True)
    code, told = bulk(tmp_path, tmp_path / "out", "--model", "m", "--header", "x")
    assert (code, "expected NAME=VALUE" in told) == (2, True)


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is here")
def test_what_is_missing_is_said_at_once(tmp_path: Path) -> None:
    begin_s = time.monotonic()
    code, told = bulk(tmp_path, tmp_path / "out", "--model", "m")
    assert (code, "[bulk]" in told, len(told.splitlines())) == (1, True, 1)
    assert not (tmp_path / "out").exists()
    assert time.monotonic() - begin_s < 10
