"""int8 weights for CPUs with and without VNNI: what is made, what is recognised, what comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

from other_cpu import infer_as_avx2
from residual_network import residual_network, residual_spec, smooth_batch, write_pictures
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.errors import OnnxModelError, SpecificationError
from tritonseg_engines.graph.onnx_file import load_onnx
from tritonseg_engines.precision import quantizable_layers, quantize
from tritonseg_engines.precision.int8_cpu import needed_int8_cpu
from tritonseg_engines.precision.quantize import calibrated_tensors
from tritonseg_engines.running.networks import infer_in_onnx_runtime, infer_in_openvino
from tritonseg_engines.target import BuildTarget
from tritonseg_steps.int8_cpu import Int8Cpu, this_int8_cpu

pytestmark = pytest.mark.int8_cpu
NO_VNNI = this_int8_cpu() is not Int8Cpu.VNNI


def quantized(*, weight_bits: int, store_int8: bool = True) -> onnx.ModelProto:
    network = residual_network()
    layers = quantizable_layers(network)
    thresholds = dict.fromkeys(calibrated_tensors(network, layers), 2.0)
    return quantize(network, thresholds, layers, store_int8=store_int8, weight_bits=weight_bits)


class Batches(CalibrationDataReader):
    def __init__(self) -> None:
        self._left = [{"NORMALIZED": smooth_batch(seed)} for seed in range(2)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self._left.pop() if self._left else None


def by_onnx_runtime(folder: Path, form: QuantFormat, *, reduce_range: bool) -> Path:
    """A file that a user quantized before it came here."""
    onnx.save(residual_network(), folder / "float.onnx")
    path = folder / "quantized.onnx"
    quantize_static(
        folder / "float.onnx", path, Batches(), quant_format=form, per_channel=True,
        reduce_range=reduce_range, extra_options={"QuantizeBias": False},
    )  # fmt: skip
    return path


@pytest.mark.parametrize("store_int8", [True, False])
@pytest.mark.parametrize(("weight_bits", "cpu"), [(7, Int8Cpu.AVX2), (8, Int8Cpu.VNNI)])
def test_what_weights_are_made_for_is_read_off_them(
    weight_bits: int, cpu: Int8Cpu, store_int8: bool
) -> None:
    model = quantized(weight_bits=weight_bits, store_int8=store_int8)
    assert needed_int8_cpu(model) is cpu
    if store_int8:
        stored = [
            np.abs(numpy_helper.to_array(value).astype(int)).max()
            for value in model.graph.initializer
            if value.data_type == onnx.TensorProto.INT8 and value.dims
        ]
        assert max(stored) == {7: 64, 8: 127}[weight_bits]


def test_a_graph_without_int8_needs_nothing() -> None:
    assert needed_int8_cpu(residual_network()) is None


@pytest.mark.parametrize(
    ("form", "reduce_range", "cpu"),
    [
        (QuantFormat.QDQ, True, Int8Cpu.AVX2),
        (QuantFormat.QDQ, False, Int8Cpu.VNNI),
        (QuantFormat.QOperator, True, Int8Cpu.VNNI),  # not looked into
    ],
)
def test_files_that_others_quantized_are_recognised(
    form: QuantFormat, reduce_range: bool, cpu: Int8Cpu, tmp_path: Path
) -> None:
    assert (
        needed_int8_cpu(load_onnx(by_onnx_runtime(tmp_path, form, reduce_range=reduce_range)))
        is cpu
    )


def scale_of(weights: np.ndarray) -> np.ndarray:
    return np.abs(weights).max() / np.float32(127)


def weights_behind(form: str) -> onnx.ModelProto:
    """One convolution whose weights of 8 bits reach it in a way that is not read."""
    weights = np.random.default_rng(0).normal(0, 1, (4, 3, 3, 3)).astype(np.float32)
    scale = scale_of(weights)
    steps = np.rint(weights / scale).astype(np.int8)
    nodes, constants = [], {"s": np.array(scale), "z": np.array(0, np.int8)}
    if form == "multiplied":  # as training with folded batch normalization writes it
        constants |= {"w": weights, "g": np.array(1, np.float32)}
        nodes += [helper.make_node("Mul", ["w", "g"], ["wg"])]
        nodes += [helper.make_node("QuantizeLinear", ["wg", "s", "z"], ["q"])]
    elif form == "reshaped":
        constants |= {"w": steps.reshape(4, 27), "shape": np.array([4, 3, 3, 3])}
        nodes += [helper.make_node("Reshape", ["w", "shape"], ["q"])]
    else:
        constants |= {"w": np.concatenate([steps, steps])}
        nodes += [helper.make_node("Split", ["w"], ["q", "rest"], axis=0, num_outputs=2)]
    nodes += [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"]),
        helper.make_node("QuantizeLinear", ["NORMALIZED", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["x"]),
        helper.make_node("Conv", ["x", "dq"], ["SCORES"]),
    ]
    graph = helper.make_graph(
        nodes, form,
        [helper.make_tensor_value_info("NORMALIZED", onnx.TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("SCORES", onnx.TensorProto.FLOAT, [1, 4, 14, 14])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("form", ["multiplied", "reshaped", "split"])
def test_weights_that_cannot_be_read_are_for_vnni(form: str) -> None:
    assert needed_int8_cpu(weights_behind(form)) is Int8Cpu.VNNI


def test_a_bias_of_32_bits_is_no_weight(tmp_path: Path) -> None:
    """ONNX Runtime's own quantizer stores it behind a DequantizeLinear too."""
    onnx.save(residual_network(), tmp_path / "float.onnx")
    path = tmp_path / "quantized.onnx"
    quantize_static(tmp_path / "float.onnx", path, Batches(), per_channel=True, reduce_range=True)
    assert onnx.TensorProto.INT32 in {v.data_type for v in onnx.load(path).graph.initializer}
    assert needed_int8_cpu(load_onnx(path)) is Int8Cpu.AVX2


def test_without_vnni_8_bits_saturate_and_7_do_not(tmp_path: Path) -> None:
    """ONNX Runtime computes Q/DQ in float, whatever the CPU."""
    batch = smooth_batch(5) * 8  # so that activations reach their largest step
    for weight_bits, right in ((7, True), (8, False)):
        model = quantized(weight_bits=weight_bits)
        expected = infer_in_onnx_runtime(model)(batch)
        error = np.abs(infer_as_avx2(model, batch, tmp_path) - expected).max()
        step = np.abs(expected).max() / 127
        assert (error < 2 * step) == right, (weight_bits, error, step)


@pytest.mark.skipif(NO_VNNI, reason="this CPU has no VNNI")
def test_with_vnni_8_bits_are_right() -> None:
    batch, model = smooth_batch(5) * 8, quantized(weight_bits=8)
    expected = infer_in_onnx_runtime(model)(batch)
    with infer_in_openvino(model, "int8") as infer:
        assert np.abs(infer(batch) - expected).max() < 2 * np.abs(expected).max() / 127


@pytest.mark.parametrize("runtime", ["openvino", "tensorrt"])
def test_a_build_is_for_this_machine_unless_told_otherwise_and_a_gpu_takes_8_bits(
    runtime: str,
) -> None:
    target = BuildTarget.of("int8", runtime)
    expected = {Int8Cpu.VNNI: 8, Int8Cpu.AVX2: 7}[this_int8_cpu()]
    assert target.weight_bits == (expected if runtime == "openvino" else 8)


@pytest.mark.parametrize(
    ("runtime", "precision"), [("openvino", "fp32"), ("openvino", "fp16"), ("tensorrt", "int8")]
)
def test_a_cpu_is_chosen_for_int8_on_a_cpu_only(runtime: str, precision: str) -> None:
    with pytest.raises(SpecificationError, match="leave out --cpu"):
        BuildTarget.of(precision, runtime, cpu=Int8Cpu.AVX2)


@pytest.mark.skipif(not NO_VNNI, reason="this CPU has VNNI; it runs in tests/test_other_cpu.py")
def test_what_this_machine_cannot_judge_is_refused_before_anything_is_converted(
    tmp_path: Path,
) -> None:
    onnx.save(residual_network(), tmp_path / "export.onnx")
    options = BuildOptions(cpu=Int8Cpu.VNNI)
    with pytest.raises(SpecificationError, match="expected a CPU with VNNI to judge the build on"):
        build_model(
            residual_spec(),
            tmp_path / "export.onnx",
            tmp_path / "repository",
            precision="int8",
            options=options,
        )


def test_a_quantized_export_is_recorded_with_what_it_needs_or_refused(tmp_path: Path) -> None:
    """In fp32 too: its integer weights run in integer kernels all the same."""
    export = by_onnx_runtime(tmp_path, QuantFormat.QDQ, reduce_range=False)
    options = BuildOptions(pictures=write_pictures(tmp_path / "pictures", 2), accept=True)

    def build() -> Path:
        return build_model(residual_spec(), export, tmp_path / "repository", options=options).model

    if NO_VNNI:
        with pytest.raises(OnnxModelError, match="the export is quantized already"):
            build()
    else:
        assert '"int8_cpu": "vnni"' in (build() / "1" / "manifest.json").read_text(encoding="utf-8")
