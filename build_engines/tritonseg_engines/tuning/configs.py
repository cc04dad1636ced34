"""Settings as they stand in a model's configs, read from them and written into them."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.configs import folder_names
from tritonseg_engines.repository.files import CONFIG_FILE
from tritonseg_engines.tuning.settings import Settings
from tritonseg_steps.contract import (
    QUEUE_PARAMETER,
    QUEUE_TIME_PARAMETER,
    THREADS_PARAMETER,
)
from tritonseg_steps.validation import positive_int

Configs: TypeAlias = Mapping[str, pb.ModelConfig]
"""Of one model, by folder: its own, and its steps' where it is an ensemble."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Folders:
    """Which folders of a model have what.

    Attributes:
        model: Of the model that clients call.
        engine: Where the network runs; the model's own without an ensemble.
        normalize: None without an ensemble.
        argmax: None without an ensemble.
    """

    model: str
    engine: str
    normalize: str | None = None
    argmax: str | None = None

    @classmethod
    def of(cls, model: str, configs: Configs) -> Folders:
        """Return those of a model."""
        if not configs[model].HasField("ensemble_scheduling"):
            return cls(model=model, engine=model)
        _, normalize, engine, argmax = folder_names(model)
        return cls(model=model, engine=engine, normalize=normalize, argmax=argmax)

    @property
    def steps(self) -> tuple[str, ...]:
        """Every folder whose model runs something, in the order of a request."""
        return tuple(one for one in (self.normalize, self.engine, self.argmax) if one is not None)


def settings_of(model: str, configs: Configs) -> Settings:
    """Return what a model's configs say.

    Raises:
        RepositoryError: A step has instances of several kinds, which somebody placed by hand, or a
            parameter that is no number.
    """
    folders = Folders.of(model, configs)
    engine = configs[folders.engine]
    on_cpu = engine.backend == "python"
    return Settings(
        engine_instances=_instances(engine),
        engine_threads=_integer(engine, THREADS_PARAMETER) if on_cpu else None,
        normalize_instances=_step_instances(configs, folders.normalize),
        argmax_instances=_step_instances(configs, folders.argmax),
        max_batch_size=None if on_cpu else engine.max_batch_size,
        queue_delay_us=(
            engine.dynamic_batching.max_queue_delay_microseconds
            if engine.HasField("dynamic_batching")
            else None
        ),
        queue_limit=_queue_limit(configs[folders.steps[0]]),
        queue_ms=_queue_ms(configs[folders.steps[0]]),
    )


def with_settings(model: str, configs: Configs, settings: Settings) -> dict[str, pb.ModelConfig]:
    """Return copies of a model's configs with other settings; None leaves what is there."""
    folders = Folders.of(model, configs)
    changed = {folder: copy.deepcopy(config) for folder, config in configs.items()}
    counts = {
        folders.engine: settings.engine_instances,
        folders.normalize: settings.normalize_instances,
        folders.argmax: settings.argmax_instances,
    }
    for folder, count in counts.items():
        if folder is not None and count is not None:
            changed[folder].instance_group[0].count = count
    if settings.max_batch_size is not None:
        for config in changed.values():
            _set_batch(config, settings.max_batch_size)
    _set_engine(changed[folders.engine], settings)
    _set_queue(changed[folders.steps[0]], settings)
    return changed


def _instances(config: pb.ModelConfig) -> int:
    if len(config.instance_group) != 1:
        raise RepositoryError(
            f"{config.name}: expected one instance_group to tune, got "
            f"{len(config.instance_group)}; instances that were placed by hand are not tuned"
        )
    return int(config.instance_group[0].count)


def _step_instances(configs: Configs, folder: str | None) -> int | None:
    return None if folder is None else _instances(configs[folder])


def _queue_limit(config: pb.ModelConfig) -> int:
    if config.HasField("dynamic_batching"):
        return int(config.dynamic_batching.default_queue_policy.max_queue_size)
    return _integer(config, QUEUE_PARAMETER)


def _queue_ms(config: pb.ModelConfig) -> int | None:
    """Return the time in a step's own line; Triton's queues have none."""
    keeps_line = QUEUE_PARAMETER in config.parameters
    return _integer(config, QUEUE_TIME_PARAMETER) if keeps_line else None


def _set_batch(config: pb.ModelConfig, most: int) -> None:
    """Set the largest batch; Triton loads nothing that prefers or warms up with a larger one."""
    config.max_batch_size = most
    if config.HasField("dynamic_batching"):
        preferred = config.dynamic_batching.preferred_batch_size
        preferred[:] = [size for size in preferred if size <= most]
    fitting = [sample for sample in config.model_warmup if sample.batch_size <= most]
    del config.model_warmup[:]
    config.model_warmup.extend(fitting)


def _set_engine(config: pb.ModelConfig, settings: Settings) -> None:
    if settings.engine_threads is not None:
        _set_integer(config, THREADS_PARAMETER, settings.engine_threads)
    if settings.queue_delay_us is not None:
        config.dynamic_batching.max_queue_delay_microseconds = settings.queue_delay_us


def _set_queue(config: pb.ModelConfig, settings: Settings) -> None:
    if settings.queue_limit is not None:
        if config.HasField("dynamic_batching"):
            config.dynamic_batching.default_queue_policy.max_queue_size = settings.queue_limit
        else:
            _set_integer(config, QUEUE_PARAMETER, settings.queue_limit)
    if settings.queue_ms is not None:
        _set_integer(config, QUEUE_TIME_PARAMETER, settings.queue_ms)


def _integer(config: pb.ModelConfig, parameter: str) -> int:
    """Return a parameter's number, 0 where there is none.

    Raises:
        RepositoryError: It is no number with which a step would load.
    """
    if parameter not in config.parameters:
        return 0
    text = config.parameters[parameter].string_value
    try:
        return positive_int(parameter, json.loads(text))
    except ValueError as error:
        raise RepositoryError(
            f"{config.name}/{CONFIG_FILE}: {parameter}: expected an integer above 0, got {text!r}"
        ) from error


def _set_integer(config: pb.ModelConfig, parameter: str, value: int) -> None:
    """Set a parameter; 0 takes it away."""
    if value:
        config.parameters[parameter].string_value = json.dumps(value)
    elif parameter in config.parameters:
        del config.parameters[parameter]
