"""fp16: typed throughout, and fp32 exactly where fp16 would be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from residual_network import residual_network, residual_spec, smooth_batch, write_pictures
from tritonseg_engines.build import precision as build_precision
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.errors import OnnxModelError, SpecificationError
from tritonseg_engines.precision import convert_to_half, half_precision, lint
from tritonseg_engines.precision.conversion import Converted
from tritonseg_engines.precision.sensitive import sensitive_nodes
from tritonseg_engines.running.networks import infer_in_onnx_runtime
from tritonseg_engines.running.rounding import with_written_rounding
from written_exports import written_export, written_spec


def batches() -> list[np.ndarray]:
    return [smooth_batch(seed) for seed in range(3)]


def run(model: onnx.ModelProto, batch: np.ndarray) -> np.ndarray:
    """Run a model, rounding to fp16 where it says so."""
    return infer_in_onnx_runtime(with_written_rounding(model))(batch)


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    return {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}


def test_everything_between_the_edges_is_half() -> None:
    network = residual_network()
    half = convert_to_half(network, batches)
    assert half.kept_float == {}
    assert set(element_types(half.model).values()) == {TensorProto.FLOAT16}
    for value in (half.model.graph.input[0], half.model.graph.output[0]):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
    assert half.model.ByteSize() < 0.7 * network.ByteSize()
    assert lint(half.model) == []
    expected, actual = run(network, smooth_batch(9)), run(half.model, smooth_batch(9))
    np.testing.assert_allclose(actual, expected, atol=4e-3 * np.abs(expected).max())
    assert not np.array_equal(actual, expected)


def test_an_overflow_is_kept_out_of_half() -> None:
    """x 1e5, x 1e-5: the library alone is far off; the measured range keeps it in fp32."""
    network = residual_network(overflow=True)
    expected = run(network, smooth_batch(9))
    library = convert_float_to_float16(
        onnx.ModelProto.FromString(network.SerializeToString()), keep_io_types=True
    )
    assert not np.allclose(run(library, smooth_batch(9)), expected, atol=0.5)
    half = convert_to_half(network, batches)
    assert {"grown", "shrunk"} <= set(half.kept_float)
    assert "first" not in half.kept_float
    assert element_types(half.model)["first"] == TensorProto.FLOAT16
    actual = run(half.model, smooth_batch(9))
    np.testing.assert_allclose(actual, expected, atol=4e-3 * np.abs(expected).max())
    assert lint(half.model, kept_float=half.kept_float) == []


def test_no_cast_to_half_and_back_between_kept_nodes() -> None:
    """The library alone, told to keep the same nodes, casts between them and overflows."""
    network = residual_network(overflow=True)
    kept = ["grown", "shrunk"]
    library = convert_float_to_float16(
        onnx.ModelProto.FromString(network.SerializeToString()),
        keep_io_types=True,
        node_block_list=kept,
    )
    # Its casts stand at the end of the graph; Triton's and TensorRT's readers want them in order.
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(library)
    mended = half_precision(network, kept)
    onnx.checker.check_model(mended, full_check=True)
    assert np.isfinite(run(mended, smooth_batch(9))).all()


def test_the_gate_catches_an_overflow_that_was_not_kept_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With factors that fp16 holds and the range rule switched off: products beyond 65504."""
    network = residual_network(overflow=True)
    for constant in network.graph.initializer:
        if constant.name in ("huge", "tiny"):
            value = np.array(6e4 if constant.name == "huge" else 1 / 6e4, np.float32)
            constant.CopyFrom(numpy_helper.from_array(value, constant.name))
    onnx.save(network, tmp_path / "export.onnx")
    options = BuildOptions(pictures=write_pictures(tmp_path / "pictures", 3))

    def build() -> None:
        build_model(
            residual_spec(),
            tmp_path / "export.onnx",
            tmp_path / "repository",
            precision="fp16",
            runtime="tensorrt",
            options=options,
        )

    with monkeypatch.context() as patch:
        patch.setattr(
            build_precision,
            "convert_to_half",
            lambda network, *_: Converted(model=half_precision(network, ()), kept_float={}),
        )
        with pytest.raises(OnnxModelError, match="NaN or infinite scores"):
            build()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["export.onnx", "pictures"]
    build()
    assert (tmp_path / "residual.fp16.onnx").exists()


def test_names_that_the_converter_gives_may_be_there_already() -> None:
    """In an export that went through it once."""
    network = residual_network()
    names = {"stem_relu": "graph_input_cast_0", "outer_relu": "stem_cast_to_fp32"}
    for node in network.graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
    half = half_precision(network, ["stem", "head"])
    onnx.checker.check_model(half, full_check=True)
    expected, actual = run(network, smooth_batch(9)), run(half, smooth_batch(9))
    np.testing.assert_allclose(actual, expected, atol=4e-3 * np.abs(expected).max())


def test_keep_fp32_by_name(tmp_path: Path) -> None:
    network = residual_network()
    half = convert_to_half(network, batches, ["*rst", "head"])
    assert half.kept_float == {"first": "named by '*rst'", "head": "named by 'head'"}
    assert element_types(half.model)["inner_relu"] == TensorProto.FLOAT16
    assert lint(half.model, kept_float=half.kept_float) == []
    with pytest.raises(SpecificationError, match=r"'nonsense'.*matches none of 8"):
        convert_to_half(network, batches, ["nonsense"])


def test_a_constant_shared_with_a_kept_node_stays_exact() -> None:
    network = residual_network()
    graph = network.graph
    graph.initializer.append(numpy_helper.from_array(np.array(1 / 3, np.float32), "third"))
    kept = helper.make_node("Mul", ["SCORES", "third"], ["scaled"], "kept")
    other = helper.make_node("Mul", ["scaled", "third"], ["out"], "other")
    graph.node.extend([kept, other])
    graph.output[0].name = "out"
    half = half_precision(network, ["kept"])
    constants = {v.name: numpy_helper.to_array(v) for v in half.graph.initializer}
    read = {
        node.name: constants[node.input[1]]
        for node in half.graph.node
        if node.name in ("kept", "other")
    }
    assert read["kept"] == np.float32(1 / 3)
    assert read["other"] == np.float16(1 / 3)


@pytest.mark.parametrize(("positions", "expected"), [(131_072, True), (19, False)])
def test_softmax_over_positions_and_its_product_stay_in_fp32(
    positions: int, expected: bool
) -> None:
    """As in OCRNet, where the mean of 131,072 probabilities is subnormal in fp16."""
    graph = helper.make_graph(
        [
            helper.make_node("Softmax", ["x"], ["p"], "soft", axis=2),
            helper.make_node("Transpose", ["p"], ["t"], "turn", perm=[0, 2, 1]),
            helper.make_node("MatMul", ["x", "t"], ["y"], "product"),
            helper.make_node("Relu", ["y"], ["z"], "after"),
        ],
        "attention",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 19, positions])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 19, 19])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    kept = {"soft", "turn", "product"} if expected else set()
    assert set(sensitive_nodes(model, {})) == kept


def test_rounding_is_that_of_numpy_at_every_tensor() -> None:
    """Against fp16 arithmetic written out: round, scale, round, scale, round."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["h"], "in", to=TensorProto.FLOAT16),
            helper.make_node("Mul", ["h", "factor"], ["grown"], "grow"),
            helper.make_node("Mul", ["grown", "factor"], ["more"], "again"),
            helper.make_node("Cast", ["more"], ["y"], "out", to=TensorProto.FLOAT),
        ],
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [5])],
        [numpy_helper.from_array(np.array(129.3, np.float16), "factor")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    values = np.array([1 / 3, -2.7, 1e-3, 3.9, 4000], np.float32)
    factor = np.float16(129.3).astype(np.float32)
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16).astype(np.float32)
        for _ in range(2):
            expected = (expected * factor).astype(np.float16).astype(np.float32)
    assert not np.isfinite(expected[-1])
    assert np.array_equal(run(model, values), expected)


def test_a_range_of_floats_has_no_half(tmp_path: Path) -> None:
    """What torch writes of a float `arange` over an open width."""
    body = """
        width = Shape <start=3, end=4> (image)
        count = Squeeze (width)
        limit = Cast <to=1> (count)
        columns = Range (zero, limit, one)
        places = Div (columns, limit)
        moved = Add (image, places)
        s = Conv <kernel_shape=[4, 4], strides=[4, 4]> (moved, weight)
        output = Resize <mode="linear"> (s, roi, four)
    """
    export = written_export(
        body, "float[N, 5, 64, 96] output", zero=np.float32(0), one=np.float32(1)
    )
    onnx.save(export, tmp_path / "export.onnx")
    report = build_model(
        written_spec(), tmp_path / "export.onnx", tmp_path / "repository", precision="fp16"
    )
    built = onnx.load(report.model / "1" / "model.onnx")
    (columns,) = (node.output[0] for node in built.graph.node if node.op_type == "Range")
    assert element_types(built)[columns] == TensorProto.FLOAT
