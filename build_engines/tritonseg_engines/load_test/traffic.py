"""Requests to a server: from callers that wait for answers, or by chance whatever is answered."""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import grpc

from tritonseg import OverloadedError
from tritonseg._calls.status import error_from_rpc  # what UNAVAILABLE means is written there, once
from tritonseg_engines.load_test.load import ClosedLoop, OpenLoop
from tritonseg_engines.load_test.outcomes import Recorder
from tritonseg_engines.load_test.plan import Plan
from tritonseg_engines.load_test.requests import PreparedRequest, complaint, digest_of

METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # connections of its own: callers do not share one
)
OPEN_LOOP_CHANNELS: Final = 4
"""Over one connection a large request would hold up all that come behind it."""
REFUSED_PAUSE_S: Final = 0.01
"""What a refused caller of a closed loop waits, which would only ask again and again otherwise."""
REFUSED_TRIAL_PAUSE_S: Final = 0.1
HEARTBEAT_S: Final = 0.01
MS_PER_S: Final = 1000.0


class Traffic:
    """Sends a plan's requests, from `start` until `stop`, and records what comes of them."""

    def __init__(self, plan: Plan, requests: Sequence[PreparedRequest], recorder: Recorder) -> None:
        self._plan = plan
        self._requests = requests
        self._recorder = recorder
        self._numbers = itertools.count()
        self._digest = b""
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._channels: list[grpc.Channel] = []
        self._crash: BaseException | None = None
        self._asked_at: dict[int, float] = {}

    def try_each(self) -> Iterator[tuple[PreparedRequest, str | None]]:
        """Send every picture once, one after the other, and yield what was wrong with its answer.

        The first answer decides which build of the model the others must come from.
        """
        call = self._call()
        for position, request in enumerate(self._requests):
            try:
                answer = self._patient(call, request)
            except grpc.RpcError as error:
                yield request, str(self._explained(error))
                continue
            if position == 0:
                self._digest = digest_of(answer)
            yield request, complaint(answer, request, self._digest)

    def _patient(self, call: Any, request: PreparedRequest) -> bytes:
        """Ask again while a server refuses, which may still have a load before this to work off."""
        ends_at = time.perf_counter() + self._plan.deadline_s
        while True:
            try:
                answer: bytes = call(request.message, timeout=self._plan.deadline_s)
            except grpc.RpcError as error:
                is_over = time.perf_counter() > ends_at
                if is_over or not isinstance(self._explained(error), OverloadedError):
                    raise
                time.sleep(REFUSED_TRIAL_PAUSE_S)
            else:
                return answer

    def start(self) -> None:
        """Begin to send."""
        load = self._plan.load
        if isinstance(load, ClosedLoop):
            calls = [self._call() for _ in range(load.callers)]
            self._run(self._heartbeat)
            for caller, call in enumerate(calls):
                self._run(functools.partial(self._ask, caller, call))
        else:
            calls = [self._call() for _ in range(OPEN_LOOP_CHANNELS)]
            self._run(functools.partial(self._arrive, load, calls))

    def stop(self) -> None:
        """End all sending; what is not answered yet is cancelled.

        Raises:
            BaseException: Whatever ended a thread before.
        """
        self._ended.set()
        for channel in self._channels:
            channel.close()
        for thread in self._threads:
            thread.join()
        if self._crash is not None:
            raise self._crash

    def _call(self) -> Any:
        channel = grpc.insecure_channel(self._plan.url, options=CHANNEL_OPTIONS)
        self._channels.append(channel)
        return channel.unary_unary(METHOD)  # bytes as they are: nothing is written while measuring

    def _run(self, target: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                target()
            except BaseException as error:  # noqa: BLE001 - raised again by `stop`
                if not self._ended.is_set():
                    self._crash = error

        thread = threading.Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()

    def waiting_s(self) -> list[float]:
        """Return for how long each caller of a closed loop has waited for an answer by now."""
        now = time.perf_counter()
        return [now - asked_at for asked_at in self._asked_at.copy().values()]

    def _ask(self, caller: int, call: Any) -> None:
        while not self._ended.is_set():
            request = self._requests[next(self._numbers) % len(self._requests)]
            self._recorder.sent()
            begun = self._asked_at[caller] = time.perf_counter()
            try:
                answer = call(request.message, timeout=self._plan.deadline_s)
            except grpc.RpcError as error:
                del self._asked_at[caller]
                self._failed(error)
                self._ended.wait(REFUSED_PAUSE_S)
            else:
                latency_s = time.perf_counter() - begun
                del self._asked_at[caller]
                self._answered(answer, request, latency_s)

    def _heartbeat(self) -> None:
        due = time.perf_counter() + HEARTBEAT_S
        while not self._ended.wait(max(0.0, due - time.perf_counter())):
            now = time.perf_counter()
            self._recorder.late((now - due) * MS_PER_S)
            due = now + HEARTBEAT_S

    def _arrive(self, load: OpenLoop, calls: Sequence[Any]) -> None:
        chance = random.Random(self._plan.seed)  # noqa: S311 - a load, and the same every time
        due = time.perf_counter()
        for number in itertools.count():
            due += chance.expovariate(load.arrivals_per_s)
            if self._ended.wait(max(0.0, due - time.perf_counter())):
                return
            late_s = time.perf_counter() - due
            self._recorder.sent()
            self._recorder.late(late_s * MS_PER_S)
            request = self._requests[number % len(self._requests)]
            with contextlib.suppress(ValueError):  # the channel was closed by `stop`
                pending = calls[number % len(calls)].future(
                    request.message, timeout=max(0.001, self._plan.deadline_s - late_s)
                )
                pending.add_done_callback(functools.partial(self._done, request, due))

    def _done(self, request: PreparedRequest, due: float, pending: Any) -> None:
        latency_s = time.perf_counter() - due
        if self._ended.is_set():
            return
        if pending.code() is grpc.StatusCode.OK:
            self._answered(pending.result(), request, latency_s)
        else:
            self._failed(pending)

    def _answered(self, answer: bytes, request: PreparedRequest, latency_s: float) -> None:
        wrong = complaint(answer, request, self._digest)
        if wrong is None:
            self._recorder.answered(latency_s * MS_PER_S)
        else:
            self._recorder.failed(wrong)

    def _failed(self, error: grpc.RpcError) -> None:
        explained = self._explained(error)
        if isinstance(explained, OverloadedError):
            self._recorder.refused()
        else:
            self._recorder.failed(str(explained))

    def _explained(self, error: grpc.RpcError) -> Exception:
        subject = f"model '{self._plan.model}' at {self._plan.url}"
        return error_from_rpc(error, subject=subject, refusal=OverloadedError)
