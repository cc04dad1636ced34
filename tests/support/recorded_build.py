"""One build through the package's own steps, with every call on TensorRT's objects written down.

    python recorded_build.py MODULE ONNX ANSWER

runs it on a module that is importable here, which takes an environment of its own; a test runs the
same on a stand-in, in its own process.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from tritonseg_engines.errors import EngineBuildError
from tritonseg_engines.tensorrt.network_build import NetworkBuild
from tritonseg_engines.tensorrt.options import BatchRange, PlanOptions

MADE = {
    "Builder": "builder",
    "OnnxParser": "parser",
    "create_builder_config": "config",
    "create_network": "network",
    "create_optimization_profile": "profile",
}
AHEAD_OF_TIME = ("num_compute_capabilities", "set_compute_capability")
"""What names the GPU, where a compiler needs none; no other TensorRT has it."""


class Recorded:
    """An object of TensorRT whose calls and assignments are written down."""

    def __init__(self, real: Any, label: str, calls: list[str]) -> None:
        self.__dict__.update(_real=real, _label=label, _calls=calls)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        if self._label == "trt" and name not in MADE:
            return value
        if not callable(value):
            return value

        def call(*arguments: Any) -> Any:
            if name not in AHEAD_OF_TIME:
                self._calls.append(f"{self._label}.{name}")
            result = value(*(_real(argument) for argument in arguments))
            return Recorded(result, MADE[name], self._calls) if name in MADE else result

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in AHEAD_OF_TIME:
            self._calls.append(f"{self._label}.{name} =")
        setattr(self._real, name, value)


def _real(value: Any) -> Any:
    return value._real if isinstance(value, Recorded) else value


def recorded_build(trt: Any, onnx_path: Path) -> dict[str, Any]:
    """Return the calls in their order, and the kind of error that ended the build."""
    calls: list[str] = []
    options = PlanOptions(batch=BatchRange(maximum=2))
    build = NetworkBuild(Recorded(trt, "trt", calls), onnx_path, options, place="a test")
    error = None

    def configure(config: Any) -> None:
        if hasattr(trt, "ComputeCapability"):
            config.num_compute_capabilities = 1
            config.set_compute_capability(trt.ComputeCapability.SM86, 0)

    try:
        build.run(configure=configure)
    except EngineBuildError as caught:
        error = type(caught).__name__
    return {"calls": calls, "error": error, "warnings": list(build.log.warnings())}


def surface(trt: Any, uses: list[tuple[str, str]]) -> list[str]:
    """Return those attributes, as (owner, name), that the module lacks."""
    return [
        f"{owner or 'tensorrt'}.{name}"
        for owner, name in uses
        if not hasattr(getattr(trt, owner, None) if owner else trt, name)
    ]


if __name__ == "__main__":
    module, request, answer = sys.argv[1:]
    asked = json.loads(Path(request).read_text())
    real = importlib.import_module(module)
    document = {
        "builds": [recorded_build(real, Path(path)) for path in asked["graphs"]],
        "lacks": surface(real, [tuple(use) for use in asked["uses"]]),
    }
    Path(answer).write_text(json.dumps(document))
