"""A fused graph can answer with classes only, so it marks a picture for which there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from fused_graph import fuse
from tiny_models import SIZE_HW, TinyModel, tiny_spec
from tritonseg_engines.build.fuse_check import fixed_sizes
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.build.prepared import Prepared
from tritonseg_engines.errors import SpecificationError
from tritonseg_engines.running.networks import infer_in_onnx_runtime, infer_in_openvino
from tritonseg_steps.contract import NO_CLASS


def prepared_of(model: TinyModel, folder: Path) -> Prepared:
    onnx.save(model.model(), folder / "export.onnx")
    return prepare_network(tiny_spec(classes=model.classes), folder / "export.onnx")


def test_no_value_is_left_to_mark_by(tmp_path: Path) -> None:
    model = TinyModel(classes=256)
    prepared = prepared_of(model, tmp_path)
    with pytest.raises(SpecificationError, match="at most 255 classes, got 256"):
        fixed_sizes(prepared)


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_numbers_are_no_class(
    spoilt: float, opset: int, tmp_path: Path
) -> None:
    """In both runtimes, and for the one picture of the batch alone."""
    model = TinyModel(opset=opset)
    prepared = prepared_of(model, tmp_path)
    network = onnx.ModelProto()
    network.CopyFrom(prepared.network)
    last = network.graph.node[-1]
    scores, last.output[0] = last.output[0], "before"
    for name, value in (("bright", 0.5), ("spoilt", spoilt)):
        constant = np.array(value, np.float32)
        network.graph.initializer.append(numpy_helper.from_array(constant, name))
    network.graph.node.extend(
        [
            helper.make_node("ReduceMax", ["NORMALIZED"], ["most"], axes=[1, 2, 3]),
            helper.make_node("Greater", ["most", "bright"], ["is_bright"]),
            helper.make_node("Where", ["is_bright", "spoilt", "before"], [scores]),
        ]
    )
    images_nhwc = np.random.default_rng(1).integers(0, 256, (2, *SIZE_HW, 3)).astype(np.uint8)
    images_nhwc[1] //= 2
    expected = infer_in_onnx_runtime(fuse(prepared))(images_nhwc)[1]
    fused = fuse(prepared, network)
    with infer_in_openvino(fused, "fp32") as infer:
        answers = [infer_in_onnx_runtime(fused)(images_nhwc), infer(images_nhwc).copy()]
    for actual in answers:
        assert np.all(actual[0] == NO_CLASS)
        assert (actual[1] == expected).mean() >= 0.9995
