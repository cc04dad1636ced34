"""Turn `PlanOptions` into TensorRT's builder configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.tensorrt.errors import PlanOptionsError
from tritonseg_engines.tensorrt.machine import Gpu
from tritonseg_engines.tensorrt.options import HARDWARE_COMPATIBILITY, PlanOptions, ProfileShapes


def apply_options(trt: Any, config: Any, options: PlanOptions) -> None:
    """Set everything that does not depend on the network.

    Raises:
        PlanOptionsError: This TensorRT lacks what is asked for.
    """
    # On by default, it rounds what is fp32 in the file to 10 bits of mantissa.
    config.clear_flag(trt.BuilderFlag.TF32)
    if options.hardware_compatibility != "none":
        config.hardware_compatibility_level = _compatibility_level(trt, options)


def add_profile(builder: Any, config: Any, shapes: dict[str, ProfileShapes]) -> None:
    """Add one optimization profile with the shapes of every input.

    Raises:
        PlanOptionsError: TensorRT finds the shapes inconsistent.
    """
    profile = builder.create_optimization_profile()
    for name, wanted in shapes.items():
        profile.set_shape(name, wanted.minimum, wanted.optimum, wanted.maximum)
    if config.add_optimization_profile(profile) < 0:
        raise PlanOptionsError(f"TensorRT refuses the profile {shapes}")


def timing_cache_path(folder: Path, gpu: Gpu, tensorrt_version: str) -> Path:
    """Return the file of one GPU model and TensorRT version; neither reads the other's timings."""
    model = re.sub(r"[^a-z0-9]+", "-", gpu.name.lower()).strip("-")
    capability = gpu.compute_capability.replace(".", "")
    return folder / f"{model}_sm{capability}_trt{tensorrt_version}.timing"


def use_timing_cache(config: Any, path: Path) -> None:
    """Begin with the timings in the file, or with none if it is missing or of another machine."""
    known = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(known)
    if cache is None or not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def save_timing_cache(config: Any, path: Path) -> None:
    """Write the timings that the build measured, whole or not at all."""
    cache = config.get_timing_cache()
    if cache is not None:
        write_atomically(path, bytes(cache.serialize()))


def _compatibility_level(trt: Any, options: PlanOptions) -> Any:
    member = HARDWARE_COMPATIBILITY[options.hardware_compatibility]
    level = getattr(trt.HardwareCompatibilityLevel, member, None)
    if level is None:
        raise PlanOptionsError(
            f"hardware_compatibility: TensorRT {trt.__version__} has no "
            f"{options.hardware_compatibility!r}; build with TensorRT 10 or newer, or one plan for "
            "each kind of GPU"
        )
    return level
