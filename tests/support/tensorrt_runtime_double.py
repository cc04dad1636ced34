"""A stand-in for TensorRT's runtime whose plans are ONNX files, run by ONNX Runtime.

A context reads its input from the address that it was given and writes its outputs to theirs, so
that wrong addresses, sizes, types and orders give wrong numbers. The device beside it is the
host's memory.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

TYPES = {
    TensorProto.FLOAT: "FLOAT",
    TensorProto.FLOAT16: "HALF",
    TensorProto.INT8: "INT8",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.UINT8: "UINT8",
}


@dataclass
class Running:
    """What the stand-in's runtime meets.

    Attributes:
        batches: Smallest, usual and largest batch of every plan.
        types: Says other types of tensors than the file does, by name.
        formats: Likewise memory layouts.
        fails_at: "runtime", "context", "shape", "address" or "run": what TensorRT refuses.
        open_outputs: Their shapes stay open although the input's is known.
    """

    batches: tuple[int, int, int] = (1, 1, 8)
    types: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)
    fails_at: str = ""
    open_outputs: bool = False


class Strict:
    """An object with the members that the version's class has, and no others."""

    def __init__(
        self, members: Mapping[str, str], methods: Mapping[str, Any], **values: Any
    ) -> None:
        object.__setattr__(self, "_members", members)
        for name, value in {**methods, **values}.items():
            if name in members:
                object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if self._members.get(name) != "rw":
            raise AttributeError(f"can't set attribute {name!r}")
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if self.__dict__["_members"].get(name) is None:
            raise AttributeError(name)
        raise NotImplementedError(f"the stand-in does nothing for {name!r}")


class RuntimeDouble:
    """`trt.Runtime`: called with a logger."""

    def __init__(
        self, trt: Any, api: Mapping[str, Any], running: Running, calls: list[Any], error: Any
    ) -> None:
        self.trt, self.api, self.running, self.calls = trt, api, running, calls
        self.error = error

    def __call__(self, logger: Any) -> Strict:
        if self.running.fails_at == "runtime":
            logger.log(self.error, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        methods = {"deserialize_cuda_engine": lambda plan: self.engine(plan, logger)}
        return Strict(self.api["classes"]["Runtime"], methods)

    def engine(self, plan: bytes, logger: Any) -> Strict | None:
        try:
            model = onnx.load_model_from_string(plan)
            onnx.checker.check_model(model)
        except (DecodeError, onnx.checker.ValidationError):
            logger.log(self.error, "Serialization assertion failed: magic tag does not match")
            return None
        values = {v.name: v for v in (*model.graph.input, *model.graph.output)}
        inputs = {value.name for value in model.graph.input}
        trt, running = self.trt, self.running

        def kind(name: str) -> Any:
            own = TYPES[values[name].type.tensor_type.elem_type]
            return getattr(trt.DataType, running.types.get(name, own))

        mode = trt.TensorIOMode
        return Strict(
            self.api["classes"]["ICudaEngine"],
            {
                "get_tensor_name": lambda index: list(values)[index],
                "get_tensor_mode": lambda name: mode.INPUT if name in inputs else mode.OUTPUT,
                "get_tensor_dtype": kind,
                "get_tensor_location": lambda _name: trt.TensorLocation.DEVICE,
                "get_tensor_format": lambda name: getattr(
                    trt.TensorFormat, running.formats.get(name, "LINEAR")
                ),
                "get_tensor_profile_shape": lambda name, index: [
                    dims_of(values[name], batch) for batch in running.batches
                ][index:],
                "create_execution_context": lambda: self.context(model, logger),
            },
            num_io_tensors=len(values),
        )

    def context(self, model: onnx.ModelProto, logger: Any) -> Strict | None:
        if self.running.fails_at == "context":
            logger.log(self.error, "out of memory")
            return None
        context = _Context(model, self.running, lambda text: logger.log(self.error, text))
        names = ("set_input_shape", "get_tensor_shape", "set_tensor_address", "execute_async_v3")
        methods = {name: getattr(context, name) for name in names}
        return Strict(self.api["classes"]["IExecutionContext"], methods)


class _Context:
    def __init__(
        self, model: onnx.ModelProto, running: Running, log: Callable[[str], None]
    ) -> None:
        self.values = {v.name: v for v in (*model.graph.input, *model.graph.output)}
        self.input = model.graph.input[0].name
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        self.running, self.log = running, log
        self.shape: tuple[int, ...] = ()
        self.addresses: dict[str, int] = {}

    def refused(self, at: str) -> bool:
        if self.running.fails_at == at:
            self.log(f"the {at} is refused")
        return self.running.fails_at == at

    def set_input_shape(self, _name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return not self.refused("shape")

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return dims_of(self.values[name], -1 if self.running.open_outputs else self.shape[0])

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return not self.refused("address")

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == HostDevice.stream_handle
        if self.refused("run"):
            return False
        batch = self.at(self.input, self.shape)
        names = [name for name in self.values if name != self.input]
        for name, result in zip(names, self.session.run(names, {self.input: batch}), strict=True):
            self.at(name, result.shape)[...] = result
        return True

    def at(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """View the memory at a tensor's address."""
        kind = self.values[name].type.tensor_type.elem_type
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
        count = int(np.prod(shape)) * dtype.itemsize
        memory = (ctypes.c_uint8 * count).from_address(self.addresses[name])
        return np.frombuffer(memory, dtype).reshape(shape)


def dims_of(value: onnx.ValueInfoProto, batch: int) -> tuple[int, ...]:
    """Return a tensor's shape with its open batch axis closed."""
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else batch for dim in dims)


class HostDevice:
    """The host's memory and clock."""

    stream_handle = 4711

    def __init__(self) -> None:
        self.buffers = 0

    def buffer(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> HostBuffer:
        self.buffers += 1
        return HostBuffer(shape, dtype)

    def synchronize(self) -> None:
        """Everything happens at once here."""

    def elapsed_ms(self, enqueue: Callable[[], None]) -> float:
        started = time.perf_counter()
        enqueue()
        return 1000 * (time.perf_counter() - started)


class HostBuffer:
    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.array = np.full(shape, 99, dtype)

    @property
    def address(self) -> int:
        return self.array.ctypes.data

    def upload(self, array: np.ndarray) -> None:
        assert (array.shape, array.dtype) == (self.array.shape, self.array.dtype)
        assert array.flags.c_contiguous
        self.array[...] = array

    def download(self) -> np.ndarray:
        return self.array.copy()
