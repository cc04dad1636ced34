"""A server that cannot start says why, quickly, and leaves only its log."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tritonseg_engines.errors import RepositoryError, ServerStartError
from tritonseg_engines.serving import ServerConfig, TritonInstallation, TritonServer
from tritonseg_engines.serving._keeper import STUB_LOST

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def nothing_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shm_regions: Callable[[int], list[str]]
) -> Iterator[Path]:
    """After each test there is no region, no child process, and no file but logs."""
    directory = tmp_path / "tmp"
    directory.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(directory))
    regions_before = set(shm_regions(os.getpid()))
    children_before = set(psutil.Process().children(recursive=True))
    yield directory
    assert set(shm_regions(os.getpid())) == regions_before
    assert set(psutil.Process().children(recursive=True)) <= children_before
    assert {file.name for file in directory.rglob("*") if not file.is_dir()} <= {"server.log"}


def start_error(config: ServerConfig, installation: TritonInstallation, within_s: float) -> str:
    started = time.monotonic()
    with pytest.raises(ServerStartError) as caught:
        TritonServer(config, installation=installation).start()
    assert time.monotonic() - started < within_s
    return str(caught.value)


@pytest.mark.parametrize("protocol", ["grpc", "http", "metrics"])
@pytest.mark.parametrize("listener_host", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_named_at_once(
    installation: TritonInstallation, repository: Path, protocol: str, listener_host: str
) -> None:
    with socket.create_server((listener_host, 0)) as listener:
        port = listener.getsockname()[1]
        config = ServerConfig(repositories=(repository,), **{f"{protocol}_port": port})
        message = start_error(config, installation, within_s=1)
    assert f"port {port} on 127.0.0.1 is in use" in message
    assert protocol in message.lower()


def test_a_host_that_is_not_this_machine(
    installation: TritonInstallation, repository: Path
) -> None:
    # 192.0.2.0/24 is nobody's (RFC 5737).
    config = ServerConfig(repositories=(repository,), host="192.0.2.1")
    assert "192.0.2.1" in start_error(config, installation, within_s=5)


def test_a_broken_model_is_named_with_its_reason_and_the_log_is_kept(
    installation: TritonInstallation, repository: Path, write_model: Callable[..., Path]
) -> None:
    write_model(repository, "broken", initialize="raise ValueError('the engine is missing')")
    message = start_error(ServerConfig(repositories=(repository,)), installation, within_s=15)
    reason, _, place = message.rpartition("\n")
    assert "'broken'" in reason
    assert "ValueError: the engine is missing" in reason
    assert len(reason.splitlines()) < 10
    assert "CUDA" not in reason
    log_path = re.search(r"/\S+", place)
    assert log_path is not None
    assert "successfully loaded 'echo'" in Path(log_path.group()).read_text()


def test_a_broken_configuration_is_named_with_its_reason(
    installation: TritonInstallation, repository: Path
) -> None:
    with (repository / "echo" / "config.pbtxt").open("a") as config_file:
        config_file.write("no_such_field: 1\n")
    message = start_error(ServerConfig(repositories=(repository,)), installation, within_s=15)
    assert "'echo'" in message
    assert 'no field named "no_such_field"' in message


def test_a_model_that_never_loads_is_named_after_the_timeout(
    installation: TritonInstallation, repository: Path, write_model: Callable[..., Path]
) -> None:
    write_model(repository, "slow", initialize="import time; time.sleep(600)")
    config = ServerConfig(repositories=(repository,), ready_timeout_s=2)
    message = start_error(config, installation, within_s=8)
    assert "not ready after 2 s (still loading: slow)" in message


def test_an_unknown_flag_is_named(installation: TritonInstallation, repository: Path) -> None:
    config = ServerConfig(repositories=(repository,), extra_arguments=("--no-such-flag=1",))
    message = start_error(config, installation, within_s=15)
    assert "--no-such-flag" in message
    assert len(message.splitlines()) < 10


def test_an_executable_that_is_none(tmp_path: Path, repository: Path) -> None:
    executable = tmp_path / "tritonserver"
    executable.write_text("not a program")
    installation = TritonInstallation(executable=executable)
    message = start_error(ServerConfig(repositories=(repository,)), installation, within_s=5)
    assert str(executable) in message
    assert "Permission denied" in message


def test_a_temporary_directory_triton_cannot_run_from(
    installation: TritonInstallation,
    repository: Path,
    nothing_left: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_space = nothing_left / "a b"
    with_space.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(with_space))
    message = start_error(ServerConfig(repositories=(repository,)), installation, within_s=5)
    assert "set TMPDIR" in message
    assert list(with_space.iterdir()) == []


def test_repositories_that_cannot_be_served(
    installation: TritonInstallation, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for config, expected in [
        (ServerConfig(repositories=(tmp_path / "none",)), "no model repository at .*none.* build"),
        (ServerConfig(repositories=(tmp_path / "empty",)), "empty holds no model .* build"),
        (ServerConfig(repositories=(repository / "echo",)), "echo is a model"),
        (
            ServerConfig(repositories=(repository,), models=("echo", "other")),
            "no other; it has echo",
        ),
    ]:
        with pytest.raises(RepositoryError, match=expected):
            TritonServer(config, installation=installation).start()


def test_a_server_killed_while_serving_is_cleaned_up_after(
    installation: TritonInstallation, repository: Path
) -> None:
    with TritonServer(
        ServerConfig(repositories=(repository,)), installation=installation
    ) as server:
        stubs = psutil.Process(server.pid).children(recursive=True)
        assert stubs
        stubs[0].suspend()  # or else it would notice, and end by itself
        os.kill(server.pid, signal.SIGKILL)
        assert server.wait(timeout_s=5) == 128 + signal.SIGKILL
        assert not any(psutil.pid_exists(stub.pid) for stub in stubs), "not even unreaped"
    assert server.stop() == 128 + signal.SIGKILL
    assert "Started GRPCInferenceService" in server.log_tail(), "the log of a crash is kept"


def test_a_server_that_lost_a_stub_is_ended(
    installation: TritonInstallation, repository: Path, is_gone: Callable[..., bool]
) -> None:
    """Triton itself stays "ready", and what waited for that model waits for ever."""
    with TritonServer(
        ServerConfig(repositories=(repository,)), installation=installation
    ) as server:
        process = psutil.Process(server.pid)
        stub, *_ = process.children(recursive=True)
        stub.kill()
        assert is_gone([process, stub], within_s=5)
        assert server.wait(timeout_s=5) == STUB_LOST
        assert f"process {stub.pid}" in server.log_tail()


def test_where_models_come_and_go_a_stub_may_end(
    installation: TritonInstallation, repository: Path, infer: Callable[..., Any]
) -> None:
    config = polling(repository)
    assert not config.keeps_its_models
    with TritonServer(config, installation=installation) as server:
        process = psutil.Process(server.pid)
        (stub,) = process.children()
        (repository / "echo").rename(repository.parent / "away")
        wait_until(lambda: not process.children())
        (repository.parent / "away").rename(repository / "echo")
        wait_until(lambda: times_loaded(server) == 2)
        assert infer(server.grpc_url, "echo", b"back").tobytes() == b"back"
        assert stub not in process.children()


def test_a_polling_server_loads_a_step_once(
    installation: TritonInstallation, repository: Path
) -> None:
    """What Python writes beside it is no change of the model."""
    with TritonServer(polling(repository), installation=installation) as server:
        (stub,) = psutil.Process(server.pid).children()
        time.sleep(3)
        assert psutil.Process(server.pid).children() == [stub]
        assert times_loaded(server) == 1


@pytest.mark.parametrize(
    ("harm", "last_words"),
    [
        (lambda stub, _: stub.kill(), ""),
        (lambda _, step: step.unlink(), "model file not found"),
    ],
    ids=["killed", "without its file while it is loaded again"],
)
def test_where_models_come_and_go_one_that_died_ends_the_server(
    installation: TritonInstallation,
    repository: Path,
    is_gone: Callable[..., bool],
    harm: Callable[[psutil.Process, Path], None],
    last_words: str,
) -> None:
    with TritonServer(polling(repository), installation=installation) as server:
        process = psutil.Process(server.pid)
        (stub,) = process.children()
        harm(stub, repository / "echo" / "1" / "model.py")
        assert is_gone([process, stub], within_s=12)
        assert server.wait(timeout_s=5) == STUB_LOST
        assert "the process of a model ended by itself" in server.log_tail()
        assert last_words in server.log_tail()


def polling(repository: Path) -> ServerConfig:
    options = ("--model-control-mode=poll", "--repository-poll-secs=1")
    return ServerConfig(repositories=(repository,), extra_arguments=options)


def times_loaded(server: TritonServer) -> int:
    return server.log_path.read_text().count("successfully loaded 'echo'")


def wait_until(is_so: Callable[[], object], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_killed_keeper_takes_the_server_with_it(
    installation: TritonInstallation, repository: Path, is_gone: Callable[..., bool]
) -> None:
    with TritonServer(
        ServerConfig(repositories=(repository,)), installation=installation
    ) as server:
        process = psutil.Process(server.pid)
        stubs = process.children(recursive=True)
        keeper = process.parent()
        assert keeper is not None
        keeper.kill()
        assert is_gone([process, *stubs], within_s=5)


def test_what_was_never_started_says_so(repository: Path) -> None:
    server = TritonServer(ServerConfig(repositories=(repository,)))
    assert server.stop() == 0
    with pytest.raises(ServerStartError, match="call start"):
        _ = server.grpc_url
