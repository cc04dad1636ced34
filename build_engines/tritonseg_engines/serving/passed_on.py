"""Options of `tritonserver` itself that are handed on to it, and those that are not.

Refused is what serve decides, because it promises something by it: that the server is ready when it
says so, what was checked before, what is closed, and why a start failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tritonseg_engines.errors import ServerStartError

_READINESS: Final = "readiness is asked for at this server's own port, without TLS"
_ENDPOINT: Final = "its endpoint is not under what --allow and --close say"
_LOG: Final = "why a start failed is read in the log at its usual place; --verbose shows it"

DECIDED: Final = {
    "model-repository": "give --repository, which may be repeated",
    "model-store": "give --repository, which may be repeated",
    "model-control-mode": "name MODELs to load only these, or give --allow model-repository to "
    "load and unload by request; --model-control-mode=poll is handed on where neither is given",
    "load-model": "name MODELs before the --",
    "model-config-name": "what was proven is the config in config.pbtxt",
    "disable-auto-complete-config": "it is so unless --complete-configs is given",
    "strict-model-config": "give --complete-configs",
    "exit-on-error": "name MODELs to load only these; the server is ready when all of them are",
    "strict-readiness": "the server is ready when all its models are",
    "exit-timeout-secs": "give --drain-timeout",
    "id": "serve knows its server by it",
    "allow-grpc": "gRPC is how readiness is asked for",
    "grpc-address": "give --host",
    "grpc-port": "give --grpc-port before the --",
    "reuse-grpc-port": _READINESS,
    "grpc-use-ssl": _READINESS,
    "grpc-use-ssl-mutual": _READINESS,
    "allow-http": "give --http-port before the --",
    "http-address": "give --host",
    "http-port": "give --http-port before the --",
    "reuse-http-port": _READINESS,
    "allow-metrics": "give --metrics-port before the --",
    "metrics-address": "give --metrics-host",
    "metrics-port": "give --metrics-port before the --",
    "allow-client-shm": "give --allow shared-memory",
    "allow-sagemaker": _ENDPOINT,
    "allow-vertex-ai": _ENDPOINT,
    "backend-directory": "serve lays out the Python backend for this Python",
    "backend-config=python,shm-region-prefix-name": "by it serve removes what a crash left",
    "backend-config=python,stub-timeout-seconds": "give --ready-timeout",
    "log-file": _LOG,
    "log-error": _LOG,
    "log-info": _LOG,
    "help": "`tritonseg serve --help` has ours, NVIDIA's documentation tritonserver's",
}
"""By option, or by option and the beginning of its value, what to do instead, or why it is so."""
_FILES: Final = {
    "cache-directory": "",
    "repoagent-directory": "",
    "grpc-server-cert": "",
    "grpc-server-key": "",
    "grpc-root-cert": "",
    "trace-file": "",
    "trace-config": "triton,file=",
}
"""Options with a path, and what stands before it; the server's current folder is one of its own."""


class Option(NamedTuple):
    """One option as it was typed, with its value, which is "" where it has none."""

    name: str
    value: str


def options(arguments: Sequence[str]) -> Iterator[Option]:
    """Yield the options among arguments of `tritonserver`, `--NAME=VALUE` or `--NAME VALUE`.

    Raises:
        ServerStartError: Something else is among them.
    """
    left = list(arguments)
    while left:
        argument = left.pop(0)
        name, has_value, value = argument.partition("=")
        if not name.startswith("--") or name == "--":
            raise ServerStartError(
                f"{argument!r} is no option of tritonserver's: expected --NAME=VALUE; MODELs come "
                "before the --"
            )
        if not has_value and left and not left[0].startswith("--"):
            value = left.pop(0)
        yield Option(name, value)


def refuse_decided(arguments: Sequence[str], *, models_are_chosen: bool) -> None:
    """Refuse what serve decides itself, also where it is abbreviated, as `tritonserver` allows.

    Args:
        arguments: For `tritonserver`.
        models_are_chosen: Whether models are loaded by name or by request.

    Raises:
        ServerStartError: Such an option is among them, or a path that is not absolute.
    """
    for name, value in options(arguments):
        row = _row_of(name, value)
        is_polling = row == "model-control-mode" and value == "poll" and not models_are_chosen
        if row is not None and not is_polling:
            raise ServerStartError(
                f"{name} is not handed on to tritonserver, serve decides --{row}: {DECIDED[row]}"
            )
        _refuse_relative(name, value)


def _row_of(name: str, value: str) -> str | None:
    for row in DECIDED:
        option, _, setting = row.partition("=")
        if f"--{option}".startswith(name) and value.startswith(setting):
            return row
    return None


def _refuse_relative(name: str, value: str) -> None:
    for option, before in _FILES.items():
        if f"--{option}".startswith(name) and value.startswith(before):
            path = Path(value.removeprefix(before))
            if not path.is_absolute():
                raise ServerStartError(
                    f"{name}: expected an absolute path, since the server runs in a folder of its "
                    f"own, got {str(path)!r}; give {name}={before}{path.absolute()}"
                )
