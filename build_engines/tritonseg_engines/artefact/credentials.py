"""Who we are to a registry: never in the address, and in no message.

Source: `docker login` for config.json, containers-auth.json(5) for REGISTRY_AUTH_FILE.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from pathlib import Path
from typing import Final

from tritonseg_engines.errors import ArtefactError

USER, PASSWORD = "TRITONSEG_REGISTRY_USER", "TRITONSEG_REGISTRY_PASSWORD"
AUTH_FILE: Final = "REGISTRY_AUTH_FILE"
DOCKER_FOLDER: Final = "DOCKER_CONFIG"


def given_login(registry: str) -> tuple[str, str] | None:
    """Return user and password for a registry, None where nothing that we read has any.

    Raises:
        ArtefactError: Only one of the two is in the environment, or a file is none of those.
    """
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    if user and password:
        return user, password
    if user or password:
        raise ArtefactError(f"expected {USER} and {PASSWORD} in the environment, got one of them")
    path = auth_file()
    if path is None or not path.is_file():
        return None
    try:
        known = json.loads(path.read_text(encoding="utf-8")).get("auths", {}).get(registry, {})
        user, _, password = base64.b64decode(known.get("auth", "")).decode().partition(":")
    except (OSError, ValueError, AttributeError, TypeError, binascii.Error) as error:
        raise ArtefactError(f"{path}: expected what `docker login` writes") from error
    return (user, password) if user and password else None


def auth_file() -> Path | None:
    """Return the file that logins are read from before ~/.docker/config.json."""
    if AUTH_FILE in os.environ:
        return Path(os.environ[AUTH_FILE])
    if DOCKER_FOLDER in os.environ:
        return Path(os.environ[DOCKER_FOLDER], "config.json")
    return None
