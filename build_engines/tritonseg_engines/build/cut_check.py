"""Prove, before anything is written, that cutting the tail changed no mask.

The tail was recognised by its operators. Whether the class maps are the same is a question of
fact, so it is measured: the export as it came against the cut network and the argmax step's
upsampling, both in ONNX Runtime, on one picture of smooth noise.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.boundary import NCHW_TO_NHWC, SIGMOID_THRESHOLD
from tritonseg_engines.graph.onnx_file import dimensions, graph_inputs
from tritonseg_engines.graph.surgery import editable, maker
from tritonseg_engines.graph.tail import Tail
from tritonseg_engines.running.networks import onnx_session, run_session
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.upsampling import Upsampling, class_map_from_scores

MINIMUM_EQUAL_PIXELS = 0.999
"""Ties and the last bits of a float interpolation differ between implementations at a few pixels
in a million; a wrong coordinate rule differs at several in a hundred."""
OPEN_SIZE = (256, 512)


def check_cut(
    exported: onnx.ModelProto,
    network: onnx.ModelProto,
    spec: ModelSpec,
    tail: Tail,
    upsampling: Upsampling,
) -> float:
    """Return the share of pixels at which the two class maps agree.

    Raises:
        OnnxModelError: It is below `MINIMUM_EQUAL_PIXELS`.
    """
    size_hw = _size_hw(network)
    batch_nchw = _smooth_noise(size_hw)
    if spec.input.dtype == "uint8":
        batch_nchw = (batch_nchw * 64 + 128).clip(0, 255).round()
    class_axis = -1 if "Transpose" in tail.operators else 1
    exported_output = _run(exported, _as_exported(batch_nchw, spec), spec.output.name)
    expected = (
        _above_threshold(exported, exported_output, (spec.output.name, tail.scores))
        if spec.output.kind == "binary"
        else _class_map(exported_output, class_axis)
    )
    scores_nchw = _run(network, batch_nchw, None)
    image_hw = (expected.shape[0], expected.shape[1])
    actual = class_map_from_scores(
        scores_nchw[0],
        Geometry(image_hw, image_hw, image_hw),
        align_corners=upsampling.align_corners,
    )
    if "Resize" in tail.operators and image_hw != size_hw:
        raise OnnxModelError(
            f"output {tail.output!r}: expected class maps at the input's size {size_hw}, "
            f"got {image_hw}; build with --keep-tail"
        )
    equal = float((actual == expected).mean())
    if equal < MINIMUM_EQUAL_PIXELS:
        raise OnnxModelError(
            f"cutting {' → '.join(tail.operators)} behind the network changes "
            f"{1 - equal:.2%} of the pixels, expected at most {1 - MINIMUM_EQUAL_PIXELS:.2%}; "
            "build with --keep-tail"
        )
    return equal


def _size_hw(network: onnx.ModelProto) -> tuple[int, int]:
    dims = dimensions(graph_inputs(network.graph)[0]) or []
    height, width = dims[2:] if len(dims) == 4 else (None, None)
    return (height, width) if height and width else OPEN_SIZE


def _smooth_noise(size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return `(1, 3, h, w)`; smooth, because networks answer to white noise with one class."""
    height, width = size_hw
    coarse = np.random.default_rng(0).standard_normal((height // 16 + 2, width // 16 + 2, 3))
    fine = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(fine.transpose(2, 0, 1)[None])


def _as_exported(batch_nchw: NDArray[np.float32], spec: ModelSpec) -> NDArray[Any]:
    batch = batch_nchw.transpose(NCHW_TO_NHWC) if spec.input.layout == "NHWC" else batch_nchw
    return np.ascontiguousarray(batch.astype(spec.input.dtype))


def _run(model: onnx.ModelProto, batch: NDArray[Any], output: str | None) -> NDArray[Any]:
    session = onnx_session(model)
    name = session.get_inputs()[0].name
    return run_session(session, {name: batch}, [output] if output else None)[0]


def _above_threshold(
    exported: onnx.ModelProto, output: NDArray[Any], ends: tuple[str, str]
) -> NDArray[Any]:
    """Return where the only score is above 0, or 0.5 where a sigmoid stands at either end."""
    values = ir.convenience.create_value_mapping(editable(exported).graph)
    sigmoid = any(maker(values[name], "Sigmoid") is not None for name in ends)
    above: NDArray[Any] = output > (SIGMOID_THRESHOLD if sigmoid else 0.0)
    return above.reshape(above.shape[-2:])


def _class_map(output: NDArray[Any], class_axis: int) -> NDArray[Any]:
    """Reduce the export's own output, scores or a class map with unit axes, to `(H, W)`."""
    if np.issubdtype(output.dtype, np.floating) and output.ndim == 4:
        output = output.argmax(axis=class_axis)
    return output.reshape(output.shape[-2:])
