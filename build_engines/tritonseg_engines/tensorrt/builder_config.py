"""Turn `PlanOptions` into TensorRT's builder configuration."""

from __future__ import annotations

import hashlib
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
    if options.timing_cache is not None:
        _pin_tactics(trt, config, options)


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


def use_timing_cache(config: Any, path: Path, *, required: bool) -> None:
    """Begin with the timings in the file, or with none if it is missing or of another machine.

    Raises:
        PlanOptionsError: It is, and is required.
    """
    known = path.read_bytes() if path.is_file() else b""
    if required and not known:
        raise PlanOptionsError(
            f"reproducible: expected the kernels of an earlier build in {path}, which is not "
            "there; build once with the same timing cache and without it"
        )
    cache = config.create_timing_cache(known)
    if cache is None or not config.set_timing_cache(cache, False):
        if required:
            raise PlanOptionsError(f"reproducible: TensorRT does not take the timings of {path}")
        config.set_timing_cache(config.create_timing_cache(b""), False)


def tactics_sha256(config: Any) -> str | None:
    """Return the digest of the kernels that the timing cache names, or None where it names none.

    Timings are left out: they differ from build to build.
    """
    cache = config.get_timing_cache()
    keys_of, query = getattr(cache, "queryKeys", None), getattr(cache, "query", None)
    if keys_of is None or query is None:
        return None
    chosen = sorted(f"{key} {query(key).tacticHash}" for key in keys_of())
    return hashlib.sha256("\n".join(chosen).encode()).hexdigest() if chosen else None


def save_timing_cache(config: Any, path: Path) -> None:
    """Write the timings that the build measured, whole or not at all."""
    cache = config.get_timing_cache()
    if cache is not None:
        write_atomically(path, bytes(cache.serialize()))


def _pin_tactics(trt: Any, config: Any, options: PlanOptions) -> None:
    """Have the cache name kernels, which it does from TensorRT 10 on, and obey it if asked to.

    Raises:
        PlanOptionsError: It shall be obeyed, and this TensorRT cannot.
    """
    editable = getattr(trt.BuilderFlag, "EDITABLE_TIMING_CACHE", None)
    no_other = getattr(trt.BuilderFlag, "ERROR_ON_TIMING_CACHE_MISS", None)
    if editable is not None:
        config.set_flag(editable)
    if not options.reproducible:
        return
    if editable is None or no_other is None:
        raise PlanOptionsError(
            f"reproducible: TensorRT {trt.__version__} cannot be told which kernels to take; build "
            "with TensorRT 10 or newer"
        )
    config.set_flag(no_other)


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
