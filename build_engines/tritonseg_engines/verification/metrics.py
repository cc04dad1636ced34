"""The state of a server's canaries for Prometheus, on a port beside Triton's own metrics.

Triton's endpoint has no place for what its launcher knows: models make metrics there, and this is
about them.

Source of the text: Prometheus, "Exposition formats", version 0.0.4.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.verification.verify import NONE_SEEN, Result
from tritonseg_engines.verification.watch import Watch

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
LONGEST_WAIT_S: Final = 30.0
"""For a last look; twice as long as the files in `docker/` let Prometheus wait between two."""
_LOOK_S: Final = 0.1
_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class CanaryMetrics:
    """The metrics of a watch at `/metrics`, until this process ends.

    Args:
        watch: Whose.
        every_s: Seconds between two rounds; 0 if there is none after the first.
        host: Where to listen.
        port: 0 for any that is free.

    Raises:
        ServerStartError: It cannot listen there.
    """

    def __init__(self, watch: Watch, every_s: float, *, host: str, port: int) -> None:
        self._watch, self._every_s = watch, every_s
        self._read_round_s: float | None = None
        try:
            server = ThreadingHTTPServer((host, port), _handler(self))
        except OSError as error:
            raise ServerStartError(
                f"cannot listen on port {port} of {host} for the canaries' metrics "
                f"({error.strerror}); give another port (0 for a free one), "
                "or an address of this machine"
            ) from error
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, name="canary metrics", daemon=True).start()
        self.url = f"http://{host}:{server.server_address[1]}/metrics"

    def wait_until_read(self, at_most_s: float = LONGEST_WAIT_S) -> None:
        """Wait until the last round was read, if any was read before.

        Without that a server that is ended because of its masks is gone before Prometheus looks,
        and back before it is missed.
        """
        deadline = time.monotonic() + at_most_s
        while self._read_round_s not in (None, self._watch.asked_at_s):
            if time.monotonic() > deadline:
                return
            time.sleep(_LOOK_S)

    @contextmanager
    def text_being_read(self) -> Iterator[str]:
        """Give the text; once it was sent, the round in it counts as read."""
        asked_at_s = self._watch.asked_at_s
        yield metrics_text(self._watch, self._every_s)
        self._read_round_s = asked_at_s


def metrics_text(watch: Watch, every_s: float) -> str:
    """Return the metrics of what was asked so far; `every_s` as for `CanaryMetrics`."""
    return "".join(f"{line}\n" for line in _lines(watch, every_s))


def _handler(metrics: CanaryMetrics) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0
        """Seconds that a reader may be silent."""

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404)
                return
            with metrics.text_being_read() as text:
                content = text.encode()
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Keep the launcher's log for what matters."""

    return Handler


def _lines(watch: Watch, every_s: float) -> Iterator[str]:
    results = watch.results
    asked = [one for one in results if NONE_SEEN not in one.remarks]
    answered = [watch.answered[one.label] for one in asked if one.label in watch.answered]
    yield from _metric(
        "tritonseg_canaries_right", "gauge",
        "1 if the masks that it gave last were those of the build, 0 if not.",
        ((_labels(one), str(int(one.problem is None))) for one in answered),
    )  # fmt: skip
    yield from _metric(
        "tritonseg_canaries_right_timestamp_seconds", "gauge",
        "When they were last, in Unix time.",
        (
            (_labels(one), f"{watch.right_at_s[one.label]:.3f}")
            for one in answered
            if one.label in watch.right_at_s
        ),
    )  # fmt: skip
    yield from _metric(
        "tritonseg_canary_equal_pixels", "gauge",
        "Share of the pixels with the class of the build.",
        (
            (f'{_labels(one)},canary="{name.translate(_ESCAPED)}"', f"{share:.6f}")
            for one in answered
            for name, share in one.equal_pixels.items()
        ),
    )  # fmt: skip
    yield from _metric(
        "tritonseg_canary_rounds_total", "counter",
        "How often it was asked, by what came of it.",
        (
            (f'{_labels(one)},outcome="{outcome}"', str(count))
            for one in asked
            for outcome, count in watch.rounds(one).items()
        ),
    )  # fmt: skip
    yield from _metric(
        "tritonseg_canary_round_timestamp_seconds", "gauge",
        "When canaries were asked about last, in Unix time.",
        [("", f"{watch.asked_at_s:.3f}")] if results else (),
    )  # fmt: skip
    yield from _metric(
        "tritonseg_canary_round_interval_seconds", "gauge",
        "How long after a round the next one is; 0 if there is none.",
        [("", f"{every_s:.3f}")],
    )  # fmt: skip
    yield from _metric(
        "tritonseg_files_as_built", "gauge",
        "1 if the files on the disk are those of the build.",
        ((_labels(one), str(int(one.label not in watch.changed))) for one in results),
    )  # fmt: skip


def _metric(name: str, kind: str, what: str, samples: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"


def _labels(result: Result) -> str:
    return f'model="{result.model.translate(_ESCAPED)}",version="{result.version}"'
