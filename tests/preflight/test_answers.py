"""What NVIDIA's compiler says of graphs whose layers are known."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from residual_network import CHANNELS, CLASSES, residual_network, smooth_batch
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.precision import Int8Conversion, half_precision
from tritonseg_engines.preflight import USUAL_GPUS, asked_sizes

LAYERS = ["stem", "first", "second", "head"]
# Worked out by hand: scores are 16x24 pixels, and so is all between.
MACS = [
    16 * 24 * CHANNELS * 3 * 4 * 4,
    16 * 24 * CHANNELS * CHANNELS * 3 * 3,
    16 * 24 * CHANNELS * CHANNELS * 3 * 3,
    16 * 24 * CLASSES * CHANNELS,
]


def half() -> onnx.ModelProto:
    return half_precision(residual_network(), ())


def test_a_good_graph_compiles_for_every_gpu(ask) -> None:
    found = ask(residual_network(), USUAL_GPUS)
    assert found.accepted
    assert [verdict.answer.gpu.name for verdict in found.verdicts] == list(USUAL_GPUS)
    assert all(verdict.answer.engine_bytes > 0 for verdict in found.verdicts)
    assert all(verdict.answer.warnings == () for verdict in found.verdicts)
    found.raise_if_refused()


def test_memory_grows_by_the_pictures_of_a_batch(ask) -> None:
    few, many = (
        ask(residual_network(), options=asked_sizes(batch, None)).verdicts[0].answer
        for batch in (2, 8)
    )
    stem = CHANNELS * 16 * 24 * 4  # what it writes for one picture, which the second layer reads
    more = many.activation_bytes - few.activation_bytes
    assert 6 * stem <= more <= 6 * (3 * 64 * 96 * 4 + 8 * stem)


def test_layers_and_their_cost_are_the_graphs(ask) -> None:
    layers = ask(residual_network()).layers
    assert [layer.node for layer in layers] == LAYERS
    assert [layer.macs for layer in layers] == MACS
    assert {(layer.asked, layer.network) for layer in layers} == {("fp32", "fp32")}


@pytest.mark.parametrize("named", [True, False])
def test_every_layer_is_found_in_nvidias_network(ask, named: bool) -> None:
    """By the name that the parser gives, also to nodes that have none; 8.6 is pinned by it."""
    model = residual_network()
    if not named:
        for node in model.graph.node:
            node.name = ""
    layers = ask(model).layers
    assert [layer.network for layer in layers] == ["fp32"] * 4
    assert "fp32" in {layer.engine for layer in layers}


def test_the_bound_is_worked_out_by_hand(ask) -> None:
    bounds = ask(residual_network()).bounds
    weights = 4 * (CHANNELS * 3 * 16 + 2 * CHANNELS * CHANNELS * 9 + CLASSES * CHANNELS)
    moved = weights + 4 * (3 * 64 * 96 + CLASSES * 16 * 24)
    assert bounds.weights_bytes == weights
    assert bounds.memory_bytes == moved
    compute_ms = 1000 * 2 * sum(MACS) / 8.1e12
    assert bounds.roofline_ms["T4"] == pytest.approx(max(compute_ms, 1000 * moved / 300e9))


def test_half_is_half_in_file_network_and_engine(ask) -> None:
    found = ask(half())
    assert found.accepted
    assert {(layer.asked, layer.network) for layer in found.layers} == {("fp16", "fp16")}
    assert {layer.engine for layer in found.layers} <= {"fp16", None}


def test_a_document_is_the_whole_answer(ask) -> None:
    document = json.loads(json.dumps(ask(half()).to_json()))
    assert document["accepted"] is True
    assert document["precisions"] == {"fp16": {"layers": 4, "multiply_accumulates": 1.0}}
    assert document["gpus"]["sm_86"]["compiler"].startswith("TensorRT-RTX 1.")


def test_a_refusal_has_node_words_and_cure(ask) -> None:
    weight = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float16), "weight")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weight"], ["scores"], "/mixed/Conv")],
        "mixed",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 4, 8, 8])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = ask(model)
    assert not found.accepted
    with pytest.raises(OnnxModelError) as caught:
        found.raise_if_refused()
    assert str(caught.value) == (
        "for sm_86: TensorRT's parser refuses it: node '/mixed/Conv' (Conv): /mixed/Conv: "
        "IConvolutionLayer `input` and `kernel` must be of same type. `input` type is Float but "
        "`kernel` is of type Half; Output shape can not be computed for node /mixed/Conv. What to "
        "do: give both inputs one type: leave the export in float32 and let `tritonseg build "
        "--precision fp16` lower it"
    )


def test_an_open_size_takes_one(ask) -> None:
    model = residual_network()
    for dim in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[dim].dim_param = f"side{dim}"
        model.graph.output[0].type.tensor_type.shape.dim[dim].dim_param = f"out{dim}"
    found = ask(model, options=asked_sizes(2, (64, 96)))
    assert found.accepted
    assert [layer.macs for layer in found.layers] == MACS


def test_int8_is_int8_and_what_stays_high_says_why(ask) -> None:
    conversion = Int8Conversion(
        residual_network(),
        lambda: (smooth_batch(seed) for seed in range(4)),
        4,
        calibrator="percentile",
        keep_fp32=["second"],
        half_rest=True,
    )
    converted = conversion.convert([name for name in conversion.layers if name != "first"])
    found = ask(converted.model, kept_float=converted.kept_float)
    assert found.accepted
    assert {layer.node: (layer.asked, layer.network, layer.why) for layer in found.layers} == {
        "stem": ("int8", "int8", ""),
        "first": ("fp16", "fp16", "costs too much in int8"),
        "second": ("fp32", "fp32", "named by 'second'"),
        "head": ("int8", "int8", ""),
    }


def test_what_no_quantizer_takes_says_why(ask) -> None:
    """A product of two computed tensors, and one with a small matrix, beside four int8 layers."""
    model = residual_network()
    scores = model.graph.output[0].name
    (last,) = (node for node in model.graph.node if scores in node.output)
    last.output[0] = "own"
    small = np.eye(24, dtype=np.float32)
    model.graph.initializer.append(numpy_helper.from_array(small, "small"))
    model.graph.node.extend(
        [
            helper.make_node("MatMul", ["own", "small"], ["mixed"], "pooling"),
            helper.make_node("Transpose", ["own"], ["turned"], "turn", perm=[0, 1, 3, 2]),
            helper.make_node("MatMul", ["turned", "mixed"], ["related"], "attention"),
            helper.make_node("MatMul", ["mixed", "related"], [scores], "again"),
        ]
    )
    conversion = Int8Conversion(
        model,
        lambda: (smooth_batch(seed) for seed in range(4)),
        4,
        calibrator="percentile",
        half_rest=True,
    )
    converted = conversion.convert(conversion.layers)
    found = ask(converted.model, kept_float=converted.kept_float)
    why = {layer.node: layer.why for layer in found.layers if layer.why}
    computed = "multiplies two computed tensors: int8 is for layers with constant weights"
    assert why == {
        "pooling": "a product with 24x24 constants: int8 is for matrices from 32 on a side",
        "attention": computed,
        "again": computed,
    }


def test_an_input_that_is_left_out_as_opset_11_wants_it_is_no_warning(ask) -> None:
    constants = {
        "weight": np.ones((4, 3, 1, 1), np.float32),
        "roi": np.zeros(0, np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "weight"], ["low"], "conv"),
            helper.make_node("Resize", ["low", "roi", "scales"], ["scores"], "up", mode="linear"),
        ],
        "upsampled",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 4, 16, 16])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    found = ask(model)
    assert found.accepted
    (verdict,) = found.verdicts
    assert len(verdict.notes) == len(verdict.answer.warnings) == 1
    assert "an empty tensor has no values" in verdict.notes[0]
