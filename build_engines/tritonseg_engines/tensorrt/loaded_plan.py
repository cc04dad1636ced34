"""A plan on the GPU: checked, fed and run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.tensorrt.bindings import BuildLog, load_tensorrt, new_logger
from tritonseg_engines.tensorrt.device import Buffer, CudaDevice, Device
from tritonseg_engines.tensorrt.errors import (
    EngineIncompatibleError,
    PlanInputError,
    TensorRTError,
    TensorRTUnavailableError,
)
from tritonseg_engines.tensorrt.machine import Gpu, inspect_machine
from tritonseg_engines.tensorrt.options import Shape
from tritonseg_engines.tensorrt.plan_tensors import PlanTensors, read_tensors


@contextmanager
def load_plan(
    path: Path,
    *,
    gpu: Gpu | None = None,
    device: Device | None = None,
) -> Iterator[LoadedPlan]:
    """Load a plan and free its memory at the end.

    Args:
        path: The plan.
        gpu: The first GPU of this machine, if the caller has inspected it; else it is looked for.
        device: Holds the tensors; CuPy's unless given.

    Raises:
        TensorRTUnavailableError: There is no GPU, no TensorRT from 8.6 on, or no CuPy.
        EngineIncompatibleError: This TensorRT does not take the plan on this GPU, or it is not a
            network with one input.
    """
    # TensorRT 8.6 ends the process if there is no GPU, so that is asked first, elsewhere.
    gpu = gpu or inspect_machine().first_gpu()
    trt = load_tensorrt()
    log = BuildLog()
    logger = new_logger(trt, log)
    device = device or CudaDevice()
    runtime = _runtime(trt, logger, gpu, log)
    engine = _loaded(runtime.deserialize_cuda_engine(path.read_bytes()), trt, gpu, path, log)
    context = _loaded(engine.create_execution_context(), trt, gpu, path, log)
    plan = LoadedPlan(context, read_tensors(trt, engine, path), device, log)
    try:
        yield plan
    finally:
        # Each uses the one before it, and the logger is used by all: the last made goes first.
        device.synchronize()
        plan.close()
        del context, engine, runtime, logger


class LoadedPlan:
    """A plan that takes arrays and gives arrays.

    Args:
        context: TensorRT's execution context.
        tensors: What the plan takes and gives.
        device: Holds the tensors.
        log: What TensorRT writes.
    """

    def __init__(self, context: Any, tensors: PlanTensors, device: Device, log: BuildLog) -> None:
        self._context: Any = context
        self._device, self._log = device, log
        self._input: Buffer | None = None
        self._outputs: dict[str, Buffer] = {}
        self._shape: Shape | None = None
        self.tensors = tensors

    def infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run the plan.

        Args:
            batch: Of a shape within the profile. Floats are rounded to the plan's type; nothing
                else is converted.

        Returns:
            The first output, in the plan's own type.

        Raises:
            PlanInputError: The plan does not take such an array.
            TensorRTError: It could not be run.
        """
        self.put(batch)
        self.enqueue()
        return self._outputs[self.tensors.outputs[0].name].download()

    def put(self, batch: NDArray[Any]) -> None:
        """Bring an input to the device, where `enqueue` reads it, as often as it is called.

        Raises:
            PlanInputError: The plan does not take such an array.
            TensorRTError: There is no memory for it.
        """
        wanted = self.tensors.input
        if not np.can_cast(batch.dtype, wanted.dtype, casting="same_kind"):
            raise PlanInputError(f"{wanted.name}: expected {wanted.dtype}, got {batch.dtype}")
        self.tensors.check_shape(batch.shape)
        buffer = self._buffers_for(batch.shape)
        buffer.upload(np.ascontiguousarray(batch, dtype=wanted.dtype))

    def enqueue(self) -> None:
        """Let the device run the plan once on what was `put`, and do not wait for it.

        Raises:
            PlanInputError: Nothing was put yet.
            TensorRTError: TensorRT refuses.
        """
        if self._input is None:
            raise PlanInputError(f"{self.tensors.input.name}: expected an input first, got none")
        if not self._context.execute_async_v3(self._device.stream_handle):
            raise self._failure("did not run the plan")

    def elapsed_ms(self, runs: int = 1) -> float:
        """Return the device's milliseconds for so many runs back to back on what was `put`.

        Raises:
            TensorRTError: TensorRT refuses.
        """

        def enqueue() -> None:
            for _ in range(runs):
                self.enqueue()

        return self._device.elapsed_ms(enqueue)

    def close(self) -> None:
        """Let go of TensorRT's context and of all memory; nothing can be run any more."""
        self._context, self._input, self._shape = None, None, None
        self._outputs.clear()

    def _buffers_for(self, shape: Shape) -> Buffer:
        """Return the input's memory; on a new shape all memory is new."""
        if self._input is not None and shape == self._shape:
            return self._input
        self._device.synchronize()
        self._input, self._shape = None, None
        self._outputs.clear()
        wanted = self.tensors.input
        if not self._context.set_input_shape(wanted.name, shape):
            raise self._failure(f"does not take the shape {shape}")
        buffer = self._bound(wanted.name, shape, wanted.dtype)
        for output in self.tensors.outputs:
            self._outputs[output.name] = self._bound(
                output.name, self._output_shape(output.name), output.dtype
            )
        self._input, self._shape = buffer, shape
        return buffer

    def _output_shape(self, name: str) -> Shape:
        shape = tuple(self._context.get_tensor_shape(name))
        if any(side < 0 for side in shape):
            raise EngineIncompatibleError(
                f"{name}: expected a shape that follows from the input's, got {shape}"
            )
        return shape

    def _bound(self, name: str, shape: Shape, dtype: np.dtype[Any]) -> Buffer:
        buffer = self._device.buffer(shape, dtype)
        if not self._context.set_tensor_address(name, buffer.address):
            raise self._failure(f"does not take the memory of {name}")
        return buffer

    def _failure(self, what: str) -> TensorRTError:
        errors = self._log.errors()
        reason = errors[-1] if errors else "it gave no reason"
        return TensorRTError(f"TensorRT {what}: {reason}", log=self._log.lines())


def _runtime(trt: Any, logger: Any, gpu: Gpu, log: BuildLog) -> Any:
    try:
        return trt.Runtime(logger)
    except TypeError as error:
        # What pybind11 makes of the null pointer that TensorRT returns.
        reason = "; ".join(log.errors()) or "it gave no reason"
        raise TensorRTUnavailableError(
            f"TensorRT {trt.__version__} cannot start on {gpu.name} (CUDA {gpu.cuda_version}): "
            f"{reason}",
            log=log.lines(),
        ) from error


def _loaded(made: Any, trt: Any, gpu: Gpu, path: Path, log: BuildLog) -> Any:
    """Return what TensorRT made, or say why it made nothing."""
    if made is not None:
        return made
    reason = "; ".join(log.errors()) or "it gave no reason"
    raise EngineIncompatibleError(
        f"{path}: TensorRT {trt.__version__} does not load it on {gpu.name}: {reason}. A plan runs "
        "on the TensorRT and the kind of GPU that it was built with; build it again here",
        log=log.lines(),
    )
