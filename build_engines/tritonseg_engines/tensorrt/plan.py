"""From a typed ONNX file to a TensorRT plan for this machine's GPU."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.progress import Progress
from tritonseg_engines.tensorrt.bindings import (
    BuildLog,
    load_tensorrt,
    new_logger,
    new_progress_monitor,
)
from tritonseg_engines.tensorrt.builder_config import (
    add_profile,
    apply_options,
    save_timing_cache,
    timing_cache_path,
    use_timing_cache,
)
from tritonseg_engines.tensorrt.errors import TensorRTError, TensorRTUnavailableError
from tritonseg_engines.tensorrt.machine import Gpu, inspect_machine
from tritonseg_engines.tensorrt.onnx_types import OnnxTypes, read_onnx_types
from tritonseg_engines.tensorrt.options import PlanOptions, ProfileShapes, profile_shapes
from tritonseg_engines.tensorrt.parsing import parse_onnx
from tritonseg_engines.tensorrt.typing_rules import (
    check_types,
    create_typed_network,
    layer_names,
    pin_float32_layers,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanReport:
    """A plan that was built.

    Attributes:
        plan: The file.
        plan_sha256: Its digest in hexadecimal digits.
        size_bytes: Its size.
        onnx_sha256: Digest of the ONNX file that it was built from.
        precision: "fp32", "fp16" or "int8", as the ONNX has it.
        tensorrt_version: As TensorRT states it, e.g. "10.16.1.11".
        gpu: What it was built on.
        profile: Shapes of every input by its name.
        options: As asked for.
        pinned_layers: Layers that had to be pinned to float32; TensorRT 8.6 only.
        duration_s: Seconds that building took.
        warnings: What TensorRT warned of, each once.
    """

    plan: Path
    plan_sha256: str
    size_bytes: int
    onnx_sha256: str
    precision: str
    tensorrt_version: str
    gpu: Gpu
    profile: dict[str, ProfileShapes]
    options: PlanOptions
    pinned_layers: tuple[str, ...]
    duration_s: float
    warnings: tuple[str, ...]


def build_plan(
    onnx_path: Path,
    plan_path: Path,
    options: PlanOptions | None = None,
    *,
    progress: Progress | None = None,
    gpu: Gpu | None = None,
) -> PlanReport:
    """Build a plan and write it, whole or not at all.

    Args:
        onnx_path: The network in the precision that it is to have; not changed.
        plan_path: Where the plan goes; replaced if it is there.
        options: How; `PlanOptions()` unless given.
        progress: Called from TensorRT's threads as phases and their steps end, where TensorRT
            tells (10 and newer). What it raises ends the build and is raised here.
        gpu: The first GPU of this machine, if the caller has inspected it; else it is looked for.

    Raises:
        OnnxModelError: The file is not ONNX, or TensorRT's parser refuses a node of it.
        PlanOptionsError: The options contradict the file or this TensorRT.
        TensorRTUnavailableError: There is no GPU, or no TensorRT from 8.6 on.
        TensorRTError: TensorRT built nothing; the message has the layer, if it named one.
    """
    options = options or PlanOptions()
    started = time.monotonic()
    gpu = gpu or inspect_machine().first_gpu()
    trt = load_tensorrt()
    build = _Build(trt, gpu, onnx_path, options)
    plan = build.run(progress)
    write_atomically(plan_path, plan)
    return PlanReport(
        plan=plan_path,
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        size_bytes=len(plan),
        onnx_sha256=sha256_of(onnx_path),
        precision=build.types.precision,
        tensorrt_version=trt.__version__,
        gpu=gpu,
        profile=build.profile,
        options=options,
        pinned_layers=build.pinned_layers,
        duration_s=time.monotonic() - started,
        warnings=build.log.warnings(),
    )


class _Build:
    """One build; TensorRT's objects live no longer than `run`."""

    def __init__(self, trt: Any, gpu: Gpu, onnx_path: Path, options: PlanOptions) -> None:
        self._trt = trt
        self._gpu = gpu
        self._onnx_path = onnx_path
        self._options = options
        self.types: OnnxTypes = read_onnx_types(onnx_path)
        self.log = BuildLog()
        self.profile: dict[str, ProfileShapes] = {}
        self.pinned_layers: tuple[str, ...] = ()

    def run(self, progress: Progress | None) -> bytes:
        """Return the serialized plan."""
        trt = self._trt
        check_types(trt, self.types)
        logger = new_logger(trt, self.log)
        builder = self._builder(trt, logger)
        config = builder.create_builder_config()
        apply_options(trt, config, self._options)
        network = create_typed_network(trt, builder, config, self.types)
        parser = trt.OnnxParser(network, logger)
        parse_onnx(parser, self._onnx_path, self.types, self.log)
        self.pinned_layers = pin_float32_layers(trt, network, self.types)
        self.profile = self._profile(network)
        add_profile(builder, config, self.profile)
        return self._serialize(trt, builder, network, config, progress)

    def _builder(self, trt: Any, logger: Any) -> Any:
        try:
            return trt.Builder(logger)
        except TypeError as error:
            # What pybind11 makes of the null pointer that TensorRT returns.
            reason = "; ".join(self.log.errors()) or "it gave no reason"
            raise TensorRTUnavailableError(
                f"TensorRT {trt.__version__} cannot start on {self._gpu.name} (CUDA "
                f"{self._gpu.cuda_version}): {reason}. It starts only with a GPU and a driver "
                "that its CUDA version supports",
                log=self.log.lines(),
            ) from error

    def _profile(self, network: Any) -> dict[str, ProfileShapes]:
        inputs = [network.get_input(index) for index in range(network.num_inputs)]
        return {
            tensor.name: profile_shapes(tensor.name, tuple(tensor.shape), self._options)
            for tensor in inputs
        }

    def _serialize(
        self, trt: Any, builder: Any, network: Any, config: Any, progress: Progress | None
    ) -> bytes:
        monitor = new_progress_monitor(trt, progress) if progress is not None else None
        if monitor is not None and hasattr(config, "progress_monitor"):
            config.progress_monitor = monitor
        cache = self._cache_path(trt)
        if cache is not None:
            use_timing_cache(config, cache)
        serialized = builder.build_serialized_network(network, config)
        if monitor is not None and monitor.reporter.exception is not None:
            raise monitor.reporter.exception
        if serialized is None:
            raise self._failure(trt, network)
        if cache is not None:
            save_timing_cache(config, cache)
        return bytes(serialized)

    def _cache_path(self, trt: Any) -> Path | None:
        folder = self._options.timing_cache
        return None if folder is None else timing_cache_path(folder, self._gpu, trt.__version__)

    def _failure(self, trt: Any, network: Any) -> TensorRTError:
        errors = self.log.errors()
        layers = self.log.layers(layer_names(network))
        where = f" at {', '.join(map(repr, layers))}" if layers else ""
        return TensorRTError(
            f"{self._onnx_path}: TensorRT {trt.__version__} built no plan{where}: "
            f"{errors[-1] if errors else 'it gave no reason'}. If it lacks memory, lower the "
            "largest batch or image size",
            log=self.log.lines(),
        )
