"""Triton's log, in Triton's own words (2.51, recorded), reduced to what went wrong."""

from __future__ import annotations

import io
import time
from pathlib import Path

from tritonseg_engines.serving.log import (
    KEPT_BYTES,
    LogEcho,
    failure_report,
    last_of,
    models_still_loading,
)

HEADER = "1120 16:27:41.016828 4262"
REASON = r"ValueError: no \"x\"\n\nAt:\n  /m.py(1): load\n  <frozen importlib>(241): _call\n"
LOG = rf"""W{HEADER} pinned_memory_manager.cc:273] "Unable to allocate pinned system memory"
E{HEADER} server.cc:241] "CudaDriverHelper has not been initialized."
I{HEADER} model_lifecycle.cc:472] "loading: good:1"
I{HEADER} model_lifecycle.cc:472] "loading: bad:1"
I{HEADER} model_lifecycle.cc:472] "loading: slow:12"
E{HEADER} backend_model.cc:692] "ERROR: Failed to create instance: ValueError: no\n"
E{HEADER} model_lifecycle.cc:642] "failed to load 'bad' version 1: Internal: {REASON}"
I{HEADER} model_lifecycle.cc:839] "successfully loaded 'good'"
+-------+---------+
| Model | Version |
+-------+---------+
error: creating server: Internal - failed to load all models
"""


def test_the_report_has_each_reason_once_and_no_noise() -> None:
    assert failure_report(LOG).splitlines() == [
        "failed to load 'bad' version 1: Internal: ValueError: no \"x\"",
        "At:",
        "  /m.py(1): load",
        "error: creating server: Internal - failed to load all models",
    ]


def test_the_report_falls_back_on_both_ends_of_a_log() -> None:
    report = failure_report("\n".join(str(number) for number in range(100))).splitlines()
    assert report[:2] == ["0", "1"]
    assert report[-1] == "99"
    assert len(report) < 20
    assert failure_report("") == "(the log is empty)"


def test_models_still_loading_are_those_begun_and_not_loaded() -> None:
    assert models_still_loading(LOG) == ["bad", "slow"]


def test_the_echo_has_all_that_was_written_before_it_was_closed(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_bytes(b"before \xff\n")
    stream = io.StringIO()
    with path.open("a") as log:
        echo = LogEcho(path, stream)
        log.write("after\n")
        log.flush()
        echo.close()
    assert stream.getvalue() == "before \N{REPLACEMENT CHARACTER}\nafter\n"


def test_a_log_that_is_echoed_does_not_fill_the_disk(tmp_path: Path) -> None:
    """As the server appends to it: 30 MB in pieces, of which not 15 are ever on disk."""
    path, stream = tmp_path / "server.log", io.StringIO()
    piece = "a line of the server's, \N{MICRO SIGN}\n" * 40_000
    with path.open("ab", buffering=0) as log:
        echo = LogEcho(path, stream)
        for number in range(1, 31):
            log.write(piece.encode())
            deadline = time.monotonic() + 10
            while stream.tell() < number * len(piece) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert path.stat().st_blocks * 512 < 15_000_000
        echo.close()
    assert stream.getvalue() == piece * 30
    assert last_of(path) == (piece * 30).encode()[-KEPT_BYTES:].decode()
