"""What in a model's configs decides its masks: recorded by the build, compared before it is served.

The build has proven masks with these and no others. What an operator tunes is not among them:
instances, batching, queues, warm-up, rate limits, and any size of batch up to the largest that the
network takes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any, Final

from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.repository.deployment import Deployment
from tritonseg_engines.repository.messages import texts_of
from tritonseg_steps import contract

SETTINGS: Final = "settings"
"""In the manifest: `mask_settings`."""
LARGEST_BATCH: Final = "max_batch_size"
PARAMETERS: Final = (
    contract.PREPROCESSING_PARAMETER,
    contract.NETWORK_SIZES_PARAMETER,
    contract.UPSAMPLING_PARAMETER,
    contract.ENGINE_PARAMETER,
    contract.DIGEST_PARAMETER,
    contract.PROVENANCE_PARAMETER,
)
"""Provenance says which export a mask is that of, and the digest by which names a client calls the
classes. Not among them is the contract's version, which every step compares itself."""
BACKENDS: Final = {"tensorrt_plan": "tensorrt"}
"""By the older way to say it, `platform`."""
BACKEND: Final = "backend"
ENGINE_FILE: Final = "default_model_filename"
ENGINES_BY_GPU: Final = "cc_model_filenames"
STEPS: Final = "ensemble_scheduling"
RESHAPES: Final = "reshape"
KNOWN: Final = {
    *PARAMETERS, contract.MODEL_PARAMETER, contract.CLASS_PIXELS, BACKEND, ENGINE_FILE,
    ENGINES_BY_GPU, STEPS, RESHAPES,
}  # fmt: skip
"""What a newer version may have recorded besides is not compared."""
LONGEST: Final = 80
"""Characters of a value in a message."""


def mask_settings(
    configs: Mapping[str, pb.ModelConfig], deployment: Deployment, version: str
) -> dict[str, dict[str, Any]]:
    """Return what decides masks in configs as they are built, by folder; JSON documents."""
    settings = {folder: _settings(config, version) for folder, config in configs.items()}
    if deployment.engine.max_batch is not None:
        settings[deployment.engine_model][LARGEST_BATCH] = deployment.engine.max_batch
    return settings


def change(built: Mapping[str, Any], config: pb.ModelConfig, version: str) -> str | None:
    """Return what differs first in a config, expected and got, or None if nothing does.

    Args:
        built: Of its folder, as `mask_settings` returned it when the model was built.
        config: As it is.
        version: Whose part of it, where versions share it.
    """
    present = _settings(config, version)
    for name, value in built.items():
        if name == LARGEST_BATCH:
            if config.max_batch_size > value:
                return f"{name}: expected at most {value} as built, got {config.max_batch_size}"
        elif name in KNOWN:
            found = _first_change(name, value, present.get(name))
            if found is not None:
                return found
    return None


def _settings(config: pb.ModelConfig, version: str) -> dict[str, Any]:
    parameters = texts_of(config, version)
    found: dict[str, Any] = {
        name: _document(parameters[name]) for name in PARAMETERS if name in parameters
    }
    model = _document(parameters.get(contract.MODEL_PARAMETER, "null"))
    if isinstance(model, dict):
        found[contract.MODEL_PARAMETER] = {key: model.get(key) for key in ("name", "classes")}
    found[BACKEND] = config.backend or BACKENDS.get(config.platform, config.platform)
    found[ENGINE_FILE] = config.default_model_filename
    found[ENGINES_BY_GPU] = dict(config.cc_model_filenames)
    found[STEPS] = [
        {
            "model_name": step.model_name,
            "input_map": dict(step.input_map),
            "output_map": dict(step.output_map),
        }
        for step in config.ensemble_scheduling.step
    ]
    found[RESHAPES] = {
        tensor.name: list(tensor.reshape.shape)
        for tensor in (*config.input, *config.output)
        if tensor.HasField("reshape")
    }
    counts = [list(one.dims) for one in config.output if one.name == contract.CLASS_PIXELS]
    found[contract.CLASS_PIXELS] = counts
    return found


def _document(text: str) -> Any:
    """Return a parameter's JSON, or its text where it is none."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    return text


def _first_change(name: str, built: Any, present: Any) -> str | None:
    """Return where two documents differ first, down to what a message can hold."""
    if built == present:
        return None
    pairs = _children(name, built, present)
    changes = (_first_change(inner, *pair) for inner, pair in pairs.items())
    whole = f"{name}: expected {_shown(built)} as built, got {_shown(present)}"
    return next((change for change in changes if change is not None), whole)


def _children(name: str, built: Any, present: Any) -> dict[str, tuple[Any, Any]]:
    """Return the parts of two documents by name, none where a message should hold them whole."""
    if isinstance(built, dict) and isinstance(present, dict):
        return {f"{name}.{key}": (built.get(key), present.get(key)) for key in {**built, **present}}
    lists = isinstance(built, list) and isinstance(present, list) and len(built) == len(present)
    if lists and (len(json.dumps(built)) > LONGEST or any(isinstance(one, dict) for one in built)):
        pairs = enumerate(zip(built, present, strict=True))
        return {f"{name}[{index}]": pair for index, pair in pairs}
    return {}


def _shown(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
