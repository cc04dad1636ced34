"""One gRPC channel to one server, and the steps of flows made in the calling thread.

The stub is tritonclient's, generated from Triton's protobufs; the channel is our own, because
`tritonclient.grpc.InferenceServerClient` copies the picture once more and drops what gRPC says
about an error.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Any, TypeVar, cast

import grpc
from tritonclient.grpc import service_pb2_grpc

from .._calls.flow import Compute, Enter, Flow, Pause, Rpc, Step
from .._calls.shared_memory import SharedMemory
from .._calls.status import error_from_rpc
from .._errors import ClientClosedError, SegmentationError
from .channel import ChannelSettings
from .watch import ConnectionWatch

_T = TypeVar("_T")


class OwningProcess:
    """The process that a client belongs to, and whether the client is open."""

    def __init__(self) -> None:
        self._process_id = os.getpid()
        self.is_closed = False

    @property
    def is_this(self) -> bool:
        """Whether this is not one that was forked from it."""
        return os.getpid() == self._process_id

    def require_open(self) -> None:
        """Raise `ClientClosedError` if no call can be made from here any more."""
        if self.is_closed:
            raise ClientClosedError("the client is closed; make a new one")
        if not self.is_this:
            raise ClientClosedError(
                f"the client belongs to process {self._process_id}, from which this one was "
                "forked, and its connection cannot be shared; make one client in each process"
            )


class GrpcTransport:
    """Runs flows in the calling thread; safe to share between threads.

    Attributes:
        watch: Counts lost connections once it is started.

    Args:
        settings: Of its channel.
    """

    def __init__(self, settings: ChannelSettings) -> None:
        self._settings = settings
        self._channel = settings.open()
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._process = OwningProcess()
        self._closing = threading.Event()
        self.watch = ConnectionWatch(self._channel)

    def run(self, flow: Flow[_T]) -> _T:
        """Make every step of a flow; return what it returns.

        Raises:
            SegmentationError: Whatever the flow raises; nothing else comes out of a step.
        """
        try:
            step = next(flow)
            while True:
                try:
                    outcome = self._make(step)
                except BaseException as error:  # noqa: BLE001 - the flow decides, Ctrl-C and all
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            return cast(_T, end.value)

    def require_open(self) -> None:
        """Raise `ClientClosedError` if no call can be made from here any more."""
        self._process.require_open()

    def forget(self, memory: SharedMemory) -> None:
        """Have the server forget the memory that it was given, as far as it listens."""
        if memory.is_used:
            with suppress(SegmentationError):
                self.run(memory.forget_all())

    def close(self) -> None:
        """Close the channel; calls under way end with `ClientClosedError`."""
        self._process.is_closed = True
        self._closing.set()
        if self._process.is_this:
            self.watch.stop()
            self._channel.close()

    def _make(self, step: Step) -> Any:
        if isinstance(step, Rpc):
            return self._call(step)
        if isinstance(step, Compute):
            return step.function()
        if isinstance(step, Enter):
            return cast(threading.Lock, step.lock).acquire(timeout=step.timeout_s)
        return self._pause(step)

    def _call(self, rpc: Rpc) -> Any:
        self.require_open()
        try:
            method = getattr(self._stub, rpc.method)
            return method(
                rpc.request,
                timeout=rpc.timeout_s,
                metadata=(*self._settings.headers, *rpc.headers),
                compression=self._settings.grpc_compression,
            )
        except grpc.RpcError as exc:
            self.require_open()
            raise error_from_rpc(exc, subject=rpc.subject, refusal=rpc.refusal) from exc
        except ValueError:
            # What gRPC raises where the channel is closed between the check and the call.
            self.require_open()
            raise

    def _pause(self, pause: Pause) -> None:
        self._closing.wait(pause.delay_s)
        self.require_open()
