"""What a user may decide about a build beyond model, precision and runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tritonseg_engines.errors import CalibrationError
from tritonseg_engines.preflight.gpus import read_gpus
from tritonseg_engines.preflight.limits import Limits
from tritonseg_engines.tensorrt.errors import PlanOptionsError
from tritonseg_engines.tensorrt.options import HARDWARE_COMPATIBILITY
from tritonseg_steps.int8_cpu import Int8Cpu

MINIMUM_CALIBRATION_PICTURES = 32
CALIBRATOR_NAMES = ("percentile", "minmax", "entropy")
MODELOPT = "modelopt"
QUANTIZERS = ("tritonseg", MODELOPT)
GPU_COMPATIBILITIES = tuple(HARDWARE_COMPATIBILITY)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildOptions:
    """Options of `build_model`.

    Attributes:
        calibration: Folder of pictures that int8 learns its scales from, and fp16 the magnitude
            of values.
        minimum_pictures: Least number of them for int8.
        calibrator: One of `CALIBRATOR_NAMES`.
        quantizer: One of `QUANTIZERS`.
        modelopt_python: Interpreter of an environment that has NVIDIA ModelOpt.
        pictures: Folder of pictures on which the built network is compared with the reference.
        labels: Folder of their labels, PNGs of class indices of the same names.
        keep_fp32: Patterns of the names of nodes to leave in fp32.
        max_miou_drop: Points of mIoU that int8 may lose; the costliest layers are left in high
            precision until it does. None leaves none.
        cpu: What int8 weights for OpenVINO are made for; None for this machine's CPU.
        gpu_argmax: For TensorRT: argmax on the GPU too; see `Serving.argmax_on_gpu`.
        hardware_compatibility: For TensorRT: which GPUs beside those of the same model the plan
            runs on, one of `HARDWARE_COMPATIBILITY`; see `PlanOptions`.
        timing_cache: For TensorRT: folder that keeps timings and the kernels chosen; None for none.
        reproducible: For TensorRT: take those kernels and no others; see `PlanOptions`.
        accept: Write the engine although the gate refuses it, and record that.
        onnx_only: Stop after the converted ONNX and its gate.
        grace_s: Where an ensemble is replaced by one model: how long its steps stay, in seconds, so
            that a server that polls the repository always has something to serve.
        version: Build this version of the model, beside its others, as "2"; None for a model that
            has no others.
        preflight_gpus: For TensorRT without a GPU: for which NVIDIA's compiler is asked about the
            ONNX, names of `preflight.GPUS`; none for not at all. None for the usual ones where the
            compiler is installed.
        preflight_limits: What each of those compilations may take.
    """

    calibration: Path | None = None
    minimum_pictures: int = MINIMUM_CALIBRATION_PICTURES
    calibrator: str = CALIBRATOR_NAMES[0]
    quantizer: str = QUANTIZERS[0]
    modelopt_python: Path | None = None
    pictures: Path | None = None
    labels: Path | None = None
    keep_fp32: tuple[str, ...] = ()
    max_miou_drop: float | None = None
    cpu: Int8Cpu | None = None
    gpu_argmax: bool = False
    hardware_compatibility: str = "none"
    timing_cache: Path | None = None
    reproducible: bool = False
    accept: bool = False
    onnx_only: bool = False
    grace_s: int = 0
    version: str | None = None
    preflight_gpus: tuple[str, ...] | None = None
    preflight_limits: Limits = field(default_factory=Limits)

    @property
    def of_plans(self) -> tuple[str, ...]:
        """Return the options given that say something about TensorRT alone, as one types them."""
        given = {
            "--hardware-compatibility": self.hardware_compatibility != "none",
            "--timing-cache": self.timing_cache is not None,
            "--gpu": bool(self.preflight_gpus),
        }
        return tuple(name for name, is_given in given.items() if is_given)

    def __post_init__(self) -> None:
        self._check_plan_options()
        if self.labels is not None and self.pictures is None:
            raise CalibrationError("labels: expected the pictures that they belong to, got none")
        if self.max_miou_drop is not None and not self.max_miou_drop >= 0:
            raise CalibrationError(
                f"max_miou_drop: expected points of mIoU, 0 or more, got {self.max_miou_drop}"
            )
        if self.quantizer not in QUANTIZERS:
            raise CalibrationError(
                f"quantizer: expected one of {', '.join(QUANTIZERS)}, got {self.quantizer!r}"
            )
        if (self.quantizer == MODELOPT) != (self.modelopt_python is not None):
            raise CalibrationError("--quantizer modelopt and --modelopt-python PATH go together")
        if self.quantizer == MODELOPT and self.max_miou_drop is not None:
            raise CalibrationError(
                "max_miou_drop: only the quantizer tritonseg searches for layers to keep; with "
                "modelopt name them with --keep-fp32"
            )

    def _check_plan_options(self) -> None:
        if self.hardware_compatibility not in HARDWARE_COMPATIBILITY:
            raise PlanOptionsError(
                "hardware_compatibility: expected one of "
                f"{', '.join(HARDWARE_COMPATIBILITY)}, got {self.hardware_compatibility!r}"
            )
        if self.reproducible and self.timing_cache is None:
            raise PlanOptionsError("--reproducible takes its kernels from --timing-cache FOLDER")
        if self.preflight_gpus:
            read_gpus(self.preflight_gpus)
