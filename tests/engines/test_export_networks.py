"""Exports of every network: a graph of plain operators that gives torch's scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tritonseg_engines import zoo
from tritonseg_engines.errors import OnnxModelError, SpecificationError

torch = pytest.importorskip("torch", reason="exports need torch (the `export` extra)")

from torch import nn  # noqa: E402 - after the check for torch

from tritonseg_engines.zoo.export import export_onnx  # noqa: E402
from tritonseg_engines.zoo.hrnet import W18_SMALL_V1, HRNetBackbone  # noqa: E402
from tritonseg_engines.zoo.ocrnet import same_conv  # noqa: E402

SIZE_GLUE = {"Shape", "Gather", "Slice", "Pad", "Cast", "Constant", "Identity"}
CONVOLUTIONS = {
    "fastseg-small": 60,
    "pspnet-pytorch": 61,
    "ocrnet-hrnet-w48-paddle": 316,
    "hrnetv2-w48-cityscapes": 307,
    "hrnetv2-w18-small-v1-cityscapes": 73,
    "hrnetv2-w18-small-v2-cityscapes": 146,
}
SMALL_HW = (65, 98)
"""One side odd: half of SAME's cases pad on both sides."""
FASTSEG_HW = (385, 388)


def randomised(network: Any) -> Any:
    """Give batch norm statistics that folding them wrongly would show."""
    generator = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith(("running_var", "bn.weight", "bn1.weight", "bn2.weight", "bn3.weight")):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        elif name.endswith(("running_mean", "bias")):
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    return network


def session_of(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def noise(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(1).standard_normal(shape, np.float32)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_static_export_has_no_size_glue_and_any_batch(name: str, tmp_path: Path) -> None:
    network = randomised(zoo.build_network(name))
    size_hw = FASTSEG_HW if name == "fastseg-small" else SMALL_HW
    report = export_onnx(network, tmp_path / "model.onnx", size_hw=size_hw)
    assert not SIZE_GLUE & set(report.operators)
    assert report.operators["Conv"] == CONVOLUTIONS[name]
    assert "BatchNormalization" not in report.operators
    assert report.max_difference <= 1e-4 * report.max_score
    batch_nchw = noise(3, 3, *size_hw)
    with torch.inference_mode():
        expected = network(torch.from_numpy(batch_nchw)).numpy()
    session = session_of(report.path)
    for images in (1, 3):
        (actual,) = session.run(None, {"image": batch_nchw[:images]})
        np.testing.assert_allclose(actual, expected[:images], atol=1e-4 * np.abs(expected).max())


def test_export_is_opset_17_with_weights_as_initializers(tmp_path: Path) -> None:
    network = zoo.build_network("hrnetv2-w18-small-v1-cityscapes")
    path = export_onnx(network, tmp_path / "model.onnx", size_hw=(64, 64)).path
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 17}
    initializers = {value.name for value in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert all(set(node.input[1:]) <= initializers for node in convolutions)


def test_names_and_fixed_batch(tmp_path: Path) -> None:
    network = zoo.build_network("hrnetv2-w18-small-v1-cityscapes", num_classes=4)
    path = export_onnx(
        network,
        tmp_path / "deeper" / "model.onnx",
        size_hw=(64, 96),
        batch=2,
        input_name="picture",
        output_name="logits",
    ).path
    graph = onnx.load(path).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {"picture": [2, 3, 64, 96], "logits": [2, 4, 16, 24]}


def test_open_sizes_with_symmetric_padding(tmp_path: Path) -> None:
    network = randomised(zoo.build_network("hrnetv2-w18-small-v1-cityscapes"))
    check_open_sizes(network, tmp_path / "model.onnx", (64, 96), (51, 38), (7, 129))


def test_open_sizes_with_same_padding(tmp_path: Path) -> None:
    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = randomised(HRNetBackbone(W18_SMALL_V1, same_conv))

        def forward(self, x: Any) -> Any:
            return self.backbone.features(x)

    check_open_sizes(Features().eval(), tmp_path / "model.onnx", (64, 96), (51, 38), (7, 129))


def test_open_sizes_of_fastseg(tmp_path: Path) -> None:
    network = randomised(zoo.build_network("fastseg-small", num_filters=64))
    check_open_sizes(network, tmp_path / "model.onnx", (391, 526))


def check_open_sizes(network: Any, path: Path, *sizes_hw: tuple[int, int]) -> None:
    report = export_onnx(network, path, size_hw=None)
    assert "Pad" not in report.operators
    session = session_of(path)
    for size_hw in sizes_hw:
        batch_nchw = noise(2, 3, *size_hw)
        with torch.inference_mode():
            expected = network(torch.from_numpy(batch_nchw)).numpy()
        (actual,) = session.run(None, {"image": batch_nchw})
        np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max())


def test_pspnet_cannot_leave_its_size_open(tmp_path: Path) -> None:
    network = zoo.build_network("pspnet-pytorch")
    with pytest.raises(SpecificationError, match=r"pooling.*Give a height and a width"):
        export_onnx(network, tmp_path / "model.onnx", size_hw=None)
    assert not list(tmp_path.iterdir())


def test_sizes_below_the_networks_minimum_are_refused(tmp_path: Path) -> None:
    network = zoo.build_network("fastseg-small")
    with pytest.raises(SpecificationError, match=r"at least 385.*384x512"):
        export_onnx(network, tmp_path / "model.onnx", size_hw=(384, 512))


def test_a_graph_that_disagrees_with_torch_is_not_written(tmp_path: Path) -> None:
    class Drifting(nn.Module):
        """Adds the number of its calls, which a trace turns into a constant."""

        calls = 0

        def forward(self, x: Any) -> Any:
            self.calls += 1
            return x + self.calls

    with pytest.raises(OnnxModelError, match="agree with torch"):
        export_onnx(Drifting().eval(), tmp_path / "model.onnx", size_hw=(8, 8))
    assert not list(tmp_path.iterdir())


def test_scores_that_are_no_numbers_agree_with_nothing(tmp_path: Path) -> None:
    class Broken(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * float("nan")

    with pytest.raises(OnnxModelError, match="difference of nan"):
        export_onnx(Broken().eval(), tmp_path / "model.onnx", size_hw=(8, 8))
