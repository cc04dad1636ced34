"""Which addresses are taken; a password in one is never repeated."""

from __future__ import annotations

import pytest

from tritonseg_engines.artefact.reference import parse_reference
from tritonseg_engines.errors import ArtefactError

DIGEST = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("text", "registry", "name", "tag", "digest"),
    [
        ("oci://r.example.com/m:1", "r.example.com", "m", "1", None),
        ("oci://r.example.com:50/team/m:1.0-rc_2", "r.example.com:50", "team/m", "1.0-rc_2", None),
        (f"oci://localhost:5000/m@{DIGEST}", "localhost:5000", "m", None, DIGEST),
        (f"oci://[::1]:5000/a/b/c:x@{DIGEST}", "[::1]:5000", "a/b/c", "x", DIGEST),
    ],
)  # fmt: skip
def test_an_address_is_read_and_written(
    text: str, registry: str, name: str, tag: str | None, digest: str | None
) -> None:
    reference = parse_reference(text)
    assert (reference.registry, reference.name) == (registry, name)
    assert (reference.tag, reference.digest) == (tag, digest)
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        "r.example.com/m:1",
        "https://r.example.com/m:1",
        "oci://r.example.com/m",
        "oci://r.example.com/m:",
        "oci://r.example.com/Team/m:1",
        "oci://r.example.com//m:1",
        "oci://r.example.com/../m:1",
        "oci://r.example.com/m:1@sha256:12",
        "oci://r.example.com/m:1@md5:" + "a1" * 16,
        "oci://r.example.com/m:1?x=y",
        "oci://r.example.com/m:-1",
        "oci:///m:1",
        "oci://localhost/m:1",
        "oci://r.example.com:port/m:1",
        "oci://r.example.com/m\n:1",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ArtefactError, match=r"expected oci://HOST/NAME:TAG"):
        parse_reference(text)


@pytest.mark.parametrize("login", ["me:secret", "secret", ":secret", "me:se:cret"])
def test_a_login_in_the_address_is_refused_and_not_repeated(login: str) -> None:
    with pytest.raises(ArtefactError, match="docker login") as refused:
        parse_reference(f"oci://{login}@r.example.com/m:1")
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("registry", "is_loopback"),
    [
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.8.9.1:80", True),
        ("[::1]:5000", True),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com:80", False),
        ("10.0.0.1:5000", False),
        ("[2001:db8::1]:5000", False),
    ],
)
def test_only_this_machine_is_loopback(registry: str, is_loopback: bool) -> None:
    assert parse_reference(f"oci://{registry}/m:1").is_loopback is is_loopback
