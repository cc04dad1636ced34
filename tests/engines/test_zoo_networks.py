"""Networks of the zoo against published counts, other libraries and plain definitions."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tritonseg_engines import zoo
from tritonseg_engines.errors import CheckpointError, SpecificationError
from tritonseg_engines.graph.same_padding import same_padding

torch = pytest.importorskip("torch", reason="networks need torch (the `export` extra)")

from counting import (  # noqa: E402 - after the check for torch
    count_macs,
    count_parameters,
    count_state,
)
from tritonseg_engines.zoo.paddle_names import paddle_name  # noqa: E402
from tritonseg_engines.zoo.pspnet import bin_matrix  # noqa: E402
from tritonseg_engines.zoo.same_conv import SameConv2d  # noqa: E402

GIGA = 10**9


@functools.cache
def on_meta(name: str, **options: int) -> Any:
    """Return a network of shapes alone; it is shared, so do not change it."""
    with torch.device("meta"):
        return zoo.build_network(name, **options)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("fastseg-small", 1_140_787),
        ("pspnet-pytorch", 46_611_829),
        ("hrnetv2-w48-cityscapes", 65_859_379),
        ("hrnetv2-w18-small-v1-cityscapes", 1_540_819),
        ("hrnetv2-w18-small-v2-cityscapes", 3_939_579),
        ("ocrnet-hrnet-w48-paddle", 70_374_982),
    ],
)
def test_parameters(name: str, parameters: int) -> None:
    assert count_parameters(on_meta(name)) == parameters


def test_state_of_ocrnet_is_what_its_card_calls_parameters() -> None:
    assert count_state(on_meta("ocrnet-hrnet-w48-paddle")) == 70_466_150


@pytest.mark.parametrize(
    ("name", "giga_macs"),
    [
        ("fastseg-small", 33.81),
        ("pspnet-pytorch", 178.33),
        ("hrnetv2-w48-cityscapes", 747.51),
        ("hrnetv2-w18-small-v1-cityscapes", 33.39),
        ("hrnetv2-w18-small-v2-cityscapes", 76.86),
        ("ocrnet-hrnet-w48-paddle", 1295.33),
    ],
)
def test_multiply_accumulates_at_the_cards_size(name: str, giga_macs: float) -> None:
    size_hw = zoo.get_spec(name).input.size_hw
    assert size_hw is not None
    macs = count_macs(on_meta(name), size_hw)
    assert round(macs.convolution / GIGA, 2) == giga_macs
    attention = 2.55 if name.startswith("ocrnet") else 0.0
    assert round(macs.matmul / GIGA, 2) == attention
    assert macs.total == macs.convolution + macs.matmul


@pytest.mark.parametrize("name", [n for n in zoo.ZOO_SPECS if n.startswith("hrnet")])
def test_card_of_hrnet_counts_macs_in_units_of_two_to_the_thirty(name: str) -> None:
    spec = zoo.get_spec(name)
    assert spec.card is not None
    macs = count_macs(on_meta(name), (1024, 2048))
    assert round(macs.convolution / 2**30, 1) == spec.card.gflops


def test_counting_leaves_the_network_as_it_was() -> None:
    network: Any = zoo.build_network("hrnetv2-w18-small-v1-cityscapes")
    before = network.conv1.weight.clone()
    count_macs(network, (64, 64))
    assert network.conv1.weight.device.type == "cpu"
    assert torch.equal(network.conv1.weight, before)


@pytest.mark.parametrize(
    ("name", "stride", "sizes_hw"),
    [
        ("hrnetv2-w18-small-v1-cityscapes", 4, [(1, 1), (33, 70), (64, 31)]),
        ("ocrnet-hrnet-w48-paddle", 4, [(1, 2), (37, 64)]),
        ("pspnet-pytorch", 8, [(1, 1), (40, 97)]),
        ("fastseg-small", 2, [(385, 390)]),
    ],
)
def test_scores_shrink_by_halving_and_rounding_up(
    name: str, stride: int, sizes_hw: list[tuple[int, int]]
) -> None:
    network = on_meta(name, num_classes=5)
    for size_hw in sizes_hw:
        scores = network(torch.empty(2, 3, *size_hw, device="meta"))
        assert tuple(scores.shape) == (2, 5, *(math.ceil(side / stride) for side in size_hw))


def test_fastseg_takes_no_side_below_its_declared_minimum() -> None:
    network = on_meta("fastseg-small")
    side = network.minimum_side
    assert side == 385
    network(torch.empty(1, 3, side, side, device="meta"))
    with pytest.raises(RuntimeError, match="too small"):
        network(torch.empty(1, 3, side - 1, side, device="meta"))


@pytest.mark.parametrize("num_filters", [64, 128, 256])
def test_fastseg_has_the_published_widths(num_filters: int) -> None:
    network = on_meta("fastseg-small", num_filters=num_filters)
    assert tuple(network.last.weight.shape) == (19, num_filters, 1, 1)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pspnet-pytorch", {"num_filters": 64}),
        ("fastseg-small", {"num_filters": 0}),
        ("fastseg-small", {"num_classes": 0}),
        ("fastseg", {}),
    ],
)
def test_impossible_networks_are_refused(name: str, options: dict[str, int]) -> None:
    with pytest.raises(SpecificationError):
        zoo.build_network(name, **options)


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [1, 5, 6, 7, 64, 65, 128])
def test_bin_matrices_are_adaptive_average_pooling(bins: int, size: int) -> None:
    x = torch.from_numpy(np.random.default_rng(size).standard_normal((4, size)))
    pooled = x.numpy() @ bin_matrix(size, bins)
    expected = torch.nn.functional.adaptive_avg_pool1d(x, bins).numpy()
    np.testing.assert_allclose(pooled, expected, atol=1e-6)


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_is_onnx_same_upper(kernel_size: int, stride: int) -> None:
    conv = SameConv2d(2, 4, kernel_size, stride, groups=2)
    session = same_upper_conv(conv.weight.detach().numpy(), stride, groups=2)
    for size_hw in [(1, 1), (2, 5), (6, 7), (8, 3), (9, 10)]:
        x = np.random.default_rng(0).standard_normal((1, 2, *size_hw), np.float32)
        with torch.inference_mode():
            actual = conv(torch.from_numpy(x)).numpy()
        (expected,) = session.run(None, {"x": x})
        np.testing.assert_allclose(actual, expected, atol=1e-5)


def same_upper_conv(
    weight: np.ndarray[Any, Any], stride: int, groups: int
) -> onnxruntime.InferenceSession:
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", strides=[stride] * 2, group=groups
    )
    graph = helper.make_graph(
        [node],
        "same",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, None, None])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, None, None])],
        [helper.make_tensor("w", TensorProto.FLOAT, weight.shape, weight.ravel())],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def test_same_padding_puts_the_odd_pixel_behind() -> None:
    assert same_padding(8, 3, 2) == (0, 1)
    assert same_padding(9, 3, 2) == (1, 1)


@pytest.mark.parametrize(
    ("ours", "paddles"),
    [
        ("backbone.conv2.weight", "backbone.conv_layer1_2._conv.weight"),
        (
            "backbone.layer1.0.downsample.1.running_var",
            "backbone.la1.bb_layer2_1.conv_down._batch_norm._variance",
        ),
        (
            "backbone.transition1.0.0.weight",
            "backbone.tr1.transition_tr1_layer_1._conv.weight",
        ),
        (
            "backbone.transition2.2.0.1.bias",
            "backbone.tr2.transition_tr2_layer_3._batch_norm.bias",
        ),
        (
            "backbone.stage3.1.branches.2.3.bn1.running_mean",
            "backbone.st3.stage_st3_2.branches_func.bb_st3_2_branch_layer_3_4.conv1."
            "_batch_norm._mean",
        ),
        (
            "backbone.stage4.0.fuse_layers.0.3.0.weight",
            "backbone.st4.stage_st4_1.fuse_func.residual_st4_1_layer_1_4._conv.weight",
        ),
        (
            "backbone.stage4.2.fuse_layers.3.0.2.1.weight",
            "backbone.st4.stage_st4_3.fuse_func.residual_st4_3_layer_4_1_3._batch_norm.weight",
        ),
        ("head.aux_head.0.conv.bias", "head.aux_head.0._conv.bias"),
        ("head.cls_head.weight", "head.cls_head.weight"),
    ],
)
def test_paddle_names(ours: str, paddles: str) -> None:
    assert paddle_name(ours) == paddles


def upstream_arrays(network: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {
        network.upstream_name(key): value.numpy() for key, value in network.state_dict().items()
    }


def test_load_upstream_names_what_does_not_fit_and_changes_nothing() -> None:
    network: Any = zoo.build_network("hrnetv2-w18-small-v1-cityscapes")
    before = network.bn1.bias.clone()
    arrays = upstream_arrays(network) | {"bn1.bias": np.ones(64, np.float32)}
    del arrays["conv2.weight"]
    arrays["extra.weight"] = np.zeros(3, np.float32)
    arrays["bn2.bias"] = np.zeros(65, np.float32)
    with pytest.raises(CheckpointError) as caught:
        zoo.load_upstream(network, arrays)
    message = str(caught.value)
    assert "1 missing (conv2.weight)" in message
    assert "1 surplus (extra.weight)" in message
    assert "bn2.bias is (65,) instead of (64,)" in message
    assert torch.equal(network.bn1.bias, before)


def test_load_upstream_copies_by_name_and_needs_no_batch_counter() -> None:
    network = zoo.build_network("fastseg-small", num_classes=3)
    arrays = {
        name: np.full(value.shape, index, np.float32)
        for index, (name, value) in enumerate(network.state_dict().items())
        if not name.endswith("num_batches_tracked")
    }
    zoo.load_upstream(network, arrays)
    for name, value in network.state_dict().items():
        assert name not in arrays or (value.numpy() == arrays[name]).all()


def test_pspnet_takes_files_with_the_auxiliary_head_but_no_other_surplus() -> None:
    network: Any = zoo.build_network("pspnet-pytorch")
    arrays = upstream_arrays(network)
    auxiliary = {"auxiliary_head.conv_seg.weight": np.zeros((21, 256, 1, 1), np.float32)}
    zoo.load_upstream(network, arrays | auxiliary)
    with pytest.raises(CheckpointError, match="1 surplus"):
        zoo.load_upstream(network, arrays | {"decode_head.other": np.zeros(1, np.float32)})
