"""What can go wrong around TensorRT; all of it is an `EngineBuildError`.

EngineBuildError
├─ OnnxModelError                 the parser refuses the ONNX file
├─ PlanOptionsError(ValueError)   options that contradict themselves, the model or the TensorRT
└─ TensorRTError                  TensorRT built no plan
   └─ TensorRTUnavailableError    no TensorRT, one before 8.6, or no GPU: no plan can be built here
"""

from __future__ import annotations

from tritonseg_engines.errors import EngineBuildError


class PlanOptionsError(EngineBuildError, ValueError):
    """Options of a plan contradict themselves, the model, or what this TensorRT can do."""


class TensorRTError(EngineBuildError):
    """TensorRT built no plan.

    Attributes:
        log: What TensorRT wrote while it tried, one message each, oldest first.
    """

    def __init__(self, message: str, *, log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.log = log


class TensorRTUnavailableError(TensorRTError):
    """No plan can be built on this machine, whatever the model."""
