"""int8: what is measured, which scales follow, where Q/DQ stand, and what the search leaves out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from residual_network import (
    SIZE_HW,
    residual_network,
    residual_spec,
    smooth_batch,
    write_pictures,
)
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.build.sensitivity import fewest_kept, layer_costs
from tritonseg_engines.errors import CalibrationError
from tritonseg_engines.gate.comparison import Comparison
from tritonseg_engines.precision import Int8Conversion, lint, quantizable_layers, quantize
from tritonseg_engines.precision.activations import (
    BINS,
    Histogram,
    activation_histograms,
    activation_ranges,
    float_tensors,
    tensor_groups,
)
from tritonseg_engines.precision.calibrators import entropy, minmax, percentile
from tritonseg_engines.precision.int8_cpu import needed_int8_cpu
from tritonseg_engines.precision.quantize import calibrated_tensors
from tritonseg_engines.running.networks import infer_in_onnx_runtime, onnx_session
from tritonseg_engines.running.rounding import with_written_rounding
from tritonseg_steps.int8_cpu import Int8Cpu


def batches() -> list[np.ndarray]:
    return [smooth_batch(seed) for seed in range(4)]


def tensors_of(
    network: onnx.ModelProto, names: Sequence[str], batch: np.ndarray
) -> list[np.ndarray]:
    """Every named tensor, by making them all outputs."""
    observed = onnx.shape_inference.infer_shapes(network)
    values = {value.name: value for value in (*observed.graph.value_info, *observed.graph.output)}
    del observed.graph.output[:]
    observed.graph.output.extend(values[name] for name in names)
    return onnx_session(observed).run(None, {"NORMALIZED": batch})


def heavy_tailed(seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return np.abs(np.random.default_rng(seed).standard_t(3, 200_000)) * scale


def histogram_of(values: np.ndarray) -> Histogram:
    counts, _ = np.histogram(values, bins=BINS, range=(0, values.max()))
    return Histogram(counts.astype(np.int64), float(values.max()))


def test_ranges_and_histograms_are_those_of_all_values() -> None:
    network = residual_network()
    names = [name for name in float_tensors(network) if name != "NORMALIZED"]
    ranges = activation_ranges(network, names, batches)
    histograms = activation_histograms(network, ranges, batches)
    everything = [tensors_of(network, names, batch) for batch in batches()]
    for index, name in enumerate(names):
        values = np.concatenate([arrays[index].ravel() for arrays in everything])
        assert ranges[name].lowest == pytest.approx(values.min(), rel=1e-5, abs=1e-6)
        assert ranges[name].highest == pytest.approx(values.max(), rel=1e-5, abs=1e-6)
        assert histograms[name].counts.sum() == values.size
        for share in (50, 99):
            got = percentile(histograms[name], share)
            want = np.percentile(np.abs(values), share, method="inverted_cdf")
            assert -1e-5 <= got - want <= 1.001 * histograms[name].width


def test_tensors_come_in_groups_within_the_budget() -> None:
    network = residual_network()
    names = float_tensors(network)
    size = 4 * 8 * 16 * 24
    groups = list(tensor_groups(network, names, SIZE_HW, budget_bytes=2 * size))
    assert [name for group in groups for name in group] == names
    assert max(map(len, groups)) == 2
    assert groups[0] == ["NORMALIZED"]  # 73,728 bytes, more than the budget, so it comes alone


def test_the_three_calibrators_differ_and_only_minmax_clips_nothing() -> None:
    values = heavy_tailed()
    histogram = histogram_of(values)
    assert minmax(histogram) == values.max()
    assert percentile(histogram, 99.9) == pytest.approx(np.percentile(values, 99.9), rel=0.02)
    assert entropy(histogram) < 0.7 * minmax(histogram)
    assert len({minmax(histogram), percentile(histogram), entropy(histogram)}) == 3


def test_entropy_is_the_least_divergence_by_the_direct_formula() -> None:
    """Against loops over bins and levels, with candidates as the calibrator has them."""
    histogram = histogram_of(heavy_tailed(1))
    counts = histogram.counts.astype(float)
    counts[0] = counts[1]

    def divergence(edge: int) -> float:
        clipped = counts[:edge].copy()
        clipped[-1] += counts[edge:].sum()
        quantized = np.zeros(edge)
        for level in range(128):
            bins = [b for b in range(edge) if b * 128 // edge == level]
            occupied = [b for b in bins if clipped[b] > 0]
            for b in occupied:
                quantized[b] = counts[bins].sum() / len(occupied)
        p, q = clipped / clipped.sum(), quantized / quantized.sum()
        terms = [
            p[b] * math.log(p[b] / q[b]) if q[b] > 0 else math.inf for b in range(edge) if p[b] > 0
        ]
        return sum(terms)

    edges = range(128, BINS + 1, 8)
    sampled = {edge: divergence(edge) for edge in edges[:: len(edges) // 12]}
    chosen = round(entropy(histogram) / histogram.width)
    assert divergence(chosen) <= min(sampled.values())
    assert chosen < BINS


def test_entropy_of_values_without_a_tail_keeps_nearly_all() -> None:
    histogram = histogram_of(np.random.default_rng(0).uniform(0, 3, 500_000))
    assert entropy(histogram) > 0.9 * histogram.magnitude


def test_a_tensor_that_is_always_zero_has_a_scale() -> None:
    network = residual_network()
    for constant in network.graph.initializer:
        if constant.name.startswith("stem."):
            zero = -np.ones_like(numpy_helper.to_array(constant)) * (constant.name == "stem.bias")
            constant.CopyFrom(numpy_helper.from_array(zero.astype(np.float32), constant.name))
    conversion = Int8Conversion(network, batches, 4, calibrator="percentile", half_rest=False)
    converted = conversion.convert(conversion.layers)
    assert lint(converted.model) == []
    assert np.isfinite(infer_in_onnx_runtime(converted.model)(smooth_batch(0))).all()


@pytest.mark.parametrize("store_int8", [True, False])
def test_one_layer_computes_what_the_formula_says(store_int8: bool) -> None:
    """round(x / s) clipped to -127..127 (-128), times s; weights likewise, per channel."""
    network = residual_network()
    threshold = 1.5
    quantized = quantize(network, {"NORMALIZED": threshold}, ["stem"], store_int8=store_int8)
    batch = smooth_batch(3)
    assert np.abs(batch).max() > threshold
    weight, bias = (
        numpy_helper.to_array(next(v for v in network.graph.initializer if v.name == name))
        for name in ("stem.weight", "stem.bias")
    )
    scale = np.float32(threshold / 127)
    levels = np.clip(np.rint(batch / scale), -128, 127)
    weight_scale = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 127
    weight_levels = np.clip(np.rint(weight / weight_scale), -128, 127)
    patches = (levels * scale)[0].reshape(3, 16, 4, 24, 4)
    expected = np.einsum("cyixj,ocij->oyx", patches, weight_levels * weight_scale)
    (actual,) = tensors_of(quantized, ["stem"], batch)
    np.testing.assert_allclose(actual[0], expected + bias[:, None, None], rtol=1e-4, atol=1e-4)


def test_placement_is_what_tensorrt_fuses() -> None:
    network = residual_network()
    layers = quantizable_layers(network)
    assert layers == ["stem", "first", "second", "head"]
    tensors = calibrated_tensors(network, layers)
    assert tensors == ["NORMALIZED", "stem_relu", "inner_relu", "outer_relu"]
    quantized = quantize(network, dict.fromkeys(tensors, 2.0), layers, store_int8=False)
    onnx.checker.check_model(quantized, full_check=True)
    assert lint(quantized) == []
    reads = {node.name: list(node.input) for node in quantized.graph.node}
    producer = {name: node for node in quantized.graph.node for name in node.output}
    own, skipped = reads["residual"]
    assert own == "second"
    assert producer[skipped].op_type == "DequantizeLinear"
    assert reads["stem_relu"] == ["stem"]
    kinds = [node.op_type for node in quantized.graph.node]
    assert kinds.count("QuantizeLinear") == kinds.count("DequantizeLinear") == 8


def test_an_activation_reads_its_convolution_although_a_layer_does_too() -> None:
    """ONNX Runtime's quantizer alone leads both through the pair."""
    network = residual_network()
    for node in network.graph.node:
        if node.name == "second":
            node.input[0] = "first"
    thresholds = dict.fromkeys(["NORMALIZED", "stem_relu", "first", "outer_relu"], 2.0)
    quantized = quantize(network, thresholds, quantizable_layers(network), store_int8=True)
    assert lint(quantized) == []
    reads = {node.name: list(node.input) for node in quantized.graph.node}
    assert reads["inner_relu"] == ["first"]
    assert reads["second"][0] != "first"


def test_a_bias_that_is_added_in_another_shape_stays_float() -> None:
    """As paddle2onnx writes it: int8 would round it, and CPUs without VNNI would refuse it."""
    network = residual_network()
    node = next(node for node in network.graph.node if node.name == "residual")
    network.graph.initializer.extend(
        [
            numpy_helper.from_array(np.linspace(-1, 1, 8, dtype=np.float32), "bias"),
            numpy_helper.from_array(np.array([1, 8, 1, 1]), "dims"),
        ]
    )
    position = list(network.graph.node).index(node)
    network.graph.node.insert(
        position, helper.make_node("Reshape", ["bias", "dims"], ["bias_nchw"], "reshape")
    )
    node = next(node for node in network.graph.node if node.name == "residual")
    node.input[1] = "bias_nchw"
    layers = quantizable_layers(network)
    tensors = calibrated_tensors(network, layers)
    assert "bias_nchw" not in tensors
    quantized = quantize(
        network, dict.fromkeys(tensors, 2.0), layers, store_int8=True, weight_bits=7
    )
    onnx.checker.check_model(quantized, full_check=True)
    reads = {entry.name: list(entry.input) for entry in quantized.graph.node}
    assert reads["residual"][1] == "bias_nchw"
    assert needed_int8_cpu(quantized) is Int8Cpu.AVX2


def test_the_skipped_branch_gets_a_pair_where_no_layer_gave_it_one() -> None:
    """A second convolution on the skipped branch, as where HRNet changes the width."""
    network = residual_network()
    node = next(node for node in network.graph.node if node.name == "residual")
    weights = numpy_helper.from_array(np.eye(8, dtype=np.float32).reshape(8, 8, 1, 1), "eye")
    network.graph.initializer.append(weights)
    position = list(network.graph.node).index(node)
    side = helper.make_node("Conv", ["stem_relu", "eye"], ["side"], "side")
    network.graph.node.insert(position, side)
    node = next(node for node in network.graph.node if node.name == "residual")
    node.input[1] = "side"
    layers = quantizable_layers(network)
    tensors = calibrated_tensors(network, layers)
    assert "side" in tensors
    quantized = quantize(network, dict.fromkeys(tensors, 2.0), layers, store_int8=True)
    onnx.checker.check_model(quantized, full_check=True)
    assert lint(quantized) == []
    reads = {entry.name: list(entry.input) for entry in quantized.graph.node}
    assert reads["residual"] == ["second", "side_skip"]
    without = quantize(
        network, dict.fromkeys(tensors, 2.0), [n for n in layers if n != "second"], store_int8=True
    )
    assert next(n for n in without.graph.node if n.name == "residual").input[0] == "second"


@pytest.mark.parametrize("calibrator", ["percentile", "minmax", "entropy"])
def test_int8_is_near_fp32_with_either_rest(calibrator: str) -> None:
    network = residual_network()
    expected = infer_in_onnx_runtime(network)(smooth_batch(9))
    for half_rest in (False, True):
        conversion = Int8Conversion(network, batches, 4, calibrator=calibrator, half_rest=half_rest)
        model = conversion.convert(conversion.layers).model
        onnx.checker.check_model(model, full_check=True)
        assert lint(model, releases=("10", "11") if half_rest else ("8.6", "10", "11")) == []
        actual = infer_in_onnx_runtime(with_written_rounding(model))(smooth_batch(9))
        error = np.abs(actual - expected).mean() / np.abs(expected).mean()
        assert 1e-4 < error < 0.1


def test_calibrators_lead_to_other_scales() -> None:
    network = residual_network()
    scales = {
        name: Int8Conversion(network, batches, 4, calibrator=name, half_rest=False).thresholds
        for name in ("percentile", "minmax", "entropy")
    }
    for name in ("percentile", "entropy"):
        assert scales[name] != scales["minmax"]
        assert all(scales[name][tensor] <= largest for tensor, largest in scales["minmax"].items())
    assert scales["percentile"] != scales["entropy"]


def test_too_few_pictures_are_refused_unless_told_otherwise(tmp_path: Path) -> None:
    onnx.save(residual_network(), tmp_path / "export.onnx")
    pictures = write_pictures(tmp_path / "pictures", 3)

    def build(**options: object) -> None:
        build_model(
            residual_spec(),
            tmp_path / "export.onnx",
            tmp_path / "repository",
            precision="int8",
            options=BuildOptions(accept=True, **options),
        )

    with pytest.raises(CalibrationError, match="32 or more with --calibration"):
        build()
    with pytest.raises(CalibrationError, match=r"expected 32 or more pictures .* got 3"):
        build(calibration=pictures)
    with pytest.raises(CalibrationError, match="calibrator: expected one of percentile"):
        build(calibration=pictures, minimum_pictures=3, calibrator="guess")
    assert not (tmp_path / "repository").exists()
    build(calibration=pictures, minimum_pictures=3)
    assert (tmp_path / "repository").exists()


COSTS = {f"layer {index}": 0.0001 * index for index in range(200)} | {
    "layer 17": 0.5,
    "layer 140": 0.3,
}


class Measured:
    """A made-up network in which every quantized layer changes its own share of the pixels."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, layers: Sequence[str]) -> Comparison:
        self.count += 1
        changed = sum(COSTS[layer] for layer in layers)
        return Comparison(
            origin="made up",
            pictures=(),
            classes=(),
            equal_pixels=1 - changed,
            agreement_miou=1 - changed,
            reference_miou=None,
            built_miou=None,
        )


@pytest.mark.parametrize("maximum", [40, 96, 200])
def test_the_search_finds_the_costly_layers_in_bounded_time(maximum: int) -> None:
    measure = Measured()
    layers = list(COSTS)
    costs = layer_costs(layers, measure, maximum=maximum)
    assert measure.count <= maximum
    assert sorted(layer for cost in costs for layer in cost.layers) == sorted(layers)
    assert {"layer 17", "layer 140"} <= {*costs[0].layers, *costs[1].layers}
    measure.count = 0
    total = sum(COSTS.values())
    kept = fewest_kept(layers, costs, measure, lambda c: 1 - c.equal_pixels <= total - 0.79)
    assert measure.count <= 2 * math.ceil(math.log2(len(layers)))
    assert kept is not None
    assert {"layer 17", "layer 140"} <= set(kept)
    if maximum == 200:
        assert kept == ["layer 17", "layer 140"]


def test_the_search_gives_up_and_does_not_unquantize_everything() -> None:
    layers = list(COSTS)
    costs = layer_costs(layers, Measured(), maximum=200)
    assert fewest_kept(layers, costs, Measured(), lambda c: c.equal_pixels == 1) is None
    assert fewest_kept(layers, costs, Measured(), lambda _: True) == ["layer 17"]
