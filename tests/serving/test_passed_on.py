"""What stands behind `--` reaches `tritonserver`, but for what serve decides itself."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton_grpc
from click.testing import CliRunner

from tritonseg_engines.cli.app import cli
from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.serving import ServerConfig, TritonInstallation, TritonServer
from tritonseg_engines.serving.access import CLIENT_MEMORY
from tritonseg_engines.serving.installation import known_options, server_environment
from tritonseg_engines.serving.passed_on import DECIDED

REPOSITORIES = (Path("/models"),)


def accepts(*arguments: str, **values: Any) -> bool:
    ServerConfig(repositories=REPOSITORIES, extra_arguments=arguments, **values)
    return True


@pytest.mark.parametrize("row", DECIDED)
def test_what_serve_decides_is_refused_in_one_line(row: str) -> None:
    name, _, setting = row.partition("=")
    value = setting or "1"
    for words in ([f"--{name}={value}"], [f"--{name}", value], [f"--{name[:-1]}={value}"]):
        with pytest.raises(ServerStartError) as refused:
            accepts(*words)
        assert "\n" not in str(refused.value)
        assert f"--{row}: {DECIDED[row]}" in str(refused.value) or words[0] == "--i=1"


def test_what_is_named_instead_is_an_option_of_ours() -> None:
    """Both sides are asked for what they know: serve's own help, and the real `--help`."""
    ours = CliRunner().invoke(cli, ["serve", "--help"]).output
    for instead in DECIDED.values():
        for option in re.findall(r"give (--[a-z-]+)", instead):
            assert option in ours


def test_the_table_names_options_that_there_are(
    installation: TritonInstallation, tmp_path: Path
) -> None:
    known = known_options(installation, server_environment(installation, tmp_path))
    rows = {f"--{row.partition('=')[0]}" for row in DECIDED}
    assert rows - known <= {CLIENT_MEMORY}, "which releases have from April 2026 on"
    passed = known - rows - {"--model-config-name"}
    refused = []
    for option in passed:
        try:
            accepts(f"{option}=/1")
        except ServerStartError:
            refused.append(option)
    assert refused == [], "an option that is the beginning of another's name"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["street-demo"], "'street-demo' is no option .* MODELs come before"),
        (["--log-verbose=1", "--", "x"], "'--' is no option"),
        (["-x"], "'-x' is no option"),
        (["--log-verbose", "1", "2"], "'2' is no option"),
        (["--trace-config=triton,file=trace.json"], "give --trace-config=triton,file=/"),
        (["--trace-file", "trace.json"], "expected an absolute path"),
        (["--model-control-mode=explicit"], "--allow model-repository"),
        (["--model-control-mode=none"], "name MODELs"),
        (["--backend-conf=python,shm-region-prefix-name=x"], "by it serve removes"),
    ],
)
def test_what_would_be_lost_or_wrong(arguments: list[str], message: str) -> None:
    with pytest.raises(ServerStartError, match=message):
        accepts(*arguments)


def test_polling_is_refused_only_where_models_are_chosen() -> None:
    poll = ("--model-control-mode", "poll", "--repository-poll-secs=1")
    assert accepts(*poll)
    assert not ServerConfig(repositories=REPOSITORIES, extra_arguments=poll).keeps_its_models
    for values in ({"models": ("a",)}, {"allowed_apis": ("model-repository",)}):
        with pytest.raises(ServerStartError, match="where neither is given"):
            accepts(*poll, **values)


def test_the_rest_reaches_the_server(
    installation: TritonInstallation,
    repository: Path,
    write_model: Callable[..., Path],
    infer: Callable[..., Any],
) -> None:
    write_model(repository, "other")
    trace = repository.parent / "trace.json"
    command = [sys.executable, "-m", "tritonseg", "serve", "echo", "--grpc-port", "0"]
    command += ["--repository", str(repository), "--allow", "logging", "--"]
    command += ["--log-verbose", "1", "--model-namespacing=true", "--log-format=ISO8601"]
    command += [f"--trace-config=triton,file={trace}", "--trace-config=rate=1"]
    command += ["--trace-config", "level=TIMESTAMPS"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = re.fullmatch(r"ready: gRPC on (\S+); Ctrl-C stops it\n", process.stdout.readline())
        assert said is not None
        with triton_grpc.InferenceServerClient(said[1]) as client:
            settings = client.get_log_settings(as_json=True)["settings"]
            assert settings["log_verbose_level"]["uint32_param"] == 1
            assert settings["log_format"]["string_param"] == "ISO8601"
            assert client.is_model_ready("echo")
            assert not client.is_model_ready("other")
        assert infer(said[1], "echo", b"sent").tobytes() == b"sent"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 0
        assert '"model_name":"echo"' in trace.read_text().replace(" ", "")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--no-such-option=1", "unrecognized option '--no-such-option=1'"),
        ("--log-verbose=x", 'Bad option: "--log-verbose". Invalid option value. Got x'),
        ("--grpc-keep=1", "option '--grpc-keep=1' is ambiguous; possibilities: "),
        ("--rate-limit=x", 'Bad option: "--rate-limit". invalid argument for --rate-limit'),
        (
            "--http-restricted-api=nothing:key=value",
            "Bad option: \"--http-restricted-api\". unknown restricted api 'nothing'",
        ),
    ],
)
def test_what_triton_refuses_is_said_in_its_one_line(
    option: str, says: str, installation: TritonInstallation, repository: Path
) -> None:
    outcome = CliRunner().invoke(
        cli, ["serve", "--grpc-port=0", f"--repository={repository}", "--", option]
    )
    assert outcome.exit_code == 1
    _, line, _log_path = outcome.output.strip().splitlines()
    assert line.startswith(says)


def test_reasons_are_found_in_a_log_of_the_other_format(
    installation: TritonInstallation, repository: Path, write_model: Callable[..., Path]
) -> None:
    write_model(repository, "broken", initialize='raise ValueError("a reason of its own")')
    config = ServerConfig(repositories=(repository,), extra_arguments=("--log-format=ISO8601",))
    with pytest.raises(ServerStartError, match="a reason of its own"):
        TritonServer(config, installation=installation).start()
