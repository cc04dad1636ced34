"""Resizes as NVIDIA's parser reads them: the same places as ONNX Runtime's, or refused by us."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from tiny_models import TinyModel, run_onnx, tiny_spec
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.plain_resizes import spell_out_resizes

CHANNELS, SIDE = 4, 5
NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "tf_half_pixel_for_nn"}


def resized(scales: Any = None, sizes: Any = None, **attributes: Any) -> onnx.ModelProto:
    """A convolution and a Resize behind it, of open batch."""
    given = {
        "weight": np.ones((CHANNELS, 3, 1, 1), np.float32),
        "scales": None if scales is None else np.array(scales, np.float32),
        "sizes": None if sizes is None else np.array(sizes, np.int64),
    }
    constants = {name: values for name, values in given.items() if values is not None}
    inputs = ["low", "", *(name if name in constants else "" for name in ("scales", "sizes"))]
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["low"], "conv"),
        helper.make_node("Resize", inputs, ["scores"], "up", **attributes),
    ]
    graph = helper.make_graph(
        nodes,
        "resized",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", CHANNELS, "h", "w"])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=8)


def spelt_out(model: onnx.ModelProto) -> onnx.ModelProto:
    edited = ir.from_proto(model)
    spell_out_resizes(edited)
    return ir.to_proto(edited)


@pytest.mark.parametrize(
    "model",
    [
        resized([2, 3], mode="linear", axes=[2, 3]),
        resized([2, 3], mode="linear", axes=[-1, -2]),
        resized(sizes=[11, 12], mode="linear", axes=[2, 3]),
        resized(sizes=[3, 4], mode="linear", axes=[-2, -1]),
        resized(sizes=[12, 11], mode="linear", axes=[3, 2]),
        resized([1, 1, 3, 2], **NEAREST),
        resized([1, 1, 0.7, 1.7], **NEAREST),
        resized([1, 1, 1.5, 2.3], nearest_mode="floor", **NEAREST),
        resized(sizes=[12, 7], axes=[2, 3], **NEAREST),
    ],
    ids=[
        "scales of axes", "scales of axes from behind", "sizes of axes", "sizes, smaller",
        "sizes of axes, turned",
        "nearest, whole", "nearest, broken", "nearest, rounding down", "nearest by sizes of axes",
    ],
)  # fmt: skip
def test_what_is_spelt_out_is_the_same_and_compiles(ask, model: onnx.ModelProto) -> None:
    plain = spelt_out(model)
    batch = np.random.default_rng(0).standard_normal((2, 3, SIDE, SIDE)).astype(np.float32)
    assert np.array_equal(run_onnx(plain, batch), run_onnx(model, batch))
    found = ask(plain)
    assert found.accepted, found.verdicts
    assert found.verdicts[0].answer.warnings == ()


@pytest.mark.parametrize(
    "model",
    [resized(sizes=[11, 12], mode="linear", axes=[2, 3]), resized(sizes=[1, 4, 9, 9], **NEAREST)],
    ids=["axes", "tf_half_pixel_for_nn"],
)
def test_as_it_came_nvidia_refuses_it(ask, model: onnx.ModelProto) -> None:
    assert not ask(model).accepted


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_what_tensorrt_would_compute_elsewhere_is_refused(precision: str, tmp_path: Path) -> None:
    """Its parser makes half_pixel of it; no compiler says a word."""
    attributes = {"mode": "linear", "coordinate_transformation_mode": "tf_half_pixel_for_nn"}
    model = TinyModel(tail=[("Resize", attributes), ("Relu", {})]).model()
    onnx.save(model, tmp_path / "export.onnx")
    with pytest.raises(OnnxModelError) as caught:
        build_model(
            tiny_spec(),
            tmp_path / "export.onnx",
            tmp_path / "repository",
            precision=precision,
            runtime="tensorrt",
            options=BuildOptions(onnx_only=True, accept=True, preflight_gpus=()),
        )
    assert (
        "expected other coordinates, got tf_half_pixel_for_nn, which TensorRT computes as "
        "half_pixel, with mode linear half a pixel beside; export it with half_pixel"
    ) in str(caught.value)
