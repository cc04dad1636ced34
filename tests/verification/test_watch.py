"""A watch that goes on, or says that it cannot: it never just ends."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from tritonseg_engines.repository.configs import folder_names
from tritonseg_engines.verification.watch import PATIENCE, Repeats, Watch
from tritonseg_steps.digest import PUBLISHED


class Unforeseen(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """A server whose config publishes what is no JSON."""

    def ModelConfig(self, _request: Any, _context: Any) -> Any:
        config = model_config_pb2.ModelConfig()
        config.parameters[PUBLISHED[0]].string_value = "{"
        return service_pb2.ModelConfigResponse(config=config)


@pytest.fixture
def unforeseen() -> Iterator[str]:
    """The address of such a server."""
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Unforeseen(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


class Blind(Watch):
    """One that cannot look at files either."""

    def look_at_files(self) -> list[str]:
        raise RuntimeError("out of files")


def until_a_problem(watch: Watch, url: str) -> str:
    repeats = Repeats(watch, 0.05)
    repeats.start(url)
    deadline = time.monotonic() + 20
    while (problem := repeats.problem()) is None:
        assert time.monotonic() < deadline, "the watch ended, and nobody was told"
        time.sleep(0.05)
    repeats.stop()
    return problem


def test_what_nobody_thought_of_is_no_answer_and_in_the_end_a_problem(
    good: Path, unforeseen: str, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch([good], ["beta"])
    problem = until_a_problem(watch, unforeseen)
    assert problem.startswith("beta: its canaries could not be asked (JSONDecodeError: ")
    (result,) = watch.results
    assert watch.rounds(result)["unanswered"] == PATIENCE
    told = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert len(told) == PATIENCE
    assert all(one.exc_info is not None for one in told)


def test_files_that_cannot_be_looked_at_end_no_watch(
    good: Path, unforeseen: str, caplog: pytest.LogCaptureFixture
) -> None:
    until_a_problem(Blind([good], ["beta"]), unforeseen)
    assert "the repository cannot be read: out of files" in caplog.text


def test_a_build_over_what_is_served_is_told_once(good: Path, spare: Path, tmp_path: Path) -> None:
    """Every file is as built, and none is of the build that the server has loaded."""
    repository = tmp_path / "repository"
    shutil.copytree(good, repository)
    watch = Watch([repository])
    labels = [one.label for one in watch._checked]
    assert watch.look_at_files() == []
    shutil.rmtree(repository)
    shutil.copytree(spare, repository)
    told = watch.look_at_files()
    line = "was built again, and what is served is the build before; start again"
    assert told == [f"{label}: {line}" for label in labels]
    assert watch.look_at_files() == []
    assert set(watch.changed) == set(labels)
    shutil.rmtree(repository)
    shutil.copytree(good, repository)
    assert (watch.look_at_files(), watch.changed) == ([], {})


def test_a_model_that_is_taken_away_is_told(good: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(good, repository)
    watch = Watch([repository])
    gone = watch._checked[0]
    for folder in folder_names(gone.model):
        shutil.rmtree(repository / folder, ignore_errors=True)
    assert watch.look_at_files() == [f"{gone.label}: is not in the repository any more"]
