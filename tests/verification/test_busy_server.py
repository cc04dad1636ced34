"""Canaries and a server that is full: asked again for a while, and never taken for wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.verification import asking
from tritonseg_engines.verification.watch import Watch

MODEL = "alpha"
"""An ensemble, whose first step has a line for 64."""
OUTSTANDING = 200


@contextmanager
def flooded(url: str) -> Iterator[None]:
    """Have more requests with a server than it takes, all the time."""
    image = triton.InferInput("IMAGE", [1, 64, 96, 3], "UINT8")
    image.set_data_from_numpy(np.zeros((1, 64, 96, 3), np.uint8))
    places, stopped = threading.Semaphore(OUTSTANDING), threading.Event()

    def ask_on(client: triton.InferenceServerClient) -> None:
        while not stopped.is_set():
            places.acquire()
            client.async_infer(MODEL, [image], lambda result, error: places.release())

    with triton.InferenceServerClient(url) as client:
        thread = threading.Thread(target=ask_on, args=(client,))
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()
            for _ in range(OUTSTANDING):
                places.acquire()


def test_a_server_that_is_full_for_a_moment_is_verified(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch([good], [MODEL])

    def rounds() -> dict[str, int]:
        assert watch.ask(server.grpc_url) is None
        (result,) = watch.results
        return watch.rounds(result)

    with TritonServer(ServerConfig(repositories=(good,), models=(MODEL,))) as server:
        with flooded(server.grpc_url):
            monkeypatch.setattr(asking, "BUSY_PATIENCE_S", 0.0)
            assert any(rounds()["busy"] for _ in range(50)), "it was never full"
            before = rounds()
            monkeypatch.setattr(asking, "BUSY_PATIENCE_S", 30.0)
            for _ in range(3):
                after = rounds()
        assert after["right"] == before["right"] + 3
        assert after["busy"] == before["busy"]
