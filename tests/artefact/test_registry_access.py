"""Who may: logins of every kind, TLS, and registries that do not answer."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oci_registry import RealRegistry, running
from token_server import TokenServer, tokens, write_certificate
from tritonseg_engines.artefact.pull import PullOrder, pull
from tritonseg_engines.artefact.push import push
from tritonseg_engines.artefact.reference import parse_reference
from tritonseg_engines.artefact.registry import Registry
from tritonseg_engines.errors import ArtefactError

pytestmark = pytest.mark.e2e
USER, PASSWORD = "me", "pass:word"
HTPASSWD = f"{USER}:$2b$04$m2t8uerbBVZDkoQi0mFVXOzNPWgyJJDuw/5lI1ZXhrOWTuFGUYE2K\n"
LOGIN = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No login of whoever runs this counts."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "TRITONSEG_REGISTRY_USER",
                 "TRITONSEG_REGISTRY_PASSWORD", "REQUESTS_CA_BUNDLE"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def token_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    with tokens(tmp_path_factory.mktemp("tokens"), USER, PASSWORD) as server:
        yield server


@pytest.fixture(scope="module", params=["basic", "token"])
def closed(
    request: pytest.FixtureRequest,
    token_server: TokenServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RealRegistry]:
    """A registry that lets nobody in without a login."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "htpasswd").write_text(HTPASSWD)
    basic = f"auth: {{htpasswd: {{realm: tests, path: '{folder / 'htpasswd'}'}}}}\n"
    with running(folder, auth=basic if request.param == "basic" else token_server.auth) as one:
        yield one


def round_trip(registry: RealRegistry, repository: Path, folder: Path) -> None:
    reference = parse_reference(f"oci://{registry.address}/team/tiny:1")
    push(repository, reference)
    pull(PullOrder(reference=reference, repository=folder / "r"))
    assert (folder / "r/tiny/1/manifest.json").is_file()


@pytest.mark.parametrize("way", ["environment", "docker", "elsewhere", "podman", "helper"])
def test_a_login_of_every_kind_is_taken(
    way: str, closed: RealRegistry, for_cpu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "home" / ".docker"
    folder.mkdir()
    known = {"auths": {closed.address: {"auth": LOGIN}}}
    if way == "environment":
        monkeypatch.setenv("TRITONSEG_REGISTRY_USER", USER)
        monkeypatch.setenv("TRITONSEG_REGISTRY_PASSWORD", PASSWORD)
    elif way == "elsewhere":
        monkeypatch.setenv("DOCKER_CONFIG", str(folder))
        monkeypatch.setenv("HOME", str(tmp_path))
    elif way == "podman":
        (folder / "auth.json").write_text(json.dumps(known))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(folder / "auth.json"))
        known = {}
    elif way == "helper":
        helper = tmp_path / "docker-credential-tests"
        answer = json.dumps({"Username": USER, "Secret": PASSWORD})
        helper.write_text(f"#!/bin/sh\necho '{answer}'\n")
        helper.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        known = {"auths": {}, "credHelpers": {closed.address: "tests"}}
    (folder / "config.json").write_text(json.dumps({} if way == "environment" else known))
    round_trip(closed, for_cpu, tmp_path)


@pytest.mark.parametrize("login", [None, "wrong"])
def test_without_a_login_or_with_a_wrong_one_nothing_goes(
    login: str | None,
    closed: RealRegistry,
    for_cpu: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if login is not None:
        monkeypatch.setenv("TRITONSEG_REGISTRY_USER", USER)
        monkeypatch.setenv("TRITONSEG_REGISTRY_PASSWORD", "another")
    started = time.monotonic()
    with pytest.raises(ArtefactError, match="docker login") as refused:
        round_trip(closed, for_cpu, tmp_path)
    assert "another" not in str(refused.value)
    assert time.monotonic() - started < 15


def test_half_a_login_is_refused(
    closed: RealRegistry, for_cpu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITONSEG_REGISTRY_USER", USER)
    with pytest.raises(ArtefactError, match="got one of them"):
        round_trip(closed, for_cpu, tmp_path)


def test_a_certificate_counts_if_its_authority_is_known(
    for_cpu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = write_certificate(tmp_path)
    tls = f", tls: {{certificate: '{certificate.pem}', key: '{certificate.key}'}}"
    with running(tmp_path, tls=tls) as registry:
        with pytest.raises(ArtefactError, match="expected TLS with a certificate"):
            round_trip(registry, for_cpu, tmp_path)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.pem))
        round_trip(registry, for_cpu, tmp_path)


def outside_address() -> str:
    """Return an address of this machine that is not the loopback one."""
    done = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False)
    found = [word for word in done.stdout.split() if "." in word]
    if not found:
        pytest.skip("needs an IPv4 address beside the loopback one")
    return found[0]


def test_elsewhere_than_here_tls_is_needed_unless_told(for_cpu: Path, tmp_path: Path) -> None:
    with running(tmp_path, host=outside_address()) as registry:
        reference = parse_reference(f"oci://{registry.address}/tiny:1")
        with pytest.raises(ArtefactError, match="expected TLS with a certificate"):
            push(for_cpu, reference)
        push(for_cpu, reference, plain_http=True)
        order = PullOrder(reference=reference, repository=tmp_path / "r", plain_http=True)
        assert pull(order).models == ("tiny",)


def test_a_registry_that_is_not_there_is_said_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    started = time.monotonic()
    with pytest.raises(ArtefactError, match=r"cannot be reached: .*refused"):
        Registry(parse_reference(f"oci://{address}/tiny:1"))
    assert time.monotonic() - started < 10


def test_a_registry_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from tritonseg_engines.artefact import registry as module

    monkeypatch.setattr(module, "CONNECT_S", 0.3)
    monkeypatch.setattr(module, "SILENCE_S", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ArtefactError, match="cannot be reached"):
            Registry(parse_reference(f"oci://{address}/tiny:1"))
