"""Exports written out in ONNX's own text form, and what ONNX Runtime says of them.

Each begins with a convolution of stride 4 over the input `image`, whose scores are `s`; `full` is
these at the picture's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
from onnx import AttributeProto, helper, numpy_helper

from tritonseg_engines.running.pictures import smooth_noise
from tritonseg_engines.spec import InputSpec, ModelSpec, OutputSpec, voc_palette
from tritonseg_steps.preprocessing import Preprocessing

CLASSES = 5
SIZE_HW = (64, 96)
SCORES = "s = Conv <kernel_shape=[4, 4], strides=[4, 4]> (image, weight)"
FULL = SCORES + '\n full = Resize <mode="linear"> (s, roi, four)'
PICTURE = "float[N, 3, 64, 96] image"


def written_export(
    body: str,
    output: str,
    *,
    picture: str = PICTURE,
    opset: int = 17,
    ir_version: int = 8,
    classes: int = CLASSES,
    **constants: Any,
) -> onnx.ModelProto:
    """Return a file of these nodes; `constants` are its initializers, beside those of `FULL`."""
    text = (
        f'<ir_version: {ir_version}, opset_import: ["": {opset}]> '
        f"export ({picture}) => ({output}) {{ {body} }}"
    )
    model = onnx.parser.parse_model(text)
    weight = np.random.default_rng(0).standard_normal((classes, 3, 4, 4))
    known = {
        "weight": weight.astype(np.float32),
        "roi": np.empty(0, np.float32),
        "four": np.array([1, 1, 4, 4], np.float32),
        **constants,
    }
    read = set(_names_read(model.graph))
    for name, value in known.items():
        if name in read:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return model


def written_spec(
    kind: str = "scores", *, classes: int = CLASSES, layout: str = "NCHW", **output: Any
) -> ModelSpec:
    """Return what a user would write about such a file."""
    count = 2 if kind == "binary" else classes
    return ModelSpec(
        name="written",
        input=InputSpec(name="image", layout=layout),
        preprocessing=Preprocessing(mean=(127.5,) * 3, scale=(63.75,) * 3),
        output=OutputSpec(**{"name": "output", "kind": kind, **output}),
        classes=tuple(f"class_{index}" for index in range(count)),
        palette=voc_palette(count),
    )


def picture_hwc(size_hw: tuple[int, int] = SIZE_HW) -> np.ndarray:
    """Return the `(h, w, 3)` uint8 picture that the files are asked about."""
    (picture,) = smooth_noise(size_hw, 1)
    return picture.image_hwc


def own_mask(
    model: onnx.ModelProto, spec: ModelSpec, classes_of: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return the `(h, w)` mask that ONNX Runtime and NumPy make of `picture_hwc`."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    pixels = (picture_hwc().astype(np.float32) - 127.5) / np.float32(63.75)
    batch = pixels[None] if spec.input.layout == "NHWC" else pixels.transpose(2, 0, 1)[None]
    (output,) = session.run([spec.output.name], {"image": np.ascontiguousarray(batch)})
    return np.asarray(classes_of(output)).reshape(SIZE_HW)


def list_initializers_as_inputs(model: onnx.ModelProto) -> None:
    """Write them among the inputs too, in place, as exporters did before IR version 4."""
    for constant in model.graph.initializer:
        value = helper.make_tensor_value_info(constant.name, constant.data_type, constant.dims)
        model.graph.input.append(value)


def _names_read(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _names_read(attribute.g)
