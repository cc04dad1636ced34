"""Files downloaded whole and proven, or not at all, by the standard library alone.

What has arrived of a file waits in a hidden sibling, so that the next attempt continues there
(HTTP Range, with If-Range, so that two versions are never mixed). A file gets its name when it
is complete and proven.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tritonseg_engines.errors import CheckpointError

ReceivedBytes = Callable[[int, int | None], None]
"""Called with the bytes that are there and their total, None where the server does not say."""

SCHEMES = ("http", "https")
CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_BROKEN_CONNECTION = (OSError, http.client.HTTPException, ValueError)


def download(
    url: str,
    target: Path,
    *,
    prove: Callable[[Path], None],
    progress: ReceivedBytes | None = None,
) -> None:
    """Download a file unless it is there; several processes may ask for the same one.

    A broken connection is taken up again as long as every attempt brings something.

    Args:
        url: http or https.
        target: Where the file shall be.
        prove: Raises `CheckpointError` if the complete file is not the right one; it is removed.
        progress: Told how far the download is.

    Raises:
        CheckpointError: The server refused, the connection broke (what has arrived is kept), or
            the file is not the right one (nothing is kept).
    """
    if urlsplit(url).scheme not in SCHEMES:
        raise CheckpointError(f"{url}: expected a URL of http or https")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone_in(target.parent):
        if target.is_file():
            return
        partial = _Partial(target)
        _receive(url, partial, progress or _silent)
        try:
            prove(partial.path)
        except CheckpointError:
            partial.discard()
            raise
        partial.path.replace(target)
        partial.discard()


class _Partial:
    """What has arrived of a file, and of which version of it."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self._validator_path = target.with_name(f".{target.name}.part.version")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def continuation(self) -> dict[str, str]:
        """Return the request headers for the rest, none if it cannot be asked for safely."""
        if not self.size or not self._validator_path.exists():
            return {}
        validator = self._validator_path.read_text(encoding="latin1")
        return {"Range": f"bytes={self.size}-", "If-Range": validator}

    def begin(self, headers: http.client.HTTPMessage) -> None:
        """Start from nothing with the version that the response headers name."""
        self.discard()
        self.path.touch()
        validator = headers.get("ETag", "")
        # A weak ETag does not promise equal bytes, and If-Range does not take it (RFC 9110).
        if not validator or validator.startswith("W/"):
            validator = headers.get("Last-Modified", "")
        if validator:
            self._validator_path.write_text(validator, encoding="latin1")

    def discard(self) -> None:
        """Remove everything."""
        self.path.unlink(missing_ok=True)
        self._validator_path.unlink(missing_ok=True)


def _receive(url: str, partial: _Partial, progress: ReceivedBytes) -> None:
    while True:
        before, reason = partial.size, "the connection ended early"
        try:
            if _receive_rest(url, partial, progress):
                return
        except urllib.error.HTTPError as error:
            raise CheckpointError(
                f"{url}: the server answered {error.code} {error.reason}"
            ) from error
        except _BROKEN_CONNECTION as error:
            reason = str(error)
        if partial.size <= before:
            raise CheckpointError(
                f"{url}: stopped after {partial.size} bytes: {reason}. Start again to continue; "
                "what has arrived is kept"
            )


def _receive_rest(url: str, partial: _Partial, progress: ReceivedBytes) -> bool:
    """Return whether the file is complete."""
    with _request(url, partial) as response:
        total = _total(response, partial)
        with partial.path.open("ab") as file:
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                progress(file.tell(), total)
    return total is None or partial.size == total


def _total(response: Any, partial: _Partial) -> int | None:
    """Return the length of the whole file; start anew unless the response continues it."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        if match is None or int(match[1]) != partial.size:
            partial.discard()
            raise http.client.HTTPException("the server sent another range than asked for")
        return int(match[2])
    partial.begin(response.headers)
    length = response.headers.get("Content-Length")
    return None if length is None else int(length)


def _request(url: str, partial: _Partial) -> Any:
    headers = {"User-Agent": "tritonseg"}
    try:
        return _open(url, headers | partial.continuation())
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        partial.discard()
        return _open(url, headers)


def _open(url: str, headers: dict[str, str]) -> Any:
    """Open a URL of http or https; `urllib.request.urlopen` would also read files and FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - see the handlers
    return opener.open(request, timeout=TIMEOUT_S)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold off other processes that download into the folder; leaves no lock file behind."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _silent(received: int, total: int | None) -> None:
    pass
