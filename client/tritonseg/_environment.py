"""Settings that a deployment gives in the environment, where the code gives none.

    TRITONSEG_URL            as the clients' `url`
    TRITONSEG_MODEL          as their `model`
    TRITONSEG_MODEL_VERSION  as their `model_version`
    TRITONSEG_TIMEOUT_S      as their `timeout_s`
    TRITONSEG_TRANSPORT      as their `transport`
    TRITONSEG_COMPRESSION    as their `compression`
    TRITONSEG_TOKEN          as their `token`

An argument goes before its variable, and a variable that is empty is not there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Final

from ._errors import ConfigurationError

PREFIX: Final = "TRITONSEG_"


def variable_of(argument: str) -> str:
    """Return the name of the variable that stands for an argument."""
    return PREFIX + argument.upper()


def from_environment(argument: str) -> str | None:
    """Return what the environment says of an argument, None where it says nothing."""
    return os.environ.get(variable_of(argument)) or None


@contextlib.contextmanager
def blaming_environment(argument: str) -> Iterator[None]:
    """Begin the message of a `ConfigurationError` with the variable that an argument came from."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{variable_of(argument)}: {error}") from error
