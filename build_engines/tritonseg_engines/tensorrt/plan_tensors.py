"""The tensors of a plan: what it takes, what it gives, and in which sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tritonseg_engines.tensorrt.errors import EngineIncompatibleError, PlanInputError
from tritonseg_engines.tensorrt.options import ProfileShapes, Shape

NUMPY_TYPES: Final[dict[str, np.dtype[Any]]] = {
    "FLOAT": np.dtype(np.float32),
    "HALF": np.dtype(np.float16),
    "INT8": np.dtype(np.int8),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "UINT8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
"""By the names of `tensorrt.DataType`. The others (BF16, FP8 ...) have no counterpart in NumPy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanTensor:
    """An input or output of a plan.

    Attributes:
        name: As in the ONNX file.
        dtype: As in the plan.
    """

    name: str
    dtype: np.dtype[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanTensors:
    """The boundary of a plan that is a network: one input, and outputs.

    Attributes:
        input: What it takes.
        profile: Shapes that it takes.
        outputs: What it gives, in the plan's order.
    """

    input: PlanTensor
    profile: ProfileShapes
    outputs: tuple[PlanTensor, ...]

    def check_shape(self, shape: Shape) -> None:
        """Refuse a shape that is not within the profile.

        Raises:
            PlanInputError: It has another rank, or a side is too small or too large.
        """
        smallest, largest = self.profile.minimum, self.profile.maximum
        if len(shape) == len(smallest) and all(
            low <= side <= high for low, side, high in zip(smallest, shape, largest, strict=True)
        ):
            return
        wanted = f"of {smallest}" if smallest == largest else f"from {smallest} to {largest}"
        raise PlanInputError(f"{self.input.name}: expected a shape {wanted}, got {shape}")


def read_tensors(trt: Any, engine: Any, path: Path) -> PlanTensors:
    """Return the boundary of a loaded plan.

    Args:
        trt: NVIDIA's module.
        engine: The plan, deserialized.
        path: Its file, for errors.

    Raises:
        EngineIncompatibleError: It has not exactly one input, or a tensor is of a type, a memory
            layout or in a place that no network of this project has.
    """
    inputs: list[PlanTensor] = []
    outputs: list[PlanTensor] = []
    for name in _names(engine):
        tensor = _tensor(trt, engine, name, path)
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        (inputs if is_input else outputs).append(tensor)
    if len(inputs) != 1 or not outputs:
        raise EngineIncompatibleError(
            f"{path}: expected a plan with one input and at least one output, got inputs "
            f"{[t.name for t in inputs]} and outputs {[t.name for t in outputs]}"
        )
    shapes = engine.get_tensor_profile_shape(inputs[0].name, 0)
    smallest, usual, largest = (tuple(shape) for shape in shapes)
    profile = ProfileShapes(minimum=smallest, optimum=usual, maximum=largest)
    return PlanTensors(input=inputs[0], profile=profile, outputs=tuple(outputs))


def _names(engine: Any) -> Iterator[str]:
    return (engine.get_tensor_name(index) for index in range(engine.num_io_tensors))


def _tensor(trt: Any, engine: Any, name: str, path: Path) -> PlanTensor:
    kind = engine.get_tensor_dtype(name).name
    if kind not in NUMPY_TYPES:
        raise EngineIncompatibleError(
            f"{path}: {name}: expected one of the types {', '.join(NUMPY_TYPES)}, got {kind}"
        )
    if engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
        raise EngineIncompatibleError(f"{path}: {name}: expected a tensor in the GPU's memory")
    layout = engine.get_tensor_format(name)
    if layout != trt.TensorFormat.LINEAR:
        raise EngineIncompatibleError(
            f"{path}: {name}: expected the memory layout LINEAR, got {layout.name}"
        )
    return PlanTensor(name=name, dtype=NUMPY_TYPES[kind])
