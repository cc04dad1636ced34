"""The process in which NVIDIA's compiler runs ahead of time: one graph, one GPU, one answer.

    python -m tritonseg_engines.tensorrt._ahead_of_time REQUEST ANSWER

It may crash, hang or run out of memory; whoever started it makes an error of that.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.tensorrt.engine_layers import engine_layers
from tritonseg_engines.tensorrt.errors import PlanOptionsError, TensorRTError
from tritonseg_engines.tensorrt.network_build import NetworkBuild
from tritonseg_engines.tensorrt.number_types import number_type, widest
from tritonseg_engines.tensorrt.options import BatchRange, ImageSizeRange, PlanOptions
from tritonseg_engines.tensorrt.typing_rules import layers_of
from tritonseg_engines.tensorrt.words import in_one_line

GRACE_S: Final = 5.0
"""For whoever started it to end it first, with words."""
_PR_SET_PDEATHSIG: Final = 1
"""Source: linux/prctl.h."""
MULTIPLYING: Final = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")


def main(request_path: str, answer_path: str) -> None:
    """Compile what the request names, and write what came of it."""
    request = json.loads(Path(request_path).read_text())
    _end_in_time(request["parent"], request["seconds"])
    limit = request["memory_bytes"]
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.path.append(request["bindings"])
    trt = importlib.import_module(request["module"])
    answer = _compile(trt, request)
    Path(answer_path).write_text(json.dumps(answer))


def _end_in_time(parent: int, seconds: float) -> None:
    """Have the kernel end this process with the thread that waits for it, or soon after its time.

    Neither asks Python, which has no say while the compiler is at work.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(f"process {parent}, which wanted an answer, is gone")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds + GRACE_S)


def _compile(trt: Any, request: dict[str, Any]) -> dict[str, Any]:
    capability = request["capability"]
    member = getattr(trt.ComputeCapability, f"SM{capability.replace('.', '')}", None)
    answer: dict[str, Any] = {"compiler": trt.__version__, "multiplying": []}
    if member is None:
        return {**answer, "unknown_gpu": True}
    size = request["image_size"]
    options = PlanOptions(
        batch=BatchRange(**request["batch"]),
        image_size=None
        if size is None
        else ImageSizeRange(**{name: tuple(size_hw) for name, size_hw in size.items()}),
    )
    build = NetworkBuild(trt, Path(request["onnx"]), options, place="this machine")

    def configure(config: Any) -> None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(member, 0)
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED

    started = time.monotonic()
    try:
        engine = build.run(
            configure=configure,
            inspect=lambda network: answer["multiplying"].extend(_multiplying(trt, network)),
        )
    except (OnnxModelError, PlanOptionsError, TensorRTError) as error:
        answer["refusal"] = str(error)
        answer["contradicts_options"] = isinstance(error, PlanOptionsError)
    else:
        answer["engine_bytes"] = len(engine)
    return {
        **answer,
        "seconds": time.monotonic() - started,
        "warnings": list(dict.fromkeys(map(in_one_line, build.log.warnings()))),
        "log": list(build.log.lines()),
        "engine": list(engine_layers(build.log.engine_layers)),
    }


def _multiplying(trt: Any, network: Any) -> list[dict[str, str]]:
    """Return the layers that multiply, and the precision that the strongly typed network has."""
    layers = list(layers_of(network))
    quantized = {
        layer.get_output(0).name: number_type(layer.get_input(0).dtype.name)
        for layer in layers
        if layer.type == trt.LayerType.DEQUANTIZE
    }
    found = []
    for layer in layers:
        if layer.type.name not in MULTIPLYING:
            continue
        tensors = [layer.get_input(index) for index in range(layer.num_inputs)]
        read = [tensor for tensor in tensors[:2] if tensor is not None]
        types = [quantized[tensor.name] for tensor in read if tensor.name in quantized]
        dtype = number_type(read[0].dtype.name) if read else "none"
        found.append(
            {
                "name": layer.name,
                "origin": layer.metadata,
                "precision": widest(types) if len(types) == 2 else dtype,
            }
        )
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
