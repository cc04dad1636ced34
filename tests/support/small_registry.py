"""A registry of a few lines that answers as a test wants, above all as real ones do when they fail.

Source: OCI Distribution Specification 1.1, "Endpoints".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_INDEX = "application/vnd.oci.image.index.v1+json"
_CALL = re.compile(r"/v2/.+/(manifests|blobs|referrers)/([^/]+)")


@dataclass(kw_only=True)
class SmallRegistry:
    """What is in it, and how it answers.

    Attributes:
        address: `HOST:PORT`.
        documents: Media type and bytes, by tag and by digest.
        blobs: By digest.
        referrers: What it says when it is asked for referrers; 200 lists them.
        chunk: Documents are sent in HTTP chunks of so many bytes; 0 sends them whole.
        on_blob: Called when a blob comes.
    """

    address: str = ""
    documents: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    referrers: int = 404
    chunk: int = 0
    on_blob: Callable[[], None] = lambda: None

    def store(self, name: str, media_type: str, content: bytes) -> str:
        """Keep a document under a tag or digest, and under its digest; return that."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.documents[name] = self.documents[digest] = (media_type, content)
        return digest

    def listed(self, digest: str) -> bytes:
        """Return the index of what refers to a digest."""
        lines = []
        for name, (media_type, content) in self.documents.items():
            document = json.loads(content)
            if name.startswith("sha256:") and document.get("subject", {}).get("digest") == digest:
                line = {"mediaType": media_type, "digest": name, "size": len(content)}
                lines.append({**line, "artifactType": document["artifactType"]})
        return json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": lines}).encode()


@contextlib.contextmanager
def small_registry() -> Iterator[SmallRegistry]:
    """Run one on a loopback port."""
    registry = SmallRegistry()
    server = _Server(registry)
    registry.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def __init__(self, registry: SmallRegistry) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.registry = registry


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def registry(self) -> SmallRegistry:
        assert isinstance(self.server, _Server)
        return self.server.registry

    def do_GET(self) -> None:
        call = _CALL.fullmatch(self.path)
        if call is None:
            self._answer(200 if self.path == "/v2/" else 404)
            return
        kind, name = call.groups()
        if kind == "referrers":
            is_listed = self.registry.referrers == 200
            found = (_INDEX, self.registry.listed(name)) if is_listed else None
            self._give(found, self.registry.referrers)
        elif kind == "manifests":
            self._give(self.registry.documents.get(name))
        else:
            blob = self.registry.blobs.get(name)
            self._give(None if blob is None else ("application/octet-stream", blob))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self._answer(202, {"Location": "/v2/any/blobs/uploads/1"})

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        url = urllib.parse.urlparse(self.path)
        call = _CALL.fullmatch(url.path)
        if "digest" in (query := urllib.parse.parse_qs(url.query)):
            self.registry.on_blob()
            self.registry.blobs[query["digest"][0]] = content
        elif call is not None:
            self.registry.store(call[2], self.headers["Content-Type"], content)
        understood = {"OCI-Subject": "any"} if self.registry.referrers == 200 else {}
        self._answer(201, understood)

    def _give(self, found: tuple[str, bytes] | None, missing: int = 404) -> None:
        if found is None:
            self._answer(missing)
        else:
            self._answer(200, {"Content-Type": found[0]}, found[1])

    def _answer(
        self, status: int, headers: dict[str, str] | None = None, content: bytes = b""
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        is_chunked = self.registry.chunk > 0 and bool(content) and self.command == "GET"
        if is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if is_chunked:
            for start in range(0, len(content), self.registry.chunk):
                piece = content[start : start + self.registry.chunk]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        elif self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing of requests."""
