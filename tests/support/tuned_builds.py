"""Builds of a tiny model as they lie in a repository, without an engine that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_models import tiny_spec
from tritonseg_engines.repository import Deployment, Engine, Provenance, Serving, write_model
from tritonseg_engines.target import ServingLayout
from tritonseg_engines.tuning.variant import Variant, read_variants
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.upsampling import Upsampling

GATE = {"equal_pixels": 0.9999, "miou_drop_points": 0.01, "pictures": "3 drawn streets"}


def build(
    repository: Path,
    *,
    layout: str = "ensemble",
    runtime: str = "openvino",
    precision: str = "fp32",
    serving: Serving | None = None,
    onnx_sha256: str = "0" * 64,
    **gate: Any,
) -> Variant:
    """Write a model and read it as `tune` does."""
    provenance = Provenance(
        onnx_sha256=onnx_sha256, precision=precision, runtime=runtime, tritonseg_version="1"
    )
    engine = Engine(
        file="model.plan" if runtime == "tensorrt" else "model.onnx",
        sizes=NetworkSizes(height=64, width=96),
        output_dims=(5, 16, 24),
        upsampling=Upsampling(),
        max_batch=8,
    )
    of = Deployment(
        spec=tiny_spec(),
        engine=engine,
        provenance=provenance,
        layout=ServingLayout(layout),
        **({} if serving is None else {"serving": serving}),
    )
    repository.parent.mkdir(parents=True, exist_ok=True)
    built = repository.parent / "built.bin"
    built.write_bytes(b"the engine")
    facts = {"runtime": runtime, "precision": precision, "onnx_sha256": onnx_sha256}
    write_model(
        repository, of, built,
        {"layout": layout, "provenance": facts, "gate": {**GATE, **gate}},
    )  # fmt: skip
    (variant,) = read_variants("tiny", [repository])
    return variant
