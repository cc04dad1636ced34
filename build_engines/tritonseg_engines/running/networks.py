"""Networks that can be run: the reference, and what will be served."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from tritonseg_engines.errors import CalibrationError, OnnxModelError
from tritonseg_engines.graph.onnx_file import dimensions, graph_inputs, save_onnx
from tritonseg_engines.running.pictures import Picture
from tritonseg_engines.running.reasons import onnx_runtime_reason, openvino_reason
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.picture_sizes import picture_refusal
from tritonseg_steps.preprocessing import Normalizer, Preprocessing
from tritonseg_steps.upsampling import (
    Upsampling,
    class_map_at_image_size,
    class_map_from_scores,
    flaw,
)

Infer = Callable[[NDArray[Any]], NDArray[Any]]
"""Maps NORMALIZED `(1, 3, h, w)` float32 to SCORES; where the steps are folded into the graph,
pictures `(1, H, W, 3)` uint8 to class maps."""
CANNOT_RUN = "the network cannot be run: "
SILENT = 4
"""What goes wrong is raised; sizes are tried that a network may refuse."""


def onnx_session(model: onnx.ModelProto, *, any_size: bool = False) -> onnxruntime.InferenceSession:
    """Load a model into ONNX Runtime on the CPU.

    Args:
        model: Any.
        any_size: Whether it is to be asked which sizes it takes. Of a picture that is too small a
            pooling leaves no rows, which convolutions refuse, but for those of a layout of its own
            (NCHWc, ONNX Runtime 1.32): they divide by zero, and the process ends.

    Raises:
        OnnxModelError: ONNX Runtime does not take it.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    if any_size:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.set_default_logger_severity(SILENT)  # of kernels, which know no session
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        # Its exceptions have no common base but Exception (onnxruntime 1.31).
        raise OnnxModelError(
            f"ONNX Runtime cannot load the network: {onnx_runtime_reason(error)}"
        ) from error


def run_session(
    session: onnxruntime.InferenceSession,
    inputs: Mapping[str, NDArray[Any]],
    outputs: Sequence[str] | None = None,
) -> list[NDArray[Any]]:
    """Run a session.

    Raises:
        OnnxModelError: The network cannot be run on this input.
    """
    try:
        results: list[NDArray[Any]] = session.run(outputs, dict(inputs))
    except Exception as error:
        raise OnnxModelError(f"{CANNOT_RUN}{onnx_runtime_reason(error)}") from error
    return results


def infer_in_onnx_runtime(model: onnx.ModelProto) -> Infer:
    """Return the model's first output as a function of its input.

    Raises:
        OnnxModelError: ONNX Runtime does not take it.
    """
    session = onnx_session(model)
    name = session.get_inputs()[0].name

    def infer(batch: NDArray[Any]) -> NDArray[Any]:
        return run_session(session, {name: batch})[0]

    return infer


@contextmanager
def infer_in_openvino(model: onnx.ModelProto, precision: str) -> Iterator[Infer]:
    """Yield the network as the server's step runs it.

    Raises:
        OnnxModelError: OpenVINO does not take it.
    """
    from tritonseg_steps.openvino_engine import OpenvinoEngine

    with tempfile.TemporaryDirectory() as workspace:
        path = Path(workspace) / "model.onnx"
        save_onnx(model, path)
        try:
            engine = OpenvinoEngine(str(path), precision)
        except RuntimeError as error:
            names = [name for node in model.graph.node for name in (node.name, *node.output)]
            raise OnnxModelError(
                f"OpenVINO cannot load the network: {openvino_reason(error, names)}"
            ) from error

        def infer(batch: NDArray[Any]) -> NDArray[Any]:
            try:
                return engine.infer(batch)
            except RuntimeError as error:
                size = "x".join(map(str, batch.shape))
                raise OnnxModelError(
                    f"OpenVINO cannot run the network on {size}: {openvino_reason(error)}"
                ) from error

        yield infer


class Steps(Protocol):
    """What stands around a network: a picture in, a class map out."""

    def batch(self, picture: Picture) -> NDArray[Any]:
        """Return the network's input for a picture."""

    def class_map(self, output: NDArray[Any], picture: Picture) -> NDArray[np.uint8]:
        """Return the `(H, W)` class map at the picture's size that its output means."""


class FoldedSteps:
    """Around a graph with the server's steps inside: nothing.

    Args:
        image_hw: Size of the pictures that the graph takes.
    """

    def __init__(self, image_hw: tuple[int, int]) -> None:
        self._image_hw = image_hw

    def batch(self, picture: Picture) -> NDArray[np.uint8]:
        """Return the picture itself, `(1, H, W, 3)` uint8.

        Raises:
            CalibrationError: It has not the graph's size.
        """
        if picture.image_hwc.shape[:2] != self._image_hw:
            height, width = self._image_hw
            raise CalibrationError(
                f"{picture.name}: the fused layout takes pictures of {height}x{width} pixels, got "
                f"{picture.image_hwc.shape[0]}x{picture.image_hwc.shape[1]}; give such with "
                "--pictures"
            )
        return np.ascontiguousarray(picture.image_hwc[None])

    def class_map(self, output: NDArray[Any], picture: Picture) -> NDArray[np.uint8]:
        """Return the graph's only class map; it has the picture's size already."""
        class_map_hw: NDArray[np.uint8] = output[0]
        return class_map_hw


class ServerSteps:
    """The server's own steps around a network: a picture in, a class map out.

    Args:
        preprocessing: What the normalize step does.
        upsampling: What the argmax step does.
        sizes: Of the input that the network takes.
        class_count: Of the model.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        upsampling: Upsampling,
        sizes: NetworkSizes,
        *,
        class_count: int,
    ) -> None:
        self._normalizer = Normalizer(preprocessing)
        self._resize = preprocessing.resize
        self._upsampling = upsampling
        self._sizes = sizes
        self._class_count = class_count

    def batch(self, picture: Picture) -> NDArray[np.float32]:
        """Return the network's input for a picture, `(1, 3, h, w)`.

        Raises:
            CalibrationError: The picture leads to a size that the network does not take.
        """
        height, width = picture.image_hwc.shape[:2]
        refusal = picture_refusal(self._resize, self._sizes, (height, width))
        if refusal is not None:
            raise CalibrationError(f"{picture.name}: {refusal}")
        return self._normalizer.batch(picture.image_hwc[None])

    def class_map(self, output: NDArray[Any], picture: Picture) -> NDArray[np.uint8]:
        """Return the class map at the picture's size that the argmax step would return.

        Raises:
            OnnxModelError: A score is not a number, or a class none of the model's.
        """
        height, width = picture.image_hwc.shape[:2]
        found = flaw(output[0], self._upsampling, self._class_count)
        if found is not None:
            raise OnnxModelError(f"{picture.name}: {found}")
        geometry = self._normalizer.geometry((height, width))
        return class_map_of(output[0], geometry, self._upsampling)


def class_map_of(
    output: NDArray[Any], geometry: Geometry, upsampling: Upsampling
) -> NDArray[np.uint8]:
    """Return the class map of one picture, as the argmax step makes it of the network's output."""
    if upsampling.kind == "class_map":
        return class_map_at_image_size(output, geometry)
    return class_map_from_scores(output, geometry, align_corners=upsampling.align_corners)


def one_batch_shapes(
    model: onnx.ModelProto, size_hw: tuple[int, int]
) -> Mapping[str, list[int | None] | None]:
    """Return the inferred shape of every tensor for one picture of a size."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    dims = graph_inputs(fixed.graph)[0].type.tensor_type.shape.dim
    for dim, size in zip((dims[0], dims[2], dims[3]), (1, *size_hw), strict=True):
        dim.dim_value = size
    inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    return {value.name: dimensions(value) for value in values}
