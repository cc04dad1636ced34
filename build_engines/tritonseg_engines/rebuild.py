"""The command that builds a model once more, as its manifest says it was built."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.target import DEFAULT_LAYOUT, Precision, ServingLayout
from tritonseg_engines.zoo.specs import ZOO_SPECS
from tritonseg_engines.zoo.street_demo import DEMO_NAME, DEMO_ONNX
from tritonseg_steps.int8_cpu import Int8Cpu


def rebuild_command(manifest: Mapping[str, Any], repository: Path | None = None) -> str:
    """Return the command, with SPEC.yaml, FILE and FOLDER where only the user knows them.

    Args:
        manifest: A model's `manifest.json`.
        repository: Where it lies; None leaves the command's own default.
    """
    name, provenance = manifest.get("model", "MODEL"), manifest.get("provenance", {})
    is_demo = name == DEMO_NAME and provenance.get("onnx_sha256") == sha256_of(DEMO_ONNX)
    words = [name if is_demo or name in ZOO_SPECS else "SPEC.yaml"]
    words += [] if is_demo else ["--onnx", "FILE"]
    words += [] if repository is None else ["--repository", shlex.quote(str(repository))]
    words += _version(manifest, repository)
    words += _options(manifest, provenance)
    calibrated = provenance.get("precision") == Precision.INT8
    if calibrated and not is_demo and manifest.get("quantized_export") is None:
        words += ["--calibration", "FOLDER"]
    return " ".join(["tritonseg build", *words])


def _version(manifest: Mapping[str, Any], repository: Path | None) -> list[str]:
    """Return the option without which a build would be refused, or replace another version."""
    version = str(manifest.get("version", "1"))
    beside = (
        [] if repository is None else repository.glob(f"{manifest.get('model')}/*/manifest.json")
    )
    has_others = version != "1" or len([*beside]) > 1
    return (
        ["--version", version]
        if has_others and manifest.get("layout") != ServingLayout.ENSEMBLE
        else []
    )


def _options(manifest: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[str]:
    runtime, layout = provenance.get("runtime"), manifest.get("layout")
    options = [] if runtime is None else ["--runtime", str(runtime)]
    usual = {word.value: layout.value for word, layout in DEFAULT_LAYOUT.items()}
    if layout is not None and layout != usual.get(str(runtime)):
        options += ["--layout", str(layout)]
    precision = provenance.get("precision")
    if precision in {word.value for word in Precision}:  # "none" where nothing was built yet
        options += ["--precision", str(precision)]
    if precision == Precision.INT8 and manifest.get("int8_cpu") == Int8Cpu.AVX2:
        options += ["--cpu", Int8Cpu.AVX2.value]
    output = manifest.get("output", {})
    if isinstance(output, Mapping) and output.get("upsampling") == "export":
        options += ["--upsampling", "export"]
    return options
