"""Downloads from a real server on this machine: whole and proven, continued, or refused."""

from __future__ import annotations

import hashlib
import http.server
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tritonseg_engines.errors import CheckpointError, SpecificationError
from tritonseg_engines.zoo.published import PUBLISHED_CHECKPOINTS, PublishedCheckpoint

pytest.importorskip("torch", reason="the package of checkpoints needs torch")

from tritonseg_engines.checkpoints import (
    default_cache,
    fetch_upstream,
    fetch_url,
    locate_weights,
)

CONTENT = bytes(range(256)) * 20_000
PIECE = 1_000_000
NAME = "fastseg-small"


@dataclass
class Served:
    """What the server does next, and what it was asked."""

    content: bytes = CONTENT
    etag: str | None = '"first"'
    ranges: bool = True
    says_length: bool = True
    breaks_after: list[int] = field(default_factory=list)
    redirect: str | None = None
    status: int = 200
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one content with Range and If-Range, and breaks off where told."""

    served: Served

    def do_GET(self) -> None:
        served = self.served
        served.requests.append(dict(self.headers))
        if served.redirect or served.status != 200:
            self.send_response(302 if served.redirect else served.status)
            if served.redirect:
                self.send_header("Location", served.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = self.start()
        if start is not None and start >= len(served.content):
            self.send_error(416)
            return
        self.answer(start)

    def start(self) -> int | None:
        """Return where the asked range begins, or None if the whole is to be sent."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") == self.served.etag
        return int(match[1]) if match and self.served.ranges and same else None

    def answer(self, start: int | None) -> None:
        served = self.served
        body = served.content[start or 0 :]
        self.send_response(200 if start is None else 206)
        if served.says_length:
            self.send_header("Content-Length", str(len(body)))
        if start is not None:
            total = len(served.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if served.etag:
            self.send_header("ETag", served.etag)
        self.end_headers()
        if served.breaks_after:
            body = body[: served.breaks_after.pop(0)]
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def served() -> Iterator[Served]:
    state = Served()
    handler = type("OneHandler", (Handler,), {"served": state})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}/weights.pt"
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture
def publish(served: Served, monkeypatch: pytest.MonkeyPatch) -> PublishedCheckpoint:
    """Let the local server be the publisher of one model."""
    published = PublishedCheckpoint(
        file_name="weights.pt",
        url=served.url,
        size_bytes=len(CONTENT),
        sha384=hashlib.sha384(CONTENT).hexdigest(),
        sha256_prefix=hashlib.sha256(CONTENT).hexdigest()[:8],
    )
    monkeypatch.setitem(PUBLISHED_CHECKPOINTS, NAME, published)
    return published


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.usefixtures("publish")
def test_a_published_file_is_downloaded_once_with_progress(served: Served, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = fetch_upstream(NAME, tmp_path, lambda received, total: told.append((received, total)))
    assert path.read_bytes() == CONTENT
    assert files_in(tmp_path) == [path]
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [received for received, _ in told] == sorted(received for received, _ in told)
    assert len(told) > 1
    assert fetch_upstream(NAME, tmp_path) == path
    assert len(served.requests) == 1


@pytest.mark.usefixtures("publish")
def test_a_broken_connection_is_taken_up_where_it_broke(served: Served, tmp_path: Path) -> None:
    served.breaks_after = [PIECE, PIECE]
    path = fetch_upstream(NAME, tmp_path)
    assert path.read_bytes() == CONTENT
    asked = [request.get("Range") for request in served.requests]
    assert asked == [None, f"bytes={PIECE}-", f"bytes={2 * PIECE}-"]


@pytest.mark.usefixtures("publish")
def test_the_next_call_continues_an_interrupted_download(served: Served, tmp_path: Path) -> None:
    served.breaks_after = [PIECE, 0]
    with pytest.raises(CheckpointError, match=f"stopped after {PIECE} bytes.*Start again"):
        fetch_upstream(NAME, tmp_path)
    assert not (tmp_path / NAME / "weights.pt").exists()
    path = fetch_upstream(NAME, tmp_path)
    assert path.read_bytes() == CONTENT
    assert served.requests[-1]["Range"] == f"bytes={PIECE}-"
    assert files_in(tmp_path) == [path]


@pytest.mark.usefixtures("publish")
def test_an_interrupted_callback_keeps_what_has_arrived(served: Served, tmp_path: Path) -> None:
    def interrupt(received: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_upstream(NAME, tmp_path, interrupt)
    assert fetch_upstream(NAME, tmp_path).read_bytes() == CONTENT
    assert "Range" in served.requests[-1]


@pytest.mark.parametrize("change", ["version", "no_ranges", "no_version"])
def test_two_versions_are_never_mixed(change: str, served: Served, tmp_path: Path) -> None:
    served.breaks_after = [PIECE, 0]
    if change == "no_version":
        served.etag = None
    with pytest.raises(CheckpointError):
        fetch_url(served.url, tmp_path)
    served.content = CONTENT[::-1]
    if change == "version":
        served.etag = '"second"'
    served.ranges = change != "no_ranges"
    assert fetch_url(served.url, tmp_path).read_bytes() == CONTENT[::-1]


@pytest.mark.usefixtures("publish")
def test_a_partial_file_longer_than_the_whole_is_thrown_away(
    served: Served, tmp_path: Path
) -> None:
    served.breaks_after = [PIECE, 0]
    with pytest.raises(CheckpointError):
        fetch_upstream(NAME, tmp_path)
    (partial,) = (path for path in files_in(tmp_path) if path.suffix == ".part")
    partial.write_bytes(CONTENT + b"more")
    assert fetch_upstream(NAME, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (CONTENT + b"!", f"expected bytes {len(CONTENT)}, got {len(CONTENT) + 1}"),
        (CONTENT[:-1] + b"!", "expected SHA-384"),
    ],
)
@pytest.mark.usefixtures("publish")
def test_another_file_is_refused_and_nothing_is_left(
    content: bytes, told: str, served: Served, tmp_path: Path
) -> None:
    served.content = content
    with pytest.raises(CheckpointError, match=re.escape(told)):
        fetch_upstream(NAME, tmp_path)
    assert not files_in(tmp_path)


def test_the_beginning_of_a_digest_is_checked_too(
    publish: PublishedCheckpoint, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = PublishedCheckpoint(
        file_name=publish.file_name, url=publish.url, sha256_prefix="00000000"
    )
    monkeypatch.setitem(PUBLISHED_CHECKPOINTS, NAME, other)
    with pytest.raises(CheckpointError, match="beginning of the SHA-256 00000000"):
        fetch_upstream(NAME, tmp_path)
    assert not files_in(tmp_path)


@pytest.mark.parametrize("status", [404, 403, 500])
def test_refusals_of_the_server_are_told(status: int, served: Served, tmp_path: Path) -> None:
    served.status = status
    with pytest.raises(CheckpointError, match=f"{re.escape(served.url)}.*answered {status}"):
        fetch_url(served.url, tmp_path)
    assert not files_in(tmp_path)
    assert len(served.requests) == 1


def test_a_server_that_does_not_say_how_long(served: Served, tmp_path: Path) -> None:
    served.says_length = False
    told: list[int | None] = []
    path = fetch_url(served.url, tmp_path, lambda received, total: told.append(total))
    assert path.read_bytes() == CONTENT
    assert set(told) == {None}


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/weights.pt", "weights"])
def test_other_schemes_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="http or https"):
        fetch_url(url, tmp_path)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/weights.pt"])
def test_redirections_to_other_schemes_are_refused(
    target: str, served: Served, tmp_path: Path
) -> None:
    served.redirect = target
    with pytest.raises(CheckpointError):
        fetch_url(served.url, tmp_path)
    assert not files_in(tmp_path)


def test_nobody_listening(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(CheckpointError, match=r"stopped after 0 bytes.*refused"):
        fetch_url(f"http://127.0.0.1:{port}/weights.pt", tmp_path)


def test_names_in_urls_stay_inside_the_cache(served: Served, tmp_path: Path) -> None:
    base = served.url.rpartition("/")[0]
    paths = [
        fetch_url(f"{base}/{name}", tmp_path)
        for name in ("..%2F..%2Fescape.pt", "a/", "hrnet_w48.pth?download=1", "%2E.pt")
    ]
    names = [path.name for path in paths]
    assert names == ["escape.pt", "weights", "hrnet_w48.pth", "pt"]
    assert len(set(paths)) == 4
    assert all(path.resolve().is_relative_to(tmp_path.resolve()) for path in paths)


def test_several_at_once_download_once(served: Served, tmp_path: Path) -> None:
    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda: paths.append(fetch_url(served.url, tmp_path)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(served.requests) == 1
    assert [path.read_bytes() == CONTENT for path in paths] == [True] * 4


@pytest.mark.parametrize(
    "name", [n for n, published in PUBLISHED_CHECKPOINTS.items() if published.manual_download]
)
def test_links_that_need_a_browser_say_what_to_fetch(name: str, tmp_path: Path) -> None:
    published = PUBLISHED_CHECKPOINTS[name]
    with pytest.raises(CheckpointError) as caught:
        fetch_upstream(name, tmp_path)
    message = str(caught.value)
    assert published.url in message
    assert f"--weights {published.file_name}" in message


@pytest.mark.usefixtures("publish")
def test_weights_may_be_upstream_a_url_or_a_file(served: Served, tmp_path: Path) -> None:
    assert locate_weights(NAME, "upstream", tmp_path).parent == tmp_path / NAME
    assert locate_weights(NAME, served.url, tmp_path).read_bytes() == CONTENT
    own = tmp_path / "own.pt"
    own.touch()
    assert locate_weights(NAME, str(own), tmp_path) == own
    with pytest.raises(CheckpointError, match="no such file"):
        locate_weights(NAME, str(tmp_path / "missing.pt"), tmp_path)
    with pytest.raises(SpecificationError):
        locate_weights("fastseg", "upstream", tmp_path)


def test_the_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRITONSEG_CACHE", str(tmp_path / "own"))
    assert default_cache() == tmp_path / "own"
    monkeypatch.delenv("TRITONSEG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "tritonseg"
