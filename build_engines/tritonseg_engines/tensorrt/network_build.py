"""One ONNX file read into TensorRT's network and compiled, whichever TensorRT it is.

The same steps serve TensorRT 8.6 to 11 on the GPU that will run the plan, and TensorRT-RTX, which
compiles ahead of time for GPUs that are named; what differs is asked of the module.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tritonseg_engines.progress import Progress
from tritonseg_engines.tensorrt.bindings import BuildLog, new_logger, new_progress_monitor
from tritonseg_engines.tensorrt.builder_config import (
    add_profile,
    apply_options,
    save_timing_cache,
    tactics_sha256,
    use_timing_cache,
)
from tritonseg_engines.tensorrt.errors import TensorRTError, TensorRTUnavailableError
from tritonseg_engines.tensorrt.onnx_types import OnnxTypes, read_onnx_types
from tritonseg_engines.tensorrt.options import PlanOptions, ProfileShapes, profile_shapes
from tritonseg_engines.tensorrt.parsing import parse_onnx
from tritonseg_engines.tensorrt.typing_rules import (
    check_types,
    create_typed_network,
    layer_names,
    pin_float32_layers,
)
from tritonseg_engines.tensorrt.words import in_one_line

_OF_MEMORY: Final = re.compile(r"memory|alloc|workspace|implementation for node", re.IGNORECASE)
"""Words for too little memory, and for no kernel, of which each may have wanted more."""


class NetworkBuild:
    """One build; TensorRT's objects live no longer than `run`.

    Args:
        trt: NVIDIA's module.
        onnx_path: The network in the precision that it is to have.
        options: How.
        place: What the builder starts on, in words, for its errors.

    Attributes:
        types: What the file says about precision.
        log: What TensorRT wrote.
        profile: Shapes of every input by its name.
        pinned_layers: Layers that had to be pinned to float32; TensorRT 8.6 only.
        tactics_sha256: Digest of the kernels that the timing cache names.
    """

    def __init__(self, trt: Any, onnx_path: Path, options: PlanOptions, *, place: str) -> None:
        self._trt = trt
        self._onnx_path = onnx_path
        self._options = options
        self._place = place
        self.types: OnnxTypes = read_onnx_types(onnx_path)
        self.log = BuildLog()
        self.profile: dict[str, ProfileShapes] = {}
        self.pinned_layers: tuple[str, ...] = ()
        self.tactics_sha256: str | None = None

    def run(
        self,
        *,
        progress: Progress | None = None,
        timing_cache: Path | None = None,
        configure: Callable[[Any], None] | None = None,
        inspect: Callable[[Any], None] | None = None,
    ) -> bytes:
        """Return the serialized engine.

        Args:
            progress: Told of phases and steps, where TensorRT tells.
            timing_cache: File with the timings of earlier builds; read and written.
            configure: Called with the builder's configuration, to add what only one TensorRT has.
            inspect: Called with the network as it was read, before it is compiled.
        """
        trt = self._trt
        check_types(trt, self.types)
        logger = new_logger(trt, self.log)
        builder = self._builder(trt, logger)
        config = builder.create_builder_config()
        apply_options(trt, config, self._options)
        if configure is not None:
            configure(config)
        network = create_typed_network(trt, builder, config, self.types)
        parser = trt.OnnxParser(network, logger)
        parse_onnx(parser, self._onnx_path, self.types, self.log)
        if inspect is not None:
            inspect(network)
        self.pinned_layers = pin_float32_layers(trt, network, self.types)
        self.profile = self._profile(network)
        add_profile(builder, config, self.profile)
        return self._serialize(builder, network, config, progress, timing_cache)

    def _builder(self, trt: Any, logger: Any) -> Any:
        try:
            return trt.Builder(logger)
        except TypeError as error:
            # What pybind11 makes of the null pointer that TensorRT returns.
            reason = "; ".join(self.log.errors()) or "it gave no reason"
            raise TensorRTUnavailableError(
                f"TensorRT {trt.__version__} cannot start on {self._place}: {reason}. It starts "
                "only with a GPU and a driver that its CUDA version supports",
                log=self.log.lines(),
            ) from error

    def _profile(self, network: Any) -> dict[str, ProfileShapes]:
        inputs = [network.get_input(index) for index in range(network.num_inputs)]
        return {
            tensor.name: profile_shapes(tensor.name, tuple(tensor.shape), self._options)
            for tensor in inputs
        }

    def _serialize(
        self,
        builder: Any,
        network: Any,
        config: Any,
        progress: Progress | None,
        timing_cache: Path | None,
    ) -> bytes:
        monitor = new_progress_monitor(self._trt, progress) if progress is not None else None
        if monitor is not None and hasattr(config, "progress_monitor"):
            config.progress_monitor = monitor
        if timing_cache is not None:
            use_timing_cache(config, timing_cache, required=self._options.reproducible)
        serialized = builder.build_serialized_network(network, config)
        if monitor is not None and monitor.reporter.exception is not None:
            raise monitor.reporter.exception
        if serialized is None:
            raise self._failure(network)
        if timing_cache is not None:
            self.tactics_sha256 = tactics_sha256(config)
            if not self._options.reproducible:
                save_timing_cache(config, timing_cache)
        return bytes(serialized)

    def _failure(self, network: Any) -> TensorRTError:
        errors = self.log.errors()
        layers = self.log.layers(layer_names(network))
        where = f" at {', '.join(map(repr, layers))}" if layers else ""
        reason = in_one_line(errors[-1]) if errors else "it gave no reason"
        may_lack_memory = not errors or _OF_MEMORY.search(reason) is not None
        cure = ". If it lacks memory, lower the largest batch or image size" * may_lack_memory
        return TensorRTError(
            f"{self._onnx_path}: TensorRT {self._trt.__version__} built no plan{where}: "
            f"{reason}{cure}",
            log=self.log.lines(),
        )
