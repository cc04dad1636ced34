"""An open loop at a real server: requests at random times, whoever waits for an answer.

The clients are bare ones, without retries. What is kept of a request is a number, so that an open
loop may last for hours.
"""

from __future__ import annotations

import random
import threading
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import tritonclient.grpc as triton
from pace import closed_loop_rate

OVERLOAD: Final = 2.0
"""Times the capacity."""
CALLERS: Final = 4
CONNECTIONS: Final = 4
DEADLINE_S: Final = 60.0
SEED: Final = 0
REFUSED: Final = "StatusCode.UNAVAILABLE"

_LEAST_ALONE: Final = 20
_MOST_REASONS: Final = 100


@dataclass(kw_only=True)
class Outcome:
    """What became of an open loop's requests.

    Attributes:
        answered_ms: Time of each answer, in milliseconds.
        refused_ms: Time of each refusal, in milliseconds.
        refusals: Count by status and message.
        others: Count of what is neither, by status and message.
        wrong: Answers with another mask than that of an idle server.
        took_s: From the first request to the last answer, or as long as it was to last.
        ended_s: When nothing more was sent, on `time.perf_counter`.
    """

    answered_ms: array[float] = field(default_factory=lambda: array("d"))
    refused_ms: array[float] = field(default_factory=lambda: array("d"))
    refusals: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    took_s: float = 0.0
    ended_s: float = 0.0


class Caller:
    """One picture after the other, as bare requests, each answer held against the first."""

    def __init__(self, model: str, requests: Sequence[list[triton.InferInput]]) -> None:
        self._model = model
        self._requests = requests
        self._masks: list[Any] = []

    def learn(self, client: triton.InferenceServerClient) -> None:
        """Take the masks of an idle server for the right ones."""
        self._masks = [self.ask(client, number) for number in range(len(self._requests))]

    def ask(self, client: triton.InferenceServerClient, number: int) -> Any:
        """Return the mask of one picture."""
        return client.infer(
            self._model, self._inputs(number), outputs=outputs(), client_timeout=DEADLINE_S
        ).as_numpy("CLASS_MAP")

    def send(self, client: triton.InferenceServerClient, number: int, heard: Any) -> None:
        """Ask without waiting."""
        client.async_infer(
            self._model,
            self._inputs(number),
            lambda result, error: heard(number, result, error),
            outputs=outputs(),
            client_timeout=DEADLINE_S,
        )

    def is_right(self, number: int, result: Any) -> bool:
        """Return whether an answer's mask is the one of an idle server."""
        return self.is_mask(number, result.as_numpy("CLASS_MAP"))

    def is_mask(self, number: int, mask: Any) -> bool:
        """Return whether a mask is the one of an idle server."""
        return np.array_equal(mask, self._masks[number % len(self._requests)])

    def _inputs(self, number: int) -> list[triton.InferInput]:
        return self._requests[number % len(self._requests)]


def outputs() -> list[triton.InferRequestedOutput]:
    """Ask for the mask alone."""
    return [triton.InferRequestedOutput("CLASS_MAP")]


def alone_ms(caller: Caller, client: triton.InferenceServerClient, seconds: float) -> array[float]:
    """Return the times of one caller of an idle server, in milliseconds."""
    times_ms = array("d")
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s or len(times_ms) < _LEAST_ALONE:
        begun_s = time.perf_counter()
        caller.ask(client, len(times_ms))
        times_ms.append(1000 * (time.perf_counter() - begun_s))
    return times_ms


def capacity(
    caller: Caller, clients: Sequence[triton.InferenceServerClient], seconds: float
) -> float:
    """Return answers a second of a closed loop of `CALLERS`."""
    turns = iter(range(10**9))
    lock = threading.Lock()

    def call() -> None:
        with lock:
            number = next(turns)
        caller.ask(clients[number % len(clients)], number)

    return closed_loop_rate(call, concurrency=CALLERS, loop_s=seconds)


def open_loop(
    caller: Caller,
    clients: Sequence[triton.InferenceServerClient],
    rate_per_s: float,
    seconds: float,
) -> Outcome:
    """Send at the times of a Poisson process, and hear what becomes of each."""
    outcome, chance = Outcome(), random.Random(SEED)
    lock, sent = threading.Lock(), 0
    heard = threading.Semaphore(0)
    begun_s = due_s = time.perf_counter()
    last_s = begun_s
    while due_s < begun_s + seconds:
        time.sleep(max(0.0, due_s - time.perf_counter()))
        at_s = time.perf_counter()

        def hear(number: int, result: Any, error: Any, at_s: float = at_s) -> None:
            nonlocal last_s
            took_ms = 1000 * (time.perf_counter() - at_s)
            with lock:
                last_s = time.perf_counter()
                if error is None:
                    outcome.answered_ms.append(took_ms)
                    outcome.wrong += not caller.is_right(number, result)
                elif error.status() == REFUSED:
                    outcome.refused_ms.append(took_ms)
                    count_error(outcome.refusals, error)
                else:
                    count_error(outcome.others, error)
            heard.release()

        caller.send(clients[sent % len(clients)], sent, hear)
        sent += 1
        due_s += chance.expovariate(rate_per_s)
    outcome.ended_s = time.perf_counter()
    for _ in range(sent):
        heard.acquire()
    outcome.took_s = max(seconds, last_s - begun_s)
    return outcome


def p99(times_ms: Sequence[float]) -> float:
    """Return the time that one in a hundred goes beyond."""
    return float(np.percentile(times_ms, 99))


def count_error(reasons: Counter[str], error: Any) -> None:
    """Count an error by its status and message, however many different ones there are."""
    reason = f"{error.status()}: {error.message()}"
    is_known = reason in reasons or len(reasons) < _MOST_REASONS
    reasons[reason if is_known else "others still"] += 1
