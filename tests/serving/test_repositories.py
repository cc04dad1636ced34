"""Several model repositories behind one server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton_grpc

from tritonseg_engines.errors import RepositoryError, ServerStartError
from tritonseg_engines.serving import ServerConfig, TritonInstallation, TritonServer


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
