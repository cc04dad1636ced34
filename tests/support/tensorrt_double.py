"""A stand-in for NVIDIA's `tensorrt` whose surface is that of one real version.

Classes, enums and their members come from the introspection of the real bindings (`api/*.json` of
the reference folder): what a version lacks raises AttributeError here too, what is read-only there
cannot be set here. What the methods *do* is the least that a build needs; no TensorRT runs without
a GPU, so this is as near as a test gets to the code behind the builder's creation. Its runtime is
`tensorrt_runtime_double`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tensorrt_runtime_double import Running, RuntimeDouble, Strict

TACTICS = {"0x0b": 9, "0x0a": 7}
"""Kernels that a timing cache names, from TensorRT 10 on."""
SEVERITIES = ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")


@dataclass
class Scenario:
    """What the stand-in's parser and builder meet.

    Attributes:
        input_shape: Of the only input, NORMALIZED.
        layers: (name, type, data type of the output) of every layer.
        parser_errors: Results of the `ParserError` methods, one mapping each.
        builder_errors: What the builder logs instead of returning a plan.
        phases: (name, steps) that it reports to the progress monitor.
        plan: What it returns; None for the ONNX file itself, which the runtime can run.
        timing_cache_fits: Whether it accepts a timing cache that is not empty.
        runs: What its runtime makes of a plan.
    """

    input_shape: tuple[int, ...] = (-1, 3, 64, 96)
    layers: tuple[tuple[str, str, str], ...] = ()
    parser_errors: tuple[Mapping[str, Any], ...] = ()
    builder_errors: tuple[str, ...] = ()
    phases: tuple[tuple[str, int], ...] = ()
    plan: bytes | None = b"a plan"
    timing_cache_fits: bool = True
    runs: Running = field(default_factory=Running)
    calls: list[tuple[Any, ...]] = field(default_factory=list)


def tensorrt_double(api: Mapping[str, Any], scenario: Scenario) -> Any:
    """Return what `import tensorrt` would, for one version and scenario."""
    return _Module(api, scenario).namespace


class _Module:
    def __init__(self, api: Mapping[str, Any], scenario: Scenario) -> None:
        self.api, self.scenario = api, scenario
        self.parsed = b""
        self.namespace = SimpleNamespace(
            __version__=api["version"],
            **{name: _enum(name, members) for name, members in api["enums"].items()},
        )
        self.severity = enum.IntEnum("Severity", SEVERITIES, start=0)
        for name in ("ILogger", "IProgressMonitor"):
            if name in api["classes"]:
                setattr(self.namespace, name, type(name, (), {}))
        self.namespace.Builder = self.builder
        self.namespace.OnnxParser = self.parser
        self.namespace.Runtime = RuntimeDouble(
            self.namespace, api, scenario.runs, scenario.calls, self.severity.ERROR
        )

    def record(self, *call: Any) -> None:
        self.scenario.calls.append(call)

    def strict(self, cls: str, methods: Mapping[str, Callable[..., Any]], **values: Any) -> Strict:
        return Strict(self.api["classes"][cls], methods, **values)

    def builder(self, logger: Any) -> Strict:
        return self.strict(
            "Builder",
            {
                "create_builder_config": self.config,
                "create_network": self.network,
                "create_optimization_profile": self.profile,
                "build_serialized_network": lambda _network, config: self.build(logger, config),
            },
        )

    def config(self) -> Strict:
        return self.strict(
            "IBuilderConfig",
            {
                "set_flag": lambda flag: self.record("set_flag", flag.name),
                "clear_flag": lambda flag: self.record("clear_flag", flag.name),
                "set_memory_pool_limit": lambda pool, size: self.record("pool", pool.name, size),
                "add_optimization_profile": lambda _profile: 0,
                "create_timing_cache": self.timing_cache,
                "set_timing_cache": self.set_timing_cache,
                "get_timing_cache": lambda: self.timing_cache(b"timings after the build"),
            },
            progress_monitor=None,
        )

    def timing_cache(self, content: bytes) -> Strict:
        methods: dict[str, Callable[..., Any]] = {"serialize": lambda: content}
        if "queryKeys" in self.api["classes"]["ITimingCache"]:  # not in 8.6
            methods["queryKeys"] = lambda: list(TACTICS)
            methods["query"] = lambda key: SimpleNamespace(tacticHash=TACTICS[key])
        return self.strict("ITimingCache", methods)

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        content = cache.serialize()
        self.record("timing_cache", content, ignore_mismatch)
        return self.scenario.timing_cache_fits or not content

    def network(self, flags: int = 0) -> Strict:
        self.record("create_network", flags)
        shape = self.scenario.input_shape
        tensor = self.strict("ITensor", {}, name="NORMALIZED", shape=shape)
        layers = [self.layer(*layer) for layer in self.scenario.layers]
        return self.strict(
            "INetworkDefinition",
            {"get_input": lambda _index: tensor, "get_layer": lambda index: layers[index]},
            num_inputs=1,
            num_layers=len(layers),
        )

    def layer(self, name: str, kind: str, dtype: str) -> Strict:
        output = self.strict("ITensor", {}, dtype=getattr(self.namespace.DataType, dtype))
        return self.strict(
            "ILayer",
            {
                "get_output": lambda _index: output,
                "set_output_type": lambda index, kind: self.record(
                    "output", name, index, kind.name
                ),
            },
            name=name,
            type=getattr(self.namespace.LayerType, kind),
            num_outputs=1,
            precision=None,
        )

    def profile(self) -> Strict:
        return self.strict(
            "IOptimizationProfile", {"set_shape": lambda *shapes: self.record("shape", *shapes)}
        )

    def parser(self, _network: Any, _logger: Any) -> Strict:
        errors = [
            self.strict(
                "ParserError", {key: lambda value=value: value for key, value in error.items()}
            )
            for error in self.scenario.parser_errors
        ]
        return self.strict(
            "OnnxParser",
            {"parse_from_file": self.parse(errors), "get_error": lambda index: errors[index]},
            num_errors=len(errors),
        )

    def parse(self, errors: list[Any]) -> Callable[[str], bool]:
        def parse(path: str) -> bool:
            self.parsed = Path(path).read_bytes()
            return not errors

        return parse

    def build(self, logger: Any, config: Any) -> bytes | None:
        for text in self.scenario.builder_errors:
            logger.log(self.severity.ERROR, text)
        logger.log(self.severity.VERBOSE, "tactic 7 took 3 us")
        logger.log(self.severity.WARNING, "a warning")
        logger.log(self.severity.WARNING, "a warning")
        monitor = config.__dict__.get("progress_monitor")
        if monitor is not None and not all(
            self.phase(monitor, *phase) for phase in self.scenario.phases
        ):
            return None
        if self.scenario.builder_errors:
            return None
        return self.parsed if self.scenario.plan is None else self.scenario.plan

    @staticmethod
    def phase(monitor: Any, name: str, steps: int) -> bool:
        monitor.phase_start(name, None, steps)
        going_on = all(monitor.step_complete(name, step) for step in range(steps))
        monitor.phase_finish(name)
        return going_on


def _enum(name: str, members: list[str]) -> type[enum.IntEnum]:
    return enum.IntEnum(name, members, start=0)
