"""What `oci://HOST/NAME:TAG` names."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final

from tritonseg_engines.errors import ArtefactError

SCHEME: Final = "oci://"
DIGEST: Final = re.compile("sha256:[0-9a-f]{64}")
"""The only digests that are taken. Source: OCI Image Specification, "Digests"."""
_HOST: Final = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::(?P<port>[0-9]+))?"
)
_NAME: Final = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
"""Both from the OCI Distribution Specification, "Pulling manifests"."""
_FORM: Final = "expected oci://HOST/NAME:TAG, such as oci://registry.example.com/team/model:1.0"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A place in a registry.

    Attributes:
        registry: `HOST` or `HOST:PORT`.
        name: Path of the repository of images there.
        tag: None where only a digest was given.
        digest: `sha256:` and 64 digits; None for whatever the tag names.
    """

    registry: str
    name: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{SCHEME}{self.registry}/{self.name}{tag}{digest}"

    @property
    def is_loopback(self) -> bool:
        """Whether the registry is on this machine, so that nobody can listen in between."""
        match = _HOST.fullmatch(self.registry)
        host = "" if match is None else match["host"].strip("[]")
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def at(self, digest: str) -> Reference:
        """Return the same place with what is there pinned."""
        return replace(self, tag=None, digest=digest)


def parse_reference(text: str) -> Reference:
    """Read an address.

    Raises:
        ArtefactError: It is none, or carries a password, which the message does not repeat.
    """
    if not text.startswith(SCHEME):
        raise ArtefactError(f"{_FORM}, got {text!r}")
    host, _, rest = text.removeprefix(SCHEME).partition("/")
    if "@" in host:
        raise ArtefactError(
            "the address carries a user name or password, which would end up in logs and process "
            "lists; leave it out and use `docker login`, or TRITONSEG_REGISTRY_USER and "
            "TRITONSEG_REGISTRY_PASSWORD"
        )
    located, _, digest = rest.partition("@")
    name, _, tag = located.partition(":")
    wrong = [
        _HOST.fullmatch(host) is None and "the host",
        _NAME.fullmatch(name) is None and "the name (lower case)",
        ":" in located and _TAG.fullmatch(tag) is None and "the tag",
        "@" in rest and DIGEST.fullmatch(digest) is None and "the digest (sha256:...)",
    ]
    if found := [part for part in wrong if part]:
        raise ArtefactError(f"{_FORM}, got {text!r}: {', '.join(found)} cannot be right")
    if not tag and not digest:
        raise ArtefactError(f"{_FORM}, got {text!r}: give a tag, as none is taken for granted")
    if not re.search("[.:]", host):
        raise ArtefactError(f"{_FORM}, got {text!r}: give the registry's port, as in {host}:443")
    return Reference(registry=host, name=name, tag=tag or None, digest=digest or None)
