"""Documents and blobs in a registry, by oras; what comes is what its digest says, or is refused."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import oras.container
import oras.provider
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tritonseg_engines.artefact.credentials import auth_file, given_login
from tritonseg_engines.artefact.documents import DOCUMENT_BYTES, Descriptor
from tritonseg_engines.artefact.reference import Reference
from tritonseg_engines.errors import ArtefactError

CONNECT_S, SILENCE_S = 10.0, 60.0
"""How long a connection may take, and how long nothing may come."""
RETRIES: Final = Retry(
    total=3, backoff_factor=0.5, status_forcelist=(429, 502, 503, 504), raise_on_status=False
)
CHUNKED_FROM: Final = 64 * 2**20
"""Larger blobs are sent in pieces of this size, in bytes; oras holds what it sends in memory."""
_CHUNK: Final = 2**20
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_UNKNOWN_CALL: Final = (400, _NOT_FOUND, 405, 501)
"""What registries say to a call that they do not have."""
_DIGEST_HEADER: Final = "Docker-Content-Digest"


class UnavailableError(ArtefactError):
    """A registry refuses, fails or is not reached, so that what it has is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A manifest or index as it came.

    Attributes:
        content: Its bytes.
        descriptor: What they are.
    """

    content: bytes
    descriptor: Descriptor


class _Client(oras.provider.Registry):  # type: ignore[misc]  # oras has no types
    """oras with time-outs, without its own retries: 131 s for a wrong password."""

    def __init__(self, *, insecure: bool, auth_backend: str) -> None:
        super().__init__(insecure=insecure, auth_backend=auth_backend)
        # What it logs as errors comes as an exception, too, and is said once.
        logging.getLogger("oras.logger").setLevel(logging.CRITICAL)
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, _Patient(max_retries=RETRIES))

    def do_request(self, *arguments: Any, **keywords: Any) -> requests.Response:
        """Send a request; once more where a token was good for less than this one."""
        once = oras.provider.Registry.do_request.__wrapped__
        response: requests.Response = once(self, *arguments, **keywords)
        if response.status_code == _UNAUTHORIZED and getattr(self.auth, "token", None):
            response.close()
            self.auth.token = None  # else oras sends the same again
            response = once(self, *arguments, **keywords)
        return response


class _Patient(HTTPAdapter):
    """Gives up on a registry that says nothing."""

    def send(self, *arguments: Any, **keywords: Any) -> requests.Response:
        keywords["timeout"] = keywords.get("timeout") or (CONNECT_S, SILENCE_S)
        response: requests.Response = super().send(*arguments, **keywords)
        if not response.ok:
            _ = response.content  # read, which oras does not with a stream, so that it is closed
        return response


class Registry(contextlib.AbstractContextManager["Registry"]):
    """One repository of images in a registry, connected while the context is open.

    Raises:
        UnavailableError: As everything here: it cannot be reached, fails or refuses.
        ArtefactError: As everything here: it sends something else than what was asked for.
    """

    def __init__(self, reference: Reference, *, plain_http: bool = False) -> None:
        self._where = reference.registry
        self._container = oras.container.Container(f"{reference.registry}/{reference.name}")
        with self._told():
            insecure = plain_http or (reference.is_loopback and not self._speaks_tls())
            self._client = _Client(insecure=insecure, auth_backend="token")
            try:
                self._log_in(self._client.session.get(self._root(self._client.prefix)))
            except BaseException:
                self._client.session.close()
                raise

    def __exit__(self, *_: object) -> None:
        self._client.session.close()

    def document(self, name: str, media_types: str) -> Document | None:
        """Return a manifest or index by tag or digest, None where there is none."""
        with self._told(), self._get(self._manifest_url(name), media_types) as response:
            if response.status_code == _NOT_FOUND:
                return None
            self._refuse_failed(response)
            return self._document(name, response)

    def put_document(self, name: str, media_type: str, content: bytes) -> requests.Response:
        """Store a manifest or index under a tag or its digest."""
        headers = {"Content-Type": media_type}
        with self._told():
            response: requests.Response = self._client.do_request(
                self._manifest_url(name), "PUT", data=content, headers=headers
            )
            self._refuse_failed(response)
        return response

    def put_blob(self, path: Path, digest: str, size: int) -> None:
        """Store a file of so many bytes, if it is not there yet."""
        described = {"digest": digest, "size": size}
        with self._told():
            response = self._client.upload_blob(
                str(path),
                self._container,
                described,
                do_chunked=size > CHUNKED_FROM,
                chunk_size=CHUNKED_FROM,
            )
            self._refuse_failed(response)

    def fetch(self, descriptor: Descriptor, file: BinaryIO) -> None:
        """Write a blob into a file."""
        sha256, size = hashlib.sha256(), 0
        blob = descriptor.digest
        with self._told(), self._client.get_blob(self._container, blob, stream=True) as response:
            if response.status_code == _NOT_FOUND:
                raise ArtefactError(f"{self._where}: {blob} is named and not there; push it again")
            self._refuse_failed(response)
            for chunk in response.iter_content(_CHUNK):
                size += len(chunk)
                if size > descriptor.size:
                    break
                sha256.update(chunk)
                file.write(chunk)
        if size != descriptor.size or f"sha256:{sha256.hexdigest()}" != descriptor.digest:
            raise ArtefactError(
                f"{self._where}: {descriptor.digest} is not what it should be (its SHA-256 or size "
                "differs): it was changed or damaged there; push it again"
            )

    def referrers(self, digest: str, media_types: str) -> Document | None:
        """Return the index of what refers to a digest; None from a registry that makes none.

        Those of OCI 1.1 do.
        """
        prefix, path = self._client.prefix, self._container.api_prefix
        url = f"{prefix}://{self._container.registry}/v2/{path}/referrers/{digest}"
        with self._told(), self._get(url, media_types) as response:
            if response.status_code in _UNKNOWN_CALL:
                return None
            self._refuse_failed(response)
            return self._document("", response)

    def _speaks_tls(self) -> bool:
        """Return whether TLS is spoken here, where nobody could listen in between without."""
        try:
            with requests.Session() as session:
                session.get(self._root("https"), timeout=(CONNECT_S, SILENCE_S))
        except requests.exceptions.SSLError as error:
            return any(isinstance(one, ssl.SSLCertVerificationError) for one in _causes(error))
        return True

    def _root(self, scheme: str) -> str:
        return f"{scheme}://{self._where}/v2/"

    def _log_in(self, response: requests.Response) -> None:
        """Make the client answer as the registry asks."""
        asked = response.headers.get("Www-Authenticate", "").lower()
        if asked.startswith("basic"):
            insecure = self._client.prefix == "http"
            self._client.session.close()
            self._client = _Client(insecure=insecure, auth_backend="basic")
        auth, login = self._client.auth, given_login(self._where)
        if login is not None:
            auth.set_basic_auth(*login)
        elif response.status_code in (_UNAUTHORIZED, _FORBIDDEN):
            path = auth_file()
            auth.load_configs(self._container, configs=[str(path)] if path else None)
            if asked.startswith("basic") and not hasattr(auth, "_basic_auth"):
                raise UnavailableError(self._login_needed())

    def _document(self, name: str, response: requests.Response) -> Document:
        content = self._bounded(response)
        media_type = response.headers.get("Content-Type", "").partition(";")[0]
        descriptor = Descriptor.of(media_type, content)
        told = response.headers.get(_DIGEST_HEADER, descriptor.digest)
        expected = name if name.startswith("sha256:") else told
        if descriptor.digest != expected:
            raise ArtefactError(
                f"{self._where}: expected {expected}, got a document with another SHA-256: it was "
                "changed or damaged there; push it again"
            )
        return Document(content=content, descriptor=descriptor)

    def _bounded(self, response: requests.Response) -> bytes:
        """Read a document, which may come in pieces, and not one that has no end."""
        content = bytearray()
        for piece in response.iter_content(_CHUNK):
            content += piece
            if len(content) > DOCUMENT_BYTES:
                raise ArtefactError(
                    f"{self._where}: expected a document of at most {DOCUMENT_BYTES} bytes, got a "
                    "longer one: it was changed or damaged there; push it again"
                )
        return bytes(content)

    def _get(self, url: str, media_types: str) -> requests.Response:
        headers = {"Accept": media_types}
        response: requests.Response = self._client.do_request(url, headers=headers, stream=True)
        return response

    def _manifest_url(self, name: str) -> str:
        return f"{self._client.prefix}://{self._container.manifest_url(name)}"

    def _refuse_failed(self, response: requests.Response) -> None:
        if response.status_code in (_UNAUTHORIZED, _FORBIDDEN):
            raise UnavailableError(self._login_needed())
        if not response.ok:
            raise UnavailableError(
                f"{self._where}: expected success, got {response.status_code} "
                f"({_registry_words(response)})"
            )

    def _login_needed(self) -> str:
        return (
            f"{self._where}: expected a login that may do this, got none or one that may not; use "
            f"`docker login {self._where}`, or TRITONSEG_REGISTRY_USER and "
            "TRITONSEG_REGISTRY_PASSWORD"
        )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Say in one line what requests and oras say otherwise."""
        try:
            yield
        except requests.exceptions.SSLError as error:
            raise UnavailableError(
                f"{self._where}: expected TLS with a certificate that is known here, got "
                f"{_innermost(error)}; REQUESTS_CA_BUNDLE names an authority of your own, "
                "--plain-http does without"
            ) from error
        except requests.exceptions.RequestException as error:
            raise UnavailableError(
                f"{self._where}: cannot be reached: {_innermost(error)}"
            ) from error
        except ValueError as error:
            if "authentication" in str(error):
                raise UnavailableError(self._login_needed()) from error
            raise UnavailableError(f"{self._where}: {error}") from error


def _registry_words(response: requests.Response) -> str:
    """Return what the registry says itself. Source: OCI Distribution, "Error Codes"."""
    with contextlib.suppress(ValueError, KeyError, IndexError, TypeError):
        error = response.json()["errors"][0]
        return " ".join(f"{error['code']}: {error.get('message', '')}".split())[:200]
    return response.reason


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _innermost(error: BaseException) -> str:
    reason = error.args[0] if error.args else error
    reason = getattr(reason, "reason", reason)
    return str(reason).rpartition(": ")[2][:200] or type(error).__name__
