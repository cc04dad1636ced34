"""No attribute of NVIDIA's module is touched that one of the supported versions lacks.

What stands unguarded must be in all three; what is guarded must be in one, or it is misspelt.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tensorrt_uses import SOURCES, VERSIONS, is_in, uses


@pytest.fixture(scope="module")
def apis(shared: Path) -> list[dict[str, Any]]:
    return [json.loads((shared / "tensorrt" / "api" / f"{v}.json").read_text()) for v in VERSIONS]


def violations(source: str, apis: list[dict[str, Any]]) -> list[str]:
    enough = {True: any, False: all}
    return [
        f"{use.owner or 'tensorrt'}.{use.name}"
        for use in uses(source)
        if not enough[use.guarded](is_in(api, use) for api in apis)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_attribute_is_in_all_versions_or_guarded(
    path: Path, apis: list[dict[str, Any]]
) -> None:
    assert violations(path.read_text(), apis) == []


def test_the_search_sees_what_the_package_does() -> None:
    found = {(use.owner, use.name) for path in SOURCES for use in uses(path.read_text())}
    assert {
        ("", "Builder"),
        ("BuilderFlag", "TF32"),
        ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"),
        ("Builder", "build_serialized_network"),
        ("IBuilderConfig", "progress_monitor"),
        ("OnnxParser", "parse_from_file"),
        ("ParserError", "node_name"),
        ("ILayer", "precision"),
        ("ITensor", "dtype"),
        ("IOptimizationProfile", "set_shape"),
        ("Runtime", "deserialize_cuda_engine"),
        ("ICudaEngine", "get_tensor_profile_shape"),
        ("IExecutionContext", "execute_async_v3"),
        ("TensorFormat", "LINEAR"),
    } <= found


@pytest.mark.parametrize(
    ("snippet", "lacks"),
    {
        "gone in 11": ("config.set_flag(trt.BuilderFlag.FP16)", "BuilderFlag.FP16"),
        "not yet in 8.6": ("config.progress_monitor = x", "IBuilderConfig.progress_monitor"),
        "only in 8.6": ("builder.max_batch_size = 1", "Builder.max_batch_size"),
        "gone in 10": ("engine.get_binding_name(0)", "ICudaEngine.get_binding_name"),
        "kept as an attribute": (
            "self._context.execute_async_v2(x)",
            "IExecutionContext.execute_async_v2",
        ),
        "a class that 11 lacks": ("trt.IInt8Calibrator()", "tensorrt.IInt8Calibrator"),
        "misspelt in getattr": ('getattr(trt.BuilderFlag, "FP61", None)', "BuilderFlag.FP61"),
        "guarded by something else": (
            "if hasattr(config, 'flags'):\n    layer.precision = 1",
            "ILayer.precision",
        ),
        "behind a guard that does not leave": (
            "def f(layer):\n    if not hasattr(layer, 'precision'):\n        pass\n"
            "    layer.precision = 1",
            "ILayer.precision",
        ),
        "guarded in the other branch": (
            "if hasattr(layer, 'precision'):\n    pass\nelse:\n    layer.precision = 1",
            "ILayer.precision",
        ),
    }.values(),
)
def test_a_violation_is_found(snippet: str, lacks: str, apis: list[dict[str, Any]]) -> None:
    assert violations(snippet, apis) == [lacks]


@pytest.mark.parametrize(
    "snippet",
    [
        "if hasattr(layer, 'precision'):\n    layer.precision = 1",
        "def f(layer):\n    if not hasattr(layer, 'precision'):\n        return\n"
        "    layer.precision = 1",
        'getattr(trt.BuilderFlag, "FP16", None)',
        "config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1)",
    ],
)
def test_what_is_right_is_no_violation(snippet: str, apis: list[dict[str, Any]]) -> None:
    assert violations(snippet, apis) == []
