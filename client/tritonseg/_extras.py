"""Libraries that extras bring, imported where they are needed and not before."""

from __future__ import annotations

import importlib
from typing import Any

from ._errors import ConfigurationError


def import_extra(module: str, *, extra: str, need: str) -> Any:
    """Import a library that one of the package's extras brings.

    Args:
        module: Its name, to import and to install.
        extra: The extra that brings it.
        need: What it is needed for.

    Raises:
        ConfigurationError: It is not there, or does not work.
    """
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise ConfigurationError(
            f"{need} needs {module}, which cannot be imported ({exc}): pip install {module}, "
            f"which is what tritonseg's extra [{extra}] brings"
        ) from exc
