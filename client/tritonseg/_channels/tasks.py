"""One gRPC channel to one server, and the steps of flows made in asyncio."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, TypeVar, cast

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2_grpc

from .._calls.flow import Compute, Enter, Flow, Pause, Rpc, Step
from .._calls.shared_memory import SharedMemory
from .._calls.status import error_from_rpc, unreadable_answer
from .._errors import ClientClosedError, SegmentationError
from .channel import ChannelSettings
from .threads import OwningProcess

_T = TypeVar("_T")


class AioTransport:
    """Runs flows as coroutines of one event loop.

    A task that is cancelled takes its request with it. The channel is made with the first step,
    because gRPC binds it to the loop that then runs.

    Attributes:
        watch: Counts lost connections once it is started.

    Args:
        settings: Of its channel.
    """

    def __init__(self, settings: ChannelSettings) -> None:
        self._settings = settings
        self._process = OwningProcess()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel: grpc.aio.Channel | None = None
        self._stub: Any = None
        self._waiting: set[asyncio.Future[Any]] = set()
        self.watch = AioConnectionWatch()

    async def run(self, flow: Flow[_T]) -> _T:
        """Make every step of a flow; return what it returns.

        Raises:
            SegmentationError: Whatever the flow raises; nothing else comes out of a step.
        """
        try:
            step = next(flow)
            while True:
                try:
                    outcome = await self._make(step)
                except BaseException as error:  # noqa: BLE001 - the flow decides, cancellation and all
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            return cast(_T, end.value)

    def require_open(self) -> None:
        """Raise `ClientClosedError` if no call can be made from here any more."""
        self._process.require_open()
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            raise ClientClosedError(
                "the client belongs to another event loop, and its connection cannot be shared; "
                "make one client in each loop"
            )

    async def forget(self, memory: SharedMemory) -> None:
        """Have the server forget the memory that it was given, as far as it listens."""
        if memory.is_used:
            with suppress(SegmentationError):
                await self.run(memory.forget_all())

    async def close(self) -> None:
        """Close the channel; calls under way end with `ClientClosedError`."""
        self._process.is_closed = True
        if not self._process.is_this:
            return
        self.watch.stop()
        for waiting in tuple(self._waiting):
            waiting.cancel()
        channel, self._channel, self._stub = self._channel, None, None
        self.watch.channel = None
        if channel is not None:
            # gRPC's thread ends with the last channel, and a fork that it survives may hang.
            await channel.close()

    async def _make(self, step: Step) -> Any:
        if isinstance(step, Rpc):
            return await self._call(step)
        if isinstance(step, Compute):
            return await asyncio.get_running_loop().run_in_executor(None, step.function)
        if isinstance(step, Enter):
            return await cast(AioLock, step.lock).enter(step.timeout_s)
        return await self._pause(step)

    async def _call(self, rpc: Rpc) -> Any:
        self.require_open()
        method = getattr(self._connected(), rpc.method)
        call = method(
            rpc.request,
            timeout=rpc.timeout_s,
            metadata=(*self._settings.headers, *rpc.headers),
            compression=self._settings.grpc_compression,
        )
        try:
            answer = await self._unless_closed(_answer(call))
        except grpc.RpcError as exc:
            self.require_open()
            raise error_from_rpc(exc, subject=rpc.subject, refusal=rpc.refusal) from exc
        if answer is None:
            raise unreadable_answer(rpc.subject)
        return answer

    async def _pause(self, pause: Pause) -> None:
        self.require_open()
        await self._unless_closed(asyncio.sleep(pause.delay_s))

    async def _unless_closed(self, awaitable: Any) -> Any:
        """Wait for something that `close` cancels; who is cancelled otherwise stays so."""
        task = asyncio.ensure_future(awaitable)
        self._waiting.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if task.cancelled() and not _is_cancelling():
                self._process.require_open()
            raise
        finally:
            self._waiting.discard(task)

    def _connected(self) -> Any:
        if self._stub is None:
            self._loop = asyncio.get_running_loop()
            self._channel = self._settings.open_in_loop()
            self.watch.channel = self._channel
            self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        return self._stub


class AioLock:
    """Lets one task in at a time, and forgets no entry that is cancelled or out of time."""

    def __init__(self) -> None:
        self._is_held = False
        self._freed = asyncio.Event()

    async def enter(self, timeout_s: float) -> bool:
        """Return whether the lock was acquired in time."""
        end_s = time.monotonic() + timeout_s
        while self._is_held:
            self._freed.clear()
            # Not `wait_for`, which up to Python 3.11 loses a cancellation that comes as it ends.
            freed = asyncio.ensure_future(self._freed.wait())
            try:
                done, _ = await asyncio.wait({freed}, timeout=max(0.0, end_s - time.monotonic()))
            finally:
                freed.cancel()
            if not done:
                return False
        self._is_held = True
        return True

    def release(self) -> None:
        """Let the next one in."""
        self._is_held = False
        self._freed.set()


class AioConnectionWatch:
    """Counts from `start` on how often a channel lost its connection; as `ConnectionWatch`."""

    def __init__(self) -> None:
        self.losses = 0
        self.channel: grpc.aio.Channel | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to count, unless that has begun."""
        if self._task is None and self.channel is not None:
            self._task = asyncio.get_running_loop().create_task(self._count(self.channel))

    def stop(self) -> None:
        """End the watch, before the channel is closed."""
        if self._task is not None:
            self._task.cancel()

    async def _count(self, channel: grpc.aio.Channel) -> None:
        state = channel.get_state()
        while state is not grpc.ChannelConnectivity.SHUTDOWN:
            await channel.wait_for_state_change(state)
            state = channel.get_state()
            if state is not grpc.ChannelConnectivity.READY:
                self.losses += 1


async def _answer(call: Any) -> Any:
    return await call


def _is_cancelling() -> bool:
    """Return whether somebody cancels the running task itself; False where Python cannot tell."""
    task = asyncio.current_task()
    return bool(getattr(task, "cancelling", int)())
