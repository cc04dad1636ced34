"""What asks NVIDIA's real compiler: skipped where the extra `preflight` is not installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from tritonseg_engines.preflight import Limits, Preflight, preflight, read_gpus
from tritonseg_engines.tensorrt import PlanOptions

ONE_GPU = ("sm_86",)
Ask = Callable[..., Preflight]


@pytest.fixture
def ask(compiler: None, tmp_path: Path) -> Ask:
    """Asks about a model; sm_86 unless other GPUs are named."""

    def ask(
        model: onnx.ModelProto,
        gpus: tuple[str, ...] = ONE_GPU,
        options: PlanOptions | None = None,
        limits: Limits | None = None,
        **keywords: object,
    ) -> Preflight:
        path = tmp_path / "graph.onnx"
        onnx.save(model, path)
        return preflight(path, read_gpus(gpus), options, limits=limits, **keywords)

    return ask
