"""Pictures of extreme values are in the proof: runtimes differ where noise does not go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from served_map import build_and_segment
from tiny_models import CLASSES, SIZE_HW, run_onnx, tiny_spec
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.errors import OnnxModelError
from tritonseg_steps.preprocessing import Preprocessing

FULL_SCALE = 127.5
"""`tiny_spec` makes -1 to 1 of a picture's values."""
BLACK = np.zeros((*SIZE_HW, 3), np.uint8)
NOISE = np.random.default_rng(3).integers(0, 256, (*SIZE_HW, 3), np.uint8)

CONTRAST = [
    helper.make_node("ReduceMin", ["image"], ["low"], axes=[1, 2, 3]),
    helper.make_node("ReduceMax", ["image"], ["high"], axes=[1, 2, 3]),
    helper.make_node("Sub", ["high", "low"], ["span"]),
    helper.make_node("Sub", ["image", "low"], ["above"]),
    helper.make_node("Div", ["above", "span"], ["features"]),
]
"""0 / 0 where a picture is of one colour."""
DARKNESS = [
    helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3]),
    helper.make_node("Sub", ["one", "mean"], ["span"]),
    helper.make_node("Sub", ["one", "image"], ["below"]),
    helper.make_node("Div", ["below", "span"], ["features"]),
]
"""0 / 0 where a picture is white."""
RELU = [helper.make_node("Relu", ["features"], ["rectified"])]


def network(
    body: list[onnx.NodeProto], features: str, *, argmax: bool = False, **values: float
) -> onnx.ModelProto:
    """Scores of a convolution over what the body makes of the picture."""
    weight = np.random.default_rng(0).standard_normal((CLASSES, 3, 4, 4)).astype(np.float32)
    constants = {"weight": weight, "up": np.array([1, 1, 4, 4], np.float32)}
    constants |= {name: np.float32(value) for name, value in values.items()}
    nodes = [
        *body,
        helper.make_node("Conv", [features, "weight"], ["low_scores"], strides=[4, 4]),
        helper.make_node("Resize", ["low_scores", "", "up"], ["output"], mode="linear"),
    ]
    if argmax:
        nodes[-1].output[0] = "scores"
        nodes.append(helper.make_node("ArgMax", ["scores"], ["output"], axis=1, keepdims=0))
    element = TensorProto.INT64 if argmax else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "extremes",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, *SIZE_HW])],
        [helper.make_tensor_value_info("output", element, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def save(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "export.onnx")
    return folder / "export.onnx"


OPENVINO_DIFFERS = {
    "bytes of what is negative": (
        [
            helper.make_node("ReduceMean", ["image"], ["brightness"], axes=[1, 2, 3]),
            helper.make_node("Add", ["brightness", "offset"], ["moved"]),
            helper.make_node("Mul", ["moved", "scale"], ["scaled"]),
            helper.make_node("Cast", ["scaled"], ["byte"], to=TensorProto.UINT8),
            helper.make_node("Cast", ["byte"], ["level"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["image", "level"], ["features"]),
        ],
        {"offset": 0.9, "scale": 100},
    ),
    "an infinity that is looked for": (
        [
            helper.make_node("Mul", ["image", "scale"], ["scaled"]),
            helper.make_node("Exp", ["scaled"], ["exp"]),
            helper.make_node("IsInf", ["exp"], ["infinite"]),
            helper.make_node("Where", ["infinite", "instead", "image"], ["features"]),
        ],
        {"scale": 89, "instead": -30},
    ),
}


@pytest.mark.parametrize("case", OPENVINO_DIFFERS)
def test_what_openvino_makes_otherwise_of_extremes_is_refused(case: str, tmp_path: Path) -> None:
    body, values = OPENVINO_DIFFERS[case]
    export = save(network(body, "features", **values), tmp_path)
    with pytest.raises(
        OnnxModelError, match=r"run as it will be served .*\((black|white|contrasts) of"
    ):
        build_and_segment(tiny_spec(), export, BLACK, tmp_path)


@pytest.mark.parametrize("layout", ["single", "fused"])
@pytest.mark.parametrize("argmax", [False, True])
def test_a_picture_to_which_scores_are_nan_is_an_error_and_others_are_right(
    argmax: bool, layout: str, tmp_path: Path
) -> None:
    model = network(CONTRAST, "features", argmax=argmax)
    export = save(model, tmp_path)
    image_nchw = (NOISE.transpose(2, 0, 1)[None] / np.float32(FULL_SCALE) - 1).astype(np.float32)
    output = run_onnx(model, image_nchw)
    expected_hw = output if argmax else output.argmax(axis=1)
    report, actual_hw = build_and_segment(tiny_spec(), export, NOISE, tmp_path, layout=layout)
    assert report.tail.operators[0] == "Resize"
    assert (actual_hw == np.squeeze(expected_hw)).mean() > 0.9999
    if layout == "single":
        with pytest.raises(OnnxModelError, match="NaN or infinite scores for this picture"):
            build_and_segment(tiny_spec(), export, BLACK, tmp_path, layout=layout)
    else:
        _, marked_hw = build_and_segment(tiny_spec(), export, BLACK, tmp_path, layout=layout)
        assert (marked_hw == 255).all()


@pytest.mark.parametrize(
    ("body", "picture", "level"), [(CONTRAST, "black", -1), (DARKNESS, "white", 1)]
)
def test_nan_that_openvino_loses_is_refused(
    body: list[onnx.NodeProto], picture: str, level: int, tmp_path: Path
) -> None:
    """Its Relu makes 0 of NaN; the scores are finite then, and a mask would be served."""
    model = network([*body, *RELU], "rectified", one=1)
    assert np.isnan(run_onnx(model, np.full((1, 3, *SIZE_HW), level, np.float32))).all()
    with pytest.raises(
        OnnxModelError, match=rf"^{picture} of 64x96: the export's scores are not all finite, and"
    ):
        build_and_segment(tiny_spec(), save(model, tmp_path), BLACK, tmp_path)


def test_a_class_that_only_extremes_show_must_be_named(tmp_path: Path) -> None:
    body = [
        helper.make_node("ReduceMax", ["image"], ["high"], axes=[1, 2, 3]),
        helper.make_node("Greater", ["high", "limit"], ["bright"]),
        helper.make_node("Sub", ["image", "one"], ["darker"]),
        helper.make_node("Where", ["bright", "darker", "one"], ["features"]),
    ]
    model = network(body, "features", argmax=True, limit=-0.999, one=1)
    weight = numpy_helper.to_array(model.graph.initializer[0])
    weight = np.concatenate([weight, 9 * np.abs(weight[:1])])
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "weight"))
    del model.graph.value_info[:]
    export = save(onnx.shape_inference.infer_shapes(model), tmp_path)
    with pytest.raises(OnnxModelError, match="name all 6 classes under classes"):
        prepare_network(tiny_spec(), export)


def test_a_contrast_that_is_rounding_alone_is_refused(tmp_path: Path) -> None:
    """Black and white have exact means, so that only another colour shows what is divided."""
    body = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3]),
        helper.make_node("Sub", ["image", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "centred"], ["squared"]),
        helper.make_node("ReduceMean", ["squared"], ["variance"], axes=[2, 3]),
        helper.make_node("Sqrt", ["variance"], ["deviation"]),
        helper.make_node("Add", ["deviation", "epsilon"], ["divisor"]),
        helper.make_node("Div", ["centred", "divisor"], ["contrast"]),
        helper.make_node("Add", ["contrast", "bias"], ["features"]),
    ]
    plain = replace(tiny_spec(), preprocessing=Preprocessing(mean=(0.0,) * 3, scale=(255.0,) * 3))
    for epsilon, refused in ((1e-8, True), (1e-2, False)):
        export = save(network(body, "features", epsilon=epsilon, bias=0.3), tmp_path)
        if refused:
            with pytest.raises(OnnxModelError, match=r"\(one colour of .* larger epsilon"):
                build_and_segment(plain, export, NOISE, tmp_path)
        else:
            build_and_segment(plain, export, NOISE, tmp_path)
