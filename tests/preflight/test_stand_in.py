"""The stand-in for TensorRT in the tests, held against NVIDIA's builder: call by call.

TensorRT-RTX has the surface of TensorRT 11. What the package does on it is written down, and on the
stand-in of 10.16 and 11.4; the order must be the same, and so must the errors of ours that end it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import recorded_build
from residual_network import residual_network
from tensorrt_double import Scenario, tensorrt_double
from tensorrt_uses import OWN, SOURCES, uses
from tritonseg_engines.precision import half_precision
from tritonseg_engines.preflight.libraries import BINDINGS, find_compiler

VERSIONS = ("10.16.1.11", "11.4.0.106")
INPUT = (-1, 3, 64, 96)
ON_A_GPU = {"Runtime", "ICudaEngine", "IExecutionContext", "TensorFormat", "ITimingCache"}
"""What runs plans, which TensorRT-RTX shares, but which nothing here calls."""


def mixed_types() -> onnx.ModelProto:
    """A kernel of float16 on an input of float32."""
    model = residual_network()
    weights = model.graph.initializer[0]
    weights.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(weights).astype(np.float16), weights.name)
    )
    return model


GRAPHS = {
    "fp32": (residual_network(), Scenario(input_shape=INPUT)),
    "fp16": (half_precision(residual_network(), ()), Scenario(input_shape=INPUT)),
    "refused by the parser": (
        mixed_types(),
        Scenario(
            input_shape=INPUT,
            parser_errors=(
                {"node": 0, "desc": "same type", "node_name": "stem", "node_operator": "Conv"},
            ),
        ),
    ),
}


@pytest.fixture(scope="module")
def real(compiler: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the package did on NVIDIA's builder."""
    folder = tmp_path_factory.mktemp("recorded")
    paths = []
    for index, (model, _) in enumerate(GRAPHS.values()):
        paths.append(str(folder / f"{index}.onnx"))
        onnx.save(model, paths[-1])
    touched = {(use.owner, use.name) for path in SOURCES for use in uses(path.read_text())}
    request, answer = folder / "request.json", folder / "answer.json"
    request.write_text(json.dumps({"graphs": paths, "uses": sorted(touched)}))
    installed = find_compiler()
    with installed.library_path() as libraries:
        subprocess.run(
            [sys.executable, recorded_build.__file__, BINDINGS, str(request), str(answer)],
            env={**os.environ, "LD_LIBRARY_PATH": str(libraries)},
            check=True,
            timeout=120,
        )
    return json.loads(answer.read_text())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("index", range(len(GRAPHS)), ids=list(GRAPHS))
def test_calls_and_errors_are_those_of_the_real_builder(
    index: int, version: str, real: dict[str, Any], shared: Path, tmp_path: Path
) -> None:
    model, scenario = list(GRAPHS.values())[index]
    onnx.save(model, tmp_path / "graph.onnx")
    api = json.loads((shared / "tensorrt" / "api" / f"{version}.json").read_text())
    standing_in = recorded_build.recorded_build(
        tensorrt_double(api, scenario), tmp_path / "graph.onnx"
    )
    expected = real["builds"][index]
    assert standing_in["calls"] == expected["calls"]
    assert standing_in["error"] == expected["error"]


def test_the_real_builder_built_what_is_good(real: dict[str, Any]) -> None:
    assert [build["error"] for build in real["builds"]] == [None, None, "OnnxModelError"]
    assert "builder.build_serialized_network" in real["builds"][0]["calls"]


def test_what_builds_plans_touches_nothing_that_the_real_builder_lacks(
    real: dict[str, Any],
) -> None:
    guarded = {
        f"{use.owner or 'tensorrt'}.{use.name}"
        for path in SOURCES
        for use in uses(path.read_text())
        if use.guarded or use.owner in ON_A_GPU or (use.owner, use.name) in OWN
    }
    assert set(real["lacks"]) <= guarded
