"""Which of Triton's APIs a client may call: all but a few, unless asked for otherwise.

An API is closed by demanding a header whose value nobody knows: one switch that every version has.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from tritonseg_engines.errors import ServerStartError

APIS: Final = (
    "health",
    "metadata",
    "inference",
    "shared-memory",
    "model-config",
    "model-repository",
    "statistics",
    "trace",
    "logging",
)
"""All that Triton knows, the same for gRPC and HTTP.

Source: RESTRICTED_CATEGORY_NAMES in the server's src/restricted_features.h; 24.10's
`tritonserver --help` lists the same.
"""
CLOSED_APIS: Final = ("shared-memory", "trace", "logging")
"""Registering foreign memory, and writing files by request: nothing a client of ours needs."""
MODEL_CONTROL: Final = "model-repository"
"""The API by which models are listed, loaded and unloaded."""
RULES: Final = ("--grpc-restricted-protocol", "--http-restricted-api")
"""Options of `tritonserver` that demand a header for some APIs, for gRPC and for HTTP."""
CLIENT_MEMORY: Final = "--allow-client-shm"
"""Without it a Triton that knows it takes no memory from clients: since April 2026 it is off.

Source: docs/protocol/extension_shared_memory.md of the server; server #8721.
"""
CLOSED_HEADER: Final = "tritonseg-closed"
_GRPC_PREFIX: Final = "triton-grpc-protocol-"
_ASKED_BY_SERVE: Final = ("health", "metadata")


def refuse_access(*, allowed: Sequence[str], closed: Sequence[str], ruled: Sequence[str]) -> None:
    """Refuse APIs that Triton does not know, contradict each other or make readiness unknowable.

    Args:
        allowed: To be open to everybody.
        closed: To be open to nobody.
        ruled: Given a rule of their own, so open to those who know its header.

    Raises:
        ServerStartError: Such an API is among them.
    """
    unknown = [api for api in (*allowed, *closed) if api not in APIS]
    if unknown:
        raise ServerStartError(
            f"Triton has no API {unknown[0]!r}; expected one of {', '.join(APIS)}"
        )
    for one, other in (("--allow", allowed), ("a rule of its own", ruled)):
        both = [api for api in other if api in closed]
        if both:
            raise ServerStartError(f"{both[0]} has both --close and {one}: give one of them")
    needed = [api for api in (*closed, *ruled) if api in _ASKED_BY_SERVE]
    if needed:
        raise ServerStartError(
            f"{needed[0]} cannot be closed: by it serve finds out whether the server is ready"
        )


def ruled_apis(rules: Iterable[str]) -> tuple[str, ...]:
    """Return the APIs in the values of `RULES`' options, each `API[,API...]:KEY=VALUE`."""
    return tuple(api for rule in rules for api in rule.partition(":")[0].split(","))


def closing_flags(
    closed: Iterable[str], rules: Collection[tuple[str, str]], key: str | None = None
) -> list[str]:
    """Return the flags that close APIs, but for those that a rule says something else of.

    Args:
        closed: To be open to nobody.
        rules: Options of `RULES`, also abbreviated, each with a value of its own.
        key: What opens them all the same; None for what nobody knows.
    """
    key = key or new_key()
    flags = []
    for option in RULES:
        # Triton refuses an API in two rules.
        ruled = ruled_apis(rule for name, rule in rules if option.startswith(name))
        left = [api for api in dict.fromkeys(closed) if api not in ruled]
        if left:
            flags.append(f"{option}={','.join(left)}:{CLOSED_HEADER}={key}")
    return flags


def new_key() -> str:
    """Return what nobody knows."""
    return secrets.token_hex(16)


def grpc_headers(
    api: str, closed: Collection[str], rules: Collection[tuple[str, str]], key: str
) -> dict[str, str]:
    """Return the headers of a call that may use an API by gRPC, whoever else may.

    Args:
        api: One of `APIS`.
        closed: As for `closing_flags`.
        rules: As for `closing_flags`.
        key: As for `closing_flags`.

    Source: docs/customization_guide/inference_protocols.md of the server.
    """
    for name, rule in rules:
        if RULES[0].startswith(name) and api in ruled_apis([rule]):
            header, _, value = rule.partition(":")[2].partition("=")
            return {f"{_GRPC_PREFIX}{header}": value}
    return {f"{_GRPC_PREFIX}{CLOSED_HEADER}": key} if api in closed else {}
