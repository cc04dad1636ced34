"""TensorRT plans: built from typed ONNX, run and timed, described by a manifest.

`plan.build_plan` needs the extra `build` and NVIDIA's `tensorrt`, `loaded_plan.load_plan` also
CuPy; what is imported here needs none of them, so that a server's entrypoint can check its
repository. Inside this package `import tensorrt` means NVIDIA's, because imports are absolute.
"""

from tritonseg_engines.tensorrt.errors import (
    EngineIncompatibleError,
    PlanInputError,
    PlanOptionsError,
    TensorRTError,
    TensorRTUnavailableError,
)
from tritonseg_engines.tensorrt.machine import Gpu, Machine, inspect_machine
from tritonseg_engines.tensorrt.manifest import (
    ENGINES_KEY,
    PLAN_FILE,
    check_manifest,
    plan_manifest,
)
from tritonseg_engines.tensorrt.options import BatchRange, ImageSizeRange, PlanOptions

__all__ = [
    "ENGINES_KEY",
    "PLAN_FILE",
    "BatchRange",
    "EngineIncompatibleError",
    "Gpu",
    "ImageSizeRange",
    "Machine",
    "PlanInputError",
    "PlanOptions",
    "PlanOptionsError",
    "TensorRTError",
    "TensorRTUnavailableError",
    "check_manifest",
    "inspect_machine",
    "plan_manifest",
]
