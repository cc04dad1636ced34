"""The published networks, random weights: every precision is one that TensorRT reads and fuses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from tritonseg_engines import zoo
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.build.prepared import Prepared
from tritonseg_engines.precision import (
    Int8Conversion,
    convert_to_half,
    lint,
    quantizable_layers,
    quantize,
    tensorrt_releases,
)
from tritonseg_engines.spec import InputSpec
from tritonseg_steps.resize_policy import Native

pytest.importorskip("torch", reason="building the networks needs torch")

SIZES_HW = {"fastseg-small": (416, 416)}
SMALL_HW = (64, 96)
"""Where a network sets no larger minimum; a fixed size changes no operator."""


LARGE = {"hrnetv2-w48-cityscapes"}
"""Of the operators that the small ones have, so only `make zoo-check` asks it."""


def network(name: str) -> Any:
    skipped = pytest.mark.skipif(
        name in LARGE and "TRITONSEG_CARD_SIZES" not in os.environ,
        reason="a large network, which `make zoo-check` takes",
    )
    return pytest.param(name, marks=skipped)


@pytest.fixture(scope="module", params=map(network, sorted(zoo.ZOO_SPECS)))
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    from tritonseg_engines.zoo.export import export_onnx

    name: str = request.param
    size_hw = SIZES_HW.get(name, SMALL_HW)
    path: Path = tmp_path_factory.mktemp("zoo") / "export.onnx"
    spec = zoo.get_spec(name)
    export_onnx(
        random_network(name, size_hw),
        path,
        size_hw=size_hw,
        input_name=spec.input.name,
        output_name=spec.output.name,
    )
    fixed = InputSpec(name=spec.input.name, height=size_hw[0], width=size_hw[1])
    preprocessing = replace(spec.preprocessing, resize=Native())
    spec = replace(spec, input=fixed, preprocessing=preprocessing)
    return prepare_network(spec, path)


def random_network(name: str, size_hw: tuple[int, int]) -> Any:
    """With torch's initial normalisation the values of fastseg's 50 layers vanish."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    network = zoo.build_network(name)
    if name == "fastseg-small":
        for module in network.train().modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            network(torch.randn(2, 3, *size_hw))
    return network.eval()


@pytest.fixture
def batches(prepared: Prepared) -> Callable[[], Iterable[NDArray[np.float32]]]:
    height, width = prepared.sizes.input_hw
    rng = np.random.default_rng(0)
    drawn = [rng.standard_normal((1, 3, height, width)).astype(np.float32) for _ in range(2)]
    return lambda: drawn


def releases(model: onnx.ModelProto) -> list[str]:
    return tensorrt_releases(
        {node.op_type for node in model.graph.node}, model.opset_import[0].version
    )


def test_fp16(prepared: Prepared, batches: Callable[[], Iterable[NDArray[np.float32]]]) -> None:
    half = convert_to_half(prepared.network, batches)
    onnx.checker.check_model(half.model, full_check=True)
    assert lint(half.model, kept_float=half.kept_float) == []
    assert releases(half.model) == ["8.6", "10", "11"]
    kept = {reason.split(" ")[0] for reason in half.kept_float.values()}
    if prepared.spec.name.startswith("ocrnet"):
        assert {"softmax", "reads"} <= kept
    assert len(half.kept_float) < 0.1 * len(prepared.network.graph.node)


def test_int8(prepared: Prepared, batches: Callable[[], Iterable[NDArray[np.float32]]]) -> None:
    """As for TensorRT, the rest in fp16, and as for OpenVINO, from the same thresholds."""
    network = prepared.network
    conversion = Int8Conversion(network, batches, 2, calibrator="percentile", half_rest=True)
    assert set(conversion.layers) <= set(quantizable_layers(network))
    converted = conversion.convert(conversion.layers)
    with_float = quantize(network, conversion.thresholds, conversion.layers, store_int8=True)
    for model, wanted in ((converted.model, ["10", "11"]), (with_float, ["8.6", "10", "11"])):
        onnx.checker.check_model(model, full_check=True)
        assert lint(model, kept_float=converted.kept_float, releases=wanted) == []
        assert releases(model) == wanted
    convolutions = [node for node in network.graph.node if node.op_type == "Conv"]
    assert len(converted.quantized) >= 0.9 * len(convolutions)
