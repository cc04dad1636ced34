"""What can go wrong around TensorRT; all of it is an `EngineBuildError`.

EngineBuildError
├─ OnnxModelError                 the parser refuses the ONNX file
├─ PlanOptionsError(ValueError)   options that contradict themselves, the model or the TensorRT
└─ TensorRTError                  TensorRT built no plan, or did not run one
   ├─ TensorRTUnavailableError    no TensorRT, one before 8.6, no GPU, no CuPy: nothing works here
   ├─ EngineIncompatibleError     a plan of another machine, or of something else than a network
   └─ PlanInputError(ValueError)  an array that the plan does not take
"""

from __future__ import annotations

from tritonseg_engines.errors import EngineBuildError


class PlanOptionsError(EngineBuildError, ValueError):
    """Options of a plan contradict themselves, the model, or what this TensorRT can do."""


class TensorRTError(EngineBuildError):
    """TensorRT built no plan, or did not run one.

    Attributes:
        log: What TensorRT wrote while it tried, one message each, oldest first.
    """

    def __init__(self, message: str, *, log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.log = log


class TensorRTUnavailableError(TensorRTError):
    """No plan can be built or run on this machine, whatever the model."""


class EngineIncompatibleError(TensorRTError):
    """A plan that this machine does not load, or whose tensors are not those of a network."""


class PlanInputError(TensorRTError, ValueError):
    """An array has a shape or type that the plan does not take."""
