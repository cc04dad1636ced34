"""What every step has in common: its start, its turn, its bounds, and how it fails.

A caller must never see a traceback or a path of the server, so whatever goes wrong inside a step
is written to the server's log and answered with a fixed text. This module imports
`triton_python_backend_utils`, which exists only inside Triton's Python backend.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from tritonseg_steps.admission import Admission
from tritonseg_steps.cores import limit_numba
from tritonseg_steps.flow import Flow
from tritonseg_steps.model_config import ModelConfig
from tritonseg_steps.request_bounds import RequestBounds
from tritonseg_steps.shape_guard import guard_shapes
from tritonseg_steps.step_metrics import Outcome, StepMetrics
from tritonseg_steps.step_request import Arrays, InputError, StepRequest, request_parameters
from tritonseg_steps.step_response import (
    failed_response,
    overload_response,
    refuse_cancelled,
    send,
    tensor_response,
)
from tritonseg_steps.tally import Tally, pace_of
from tritonseg_steps.waiting_line import WaitingLine


class Step(abc.ABC):
    """A Python-backend model; Triton calls `initialize` once, then `execute`."""

    name = "step"
    bounds: RequestBounds | None = None
    outputs: frozenset[str] = frozenset()
    _line: WaitingLine | None = None
    _flow: Flow | None = None
    _tally: Tally | None = None
    _metrics: StepMetrics | None = None
    _warm_ups = 0
    _failures = 0

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read the config and prepare; an exception here keeps the server from becoming ready."""
        config = ModelConfig(args)
        self.name = config.name
        check_backend = partial(_check_backend, config.name)
        if not guard_shapes(check_backend):
            check_backend()
        _refuse_gpu_inputs(config)
        limit_threads = partial(limit_numba, config.thread_limit)
        limit_threads()
        self.bounds = RequestBounds.of(config)
        self.outputs = config.outputs
        self.prepare(config)
        self._tally = Tally(config.name, config.version)
        if config.admission is not None:
            self._flow = self.flow_behind(config, self._tally)
            self._line = WaitingLine(partial(self._admits, config.admission), limit_threads)
        self._warm_ups = config.warm_ups
        self._metrics = StepMetrics(config)

    @abc.abstractmethod
    def prepare(self, config: ModelConfig) -> None:
        """Set up everything that does not depend on a request."""

    @abc.abstractmethod
    def run(self, requests: Sequence[StepRequest]) -> list[Arrays]:
        """Answer every request, in their order; an output left out is not delivered.

        Raises:
            InputError: A request cannot be answered; the text reaches the caller.
            NetworkError: What the network gave is no answer; the text reaches the caller.
        """

    def execute(self, requests: Sequence[Any]) -> list[Any] | None:
        """Answer every request with tensors or an error, never with an exception.

        Returns:
            Triton's responses; None where requests wait in a line and are answered in their turn.
        """
        if self._warm_ups > 0:
            # Triton 2.51 ends with a signal where a warm-up that waits in a line is refused.
            try:
                return self._answers(requests, copied=False)
            finally:
                self._warm_ups -= 1
        if self._line is None:
            with self._counted(len(requests)):
                return self._answers(requests, copied=False)
        for request in requests:
            self._stand_in(self._line, request)
        return None

    def finalize(self) -> None:
        """Answer what waits; Triton calls this before it ends the process."""
        if self._line is not None:
            self._line.close()

    def flow_behind(self, config: ModelConfig, tally: Tally) -> Flow | None:
        """Return the view of what is behind this step; None where nothing is."""
        del config, tally
        return None

    def _admits(self, admission: Admission, waiting: int) -> bool:
        if self._flow is not None:
            ahead, pace = self._flow.ahead()
            return admission.admits(waiting + ahead, pace)
        processes = [] if self._tally is None else [self._tally.counts]
        return admission.admits(waiting, pace_of(processes))

    def _stand_in(self, line: WaitingLine, request: Any) -> None:
        """Let a request wait for its turn; what is wrong with it is said at once."""
        arrived_s = time.monotonic()
        sender = request.get_response_sender()
        try:
            received = self._received(request)
            if not line.is_empty:  # Triton's shared memory is for what is being answered
                received, request = received.copied(), None
            if not line.enter(lambda: self._answer_in_turn(received, request, sender, arrived_s)):
                send(sender, overload_response(self.name))
                self._count(Outcome.REFUSED)
        except Exception as error:  # noqa: BLE001 - the boundary to the server
            send(sender, failed_response(self.name, error))
            self._count(Outcome.of(error))

    def _answer_in_turn(
        self, received: StepRequest, _memory: Any, sender: Any, arrived_s: float
    ) -> None:
        """Answer one request; `_memory` is what its arrays look into."""
        if self._flow is not None:
            self._flow.wait()
        begun_s, outcome = time.monotonic(), Outcome.ANSWERED
        with self._counted(1):
            try:
                refuse_cancelled(sender)
                (outputs,) = self.run([received])
                response = tensor_response(outputs, copied=False)
            except Exception as error:  # noqa: BLE001 - the boundary to the server
                response, outcome = self._failure(error), Outcome.of(error)
        send(sender, response)
        if self._metrics is not None:
            self._metrics.end(outcome, arrived_s=arrived_s, begun_s=begun_s)

    @contextmanager
    def _counted(self, requests: int) -> Iterator[None]:
        """Tell the other steps of an ensemble of what is done here."""
        if self._tally is None:
            yield
            return
        before = self._failures
        self._tally.begin(requests)
        try:
            yield
        finally:
            self._tally.end(self._failures - before)

    def _count(self, outcome: Outcome, requests: int = 1) -> None:
        """Tell Prometheus of requests; warm-ups are none."""
        if self._metrics is not None and self._warm_ups == 0:
            self._metrics.count(outcome, requests)

    def _failure(self, error: Exception) -> Any:
        self._failures += 1
        return failed_response(self.name, error)

    def _answers(self, requests: Sequence[Any], *, copied: bool) -> list[Any]:
        try:
            responses = self._respond(requests, copied=copied)
        except Exception as error:  # noqa: BLE001 - the boundary to the server
            if len(requests) == 1:
                self._count(Outcome.of(error))
                return [self._failure(error)]
        else:
            self._count(Outcome.ANSWERED, len(requests))
            return responses
        # One bad request must not fail those it happened to be batched with.
        return [self._answers([request], copied=True)[0] for request in requests]

    def _respond(self, requests: Sequence[Any], *, copied: bool) -> list[Any]:
        """Return the responses; `copied` where `run` is called again before they are sent.

        What a run returns may lie in memory that the next run overwrites.
        """
        return [
            tensor_response(outputs, copied=copied)
            for outputs in self.run([self._received(one) for one in requests])
        ]

    def _received(self, request: Any) -> StepRequest:
        """Read Triton's own `InferenceRequest`; arrays look into its memory.

        Raises:
            InputError: It is out of bounds, or cannot be read.
            CancelledError: Nobody waits for it.
        """
        refuse_cancelled(request)
        tensors = {tensor.name(): self._seen(tensor) for tensor in request.inputs()}
        refusal = None if self.bounds is None else self.bounds.refusal(tensors)
        if refusal is not None:
            raise InputError(refusal)
        named = frozenset(request.requested_output_names()) if self.outputs else self.outputs
        return StepRequest(
            tensors=tensors,
            parameters=request_parameters(request),
            named_outputs=frozenset() if named >= self.outputs else named,
        )

    @staticmethod
    def _seen(tensor: Any) -> NDArray[Any]:
        """Return an input, which Triton has brought to the host."""
        try:
            array: NDArray[Any] = tensor.as_numpy()
        except Exception as error:
            # Of BYTES, whose elements say how long they are.
            raise InputError(
                f"{tensor.name()}: expected elements of 4 bytes of length and as many bytes as "
                "that says, got others"
            ) from error
        return array


def _refuse_gpu_inputs(config: ModelConfig) -> None:
    """Refuse a step that is to read its inputs in the GPU's memory.

    Triton lends a Python step what lies in its pool of the GPU's memory, 64 MiB unless
    `--cuda-memory-pool-byte-size` says otherwise. Where that is full it lends other memory, and
    what a step reads or writes there is not its request's, without an error. Seen with 2.51 on an
    H200: docs/benchmarks.md, "GPU".

    Raises:
        RuntimeError: It is.
    """
    if config.keeps_gpu_inputs:
        raise RuntimeError(
            f'{config.name}: config.pbtxt: FORCE_CPU_ONLY_INPUT_TENSORS is "no", with which '
            "Triton hands over other requests' tensors under load; build the model again"
        )


def _check_backend(model: str) -> None:
    """Send a tensor through the backend and back.

    Raises:
        RuntimeError: It comes back as another. Source: python_backend #384, mended in 24.12 (2.53).
    """
    sent = np.arange(1, 5, dtype=np.uint8)
    taken = pb_utils.Tensor("sent", sent).to_dlpack()
    back = pb_utils.Tensor.from_dlpack("back", taken).as_numpy()
    if not np.array_equal(sent, back):
        raise RuntimeError(
            f"{model}: this Triton's Python backend makes empty tensors of NumPy {np.__version__}; "
            "install 'numpy<2' 'opencv-python-headless<4.12' where the steps are, or take a Triton "
            "from 2.53 (24.12) on"
        )
