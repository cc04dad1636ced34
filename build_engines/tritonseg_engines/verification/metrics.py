"""The state of a server's canaries for Prometheus, on a port beside Triton's own metrics.

Triton's endpoint has no place for what its launcher knows: models make metrics there, and this is
about them.

Source of the text: Prometheus, "Exposition formats", version 0.0.4.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from tritonseg_engines.verification.verify import Result
from tritonseg_engines.verification.watch import Watch

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def metrics_text(watch: Watch) -> str:
    """Return the metrics of what was asked last."""
    return "".join(f"{line}\n" for line in _lines(watch))


def serve_metrics(watch: Watch, host: str, port: int) -> int:
    """Serve the metrics at `/metrics` until this process ends; return the port.

    Args:
        watch: Whose.
        host: Where to listen.
        port: 0 for any that is free.

    Raises:
        OSError: It is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404)
                return
            content = metrics_text(watch).encode()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Keep the launcher's log for what matters."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="canary metrics", daemon=True).start()
    return int(server.server_address[1])


def _lines(watch: Watch) -> Iterator[str]:
    results = watch.results
    yield "# HELP tritonseg_canaries_right 1 if the last answers were the masks of the build."
    yield "# TYPE tritonseg_canaries_right gauge"
    for one in results:
        yield f"tritonseg_canaries_right{{{_labels(one)}}} {int(one.problem is None)}"
    yield "# HELP tritonseg_canary_equal_pixels Share of the pixels with the class of the build."
    yield "# TYPE tritonseg_canary_equal_pixels gauge"
    for one in results:
        for name, share in one.equal_pixels.items():
            labels = f'{_labels(one)},canary="{name.translate(_ESCAPED)}"'
            yield f"tritonseg_canary_equal_pixels{{{labels}}} {share:.6f}"
    yield "# HELP tritonseg_canary_rounds_total How often it was asked, by what came of it."
    yield "# TYPE tritonseg_canary_rounds_total counter"
    for one in results:
        for outcome, count in sorted(watch.rounds(one).items()):
            labels = f'{_labels(one)},outcome="{outcome}"'
            yield f"tritonseg_canary_rounds_total{{{labels}}} {count}"
    yield "# HELP tritonseg_canary_round_timestamp_seconds When it was asked last, in Unix time."
    yield "# TYPE tritonseg_canary_round_timestamp_seconds gauge"
    if results:
        yield f"tritonseg_canary_round_timestamp_seconds {watch.asked_at_s:.3f}"
    yield "# HELP tritonseg_files_as_built 1 if the files on the disk are those of the build."
    yield "# TYPE tritonseg_files_as_built gauge"
    for one in results:
        yield f"tritonseg_files_as_built{{{_labels(one)}}} {int(one.label not in watch.changed)}"


def _labels(result: Result) -> str:
    return f'model="{result.model.translate(_ESCAPED)}",version="{result.version}"'
