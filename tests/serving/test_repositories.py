"""Several model repositories behind one server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from tritonseg_engines.errors import RepositoryError, ServerStartError
from tritonseg_engines.serving import ServerConfig, TritonInstallation, TritonServer

AUTO_COMPLETE = """
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "IN", "data_type": "TYPE_UINT8", "dims": [-1]})
        config.add_output({"name": "OUT", "data_type": "TYPE_UINT8", "dims": [-1]})
        config.set_max_batch_size(0)
        return config
"""


@pytest.fixture
def two(tmp_path: Path, write_model: Callable[..., Path]) -> tuple[Path, Path]:
    """`ours` with `echo`, and `of others` with `foreign`; the names are hard on a shell."""
    ours, others = tmp_path / "all ours", tmp_path / "of $others"
    write_model(ours, "echo")
    write_model(others, "foreign")
    return ours, others


def test_models_of_both_are_served(
    installation: TritonInstallation, two: tuple[Path, Path], infer: Callable[..., Any]
) -> None:
    ours, others = two
    config = ServerConfig(repositories=(ours, others, ours))
    with TritonServer(config, installation=installation) as server:
        for model in ("echo", "foreign"):
            assert infer(server.grpc_url, model, b"sent").tobytes() == b"sent"


def test_models_are_named_whichever_they_lie_in(
    installation: TritonInstallation,
    two: tuple[Path, Path],
    write_model: Callable[..., Path],
    infer: Callable[..., Any],
) -> None:
    """A name that two have is no matter where neither of the two is served."""
    write_model(two[1], "more")
    for repository in two:
        write_model(repository, "doubled")
    config = ServerConfig(repositories=two, models=("foreign", "echo"))
    with (
        TritonServer(config, installation=installation) as server,
        triton_grpc.InferenceServerClient(server.grpc_url) as client,
    ):
        assert infer(server.grpc_url, "foreign", b"sent").tobytes() == b"sent"
        assert client.is_model_ready("echo")
        assert not client.is_model_ready("more")


@pytest.mark.parametrize("models", [(), ("doubled",)])
def test_one_name_in_two_is_refused(
    models: tuple[str, ...], two: tuple[Path, Path], write_model: Callable[..., Path]
) -> None:
    ours, others = two
    write_model(ours, "doubled")
    (others / "doubled").mkdir()  # even without a config Triton would serve neither
    server = TritonServer(ServerConfig(repositories=two, models=models))
    with pytest.raises(RepositoryError) as refused:
        server.start()
    assert "\n" not in str(refused.value)
    assert f"doubled is both in {ours} and in {others}" in str(refused.value)


def test_a_model_that_is_in_none_and_a_repository_that_is_none(
    two: tuple[Path, Path], tmp_path: Path
) -> None:
    ours, others = two
    for config, message in [
        (
            ServerConfig(repositories=two, models=("echo", "absent")),
            f"{ours} has no absent; it has echo; {others} has no absent; it has foreign",
        ),
        (ServerConfig(repositories=(ours, tmp_path / "none")), "no model repository at"),
    ]:
        with pytest.raises(RepositoryError) as refused:
            TritonServer(config).start()
        assert message in str(refused.value)
    with pytest.raises(ServerStartError, match="repository at least"):
        ServerConfig(repositories=())


@pytest.mark.parametrize("completed", [False, True])
def test_configs_of_others_are_completed_on_request(
    completed: bool, installation: TritonInstallation, two: tuple[Path, Path]
) -> None:
    model = two[1] / "foreign"
    (model / "config.pbtxt").write_text('backend: "python"')
    code = (model / "1" / "model.py").read_text()
    (model / "1" / "model.py").write_text(f"{code}{AUTO_COMPLETE}")
    config = ServerConfig(repositories=two, completes_configs=completed)
    with (
        TritonServer(config, installation=installation) as server,
        triton_grpc.InferenceServerClient(server.grpc_url) as client,
    ):
        inputs = client.get_model_config("foreign").config.input
        assert [one.name for one in inputs] == (["IN"] if completed else [])


def test_what_triton_itself_does_with_one_name_in_two(
    installation: TritonInstallation,
    two: tuple[Path, Path],
    write_model: Callable[..., Path],
    infer: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Why it is refused, namespaces or not: once a Triton serves it, this may go."""
    write_model(two[1], "echo")
    monkeypatch.setattr("tritonseg_engines.serving.repository._refuse_doubled", lambda *_: None)
    with pytest.raises(ServerStartError, match="not unique across all model repositories"):
        TritonServer(ServerConfig(repositories=two), installation=installation).start()
    namespaces = ServerConfig(repositories=two, extra_arguments=("--model-namespacing=true",))
    with (
        TritonServer(namespaces, installation=installation) as server,
        pytest.raises(InferenceServerException, match="echo"),
    ):
        infer(server.grpc_url, "echo")
