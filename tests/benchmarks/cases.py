"""Models and pictures that the benchmarks use; anyone can make them again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from demo_model.scenes import draw_scene
from tritonseg_engines import zoo
from tritonseg_engines.graph.half_weights import expand_half_weights
from tritonseg_engines.graph.surgery import as_proto, editable
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec
from tritonseg_steps.resize_policy import FitPad, Native

SCENE_SEED = 44
WEIGHTS_SEED = 0
SMALL_HW = (256, 512)

HRNET = "hrnetv2-w18-small-v1-cityscapes"
STRIDES = {HRNET: 4, "fastseg-small": 2, "pspnet-pytorch": 8}
"""The benchmarked models and how many pixels of the picture a cell of their scores covers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One model as published exports have it, and a picture.

    Attributes:
        spec: Of the export; it takes pictures of its own size only, which all contenders can.
        export: The network with the upsampling of its scores to full size behind it.
        image_hwc: `(H, W, 3)` uint8 RGB picture of the input's size.
        boundary_share: Share of the scores' cells whose neighbour has another class. How much
            there is to interpolate depends on it; drawn streets' own labels have 0.02.
    """

    spec: ModelSpec
    export: Path
    image_hwc: NDArray[np.uint8]
    boundary_share: float

    def expected(self) -> NDArray[np.uint8]:
        """Return the class map by ONNX Runtime and NumPy, `(H, W)` uint8."""
        scores_chw = _run(self.export, self.spec, self.image_hwc)
        class_map: NDArray[np.uint8] = scores_chw.argmax(axis=0).astype(np.uint8)
        return class_map


def make_case(name: str, folder: Path, weights: Path | None = None) -> Case:
    """Export a model of the zoo and draw a picture for it; all but the HRNet need torch.

    Args:
        name: A key of `STRIDES`.
        folder: Where to write the ONNX file.
        weights: Folder with checkpoints `<name>.pth`. A model that has none there gets torch's
            initial weights, the HRNet those of the demo model.
    """
    spec = zoo.get_spec(name)
    checkpoint = None if weights is None else weights / f"{name}.pth"
    if checkpoint is not None and not checkpoint.exists():
        checkpoint = None
    height, width = spec.input.size_hw or (0, 0)
    if name == HRNET and checkpoint is None:
        network = demo_network(height, width)
    else:
        network = _exported(spec, folder, checkpoint)
    stride = STRIDES[name]
    dims = [len(spec.classes), height // stride, width // stride]
    _declare_output(network, network.graph.output[0].name, dims)
    cut = folder / f"{name}.scores.onnx"
    onnx.save(network, cut)
    export = folder / f"{name}.onnx"
    onnx.save(_upsampled(network, stride), export)
    image_hwc = draw_scene(SCENE_SEED, height=height, width=width).image_hwc
    return Case(
        spec=replace(
            spec,
            preprocessing=replace(spec.preprocessing, resize=Native(), padding=None),
            output=replace(spec.output, name="full_scores"),
        ),
        export=export,
        image_hwc=image_hwc,
        boundary_share=_boundary_share(_run(cut, spec, image_hwc).argmax(axis=0)),
    )


def small_demo(folder: Path) -> tuple[Path, ModelSpec]:
    """Write the demo's network at a quarter of its size, for 20 to 30 pictures a second here."""
    height, width = SMALL_HW
    export = folder / "small-street-demo.onnx"
    onnx.save(demo_network(height, width), export)
    spec = demo_spec()
    fit = FitPad(height=height, width=width)
    return export, replace(
        spec,
        input=replace(spec.input, height=height, width=width),
        preprocessing=replace(spec.preprocessing, resize=fit),
    )


def demo_network(height: int, width: int) -> onnx.ModelProto:
    """Return the demo model for another size.

    The shipped file is for 512x1024, but the network is convolutional and its Resizes have
    constant ratios, so only the declared input size has to change.
    """
    edited = editable(onnx.load(DEMO_ONNX))
    expand_half_weights(edited)
    network = as_proto(edited)
    dims = network.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = height, width
    del network.graph.value_info[:]
    return network


def _exported(spec: ModelSpec, folder: Path, checkpoint: Path | None) -> onnx.ModelProto:
    import torch

    from tritonseg_engines.checkpoints import load_checkpoint
    from tritonseg_engines.zoo.export import export_onnx

    torch.manual_seed(WEIGHTS_SEED)
    network = (
        zoo.build_network(spec.name)
        if checkpoint is None
        else load_checkpoint(spec.name, checkpoint)
    )
    path = folder / f"{spec.name}.exported.onnx"
    export_onnx(network, path, size_hw=spec.input.size_hw, output_name=spec.output.name)
    return onnx.load(path)


def _upsampled(network: onnx.ModelProto, stride: int) -> onnx.ModelProto:
    """Return the network with a bilinear Resize to the picture's size behind it."""
    full = onnx.ModelProto()
    full.CopyFrom(network)
    scores = full.graph.output[0]
    scales = numpy_helper.from_array(np.array([1, 1, stride, stride], np.float32), "full_scales")
    full.graph.initializer.append(scales)
    full.graph.node.append(
        helper.make_node(
            "Resize",
            [scores.name, "", scales.name],
            ["full_scores"],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
    )
    classes, *cells = [dim.dim_value for dim in scores.type.tensor_type.shape.dim[1:]]
    _declare_output(full, "full_scores", [classes, *(stride * cell for cell in cells)])
    return full


def _declare_output(model: onnx.ModelProto, name: str, dims: list[int]) -> None:
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *dims])
    model.graph.output[0].CopyFrom(output)


def _run(path: Path, spec: ModelSpec, image_hwc: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the file's output in ONNX Runtime without the batch axis."""
    mean, scale = np.array(spec.preprocessing.mean), np.array(spec.preprocessing.scale)
    batch = ((image_hwc - mean) / scale).astype(np.float32).transpose(2, 0, 1)[None]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of every initializer that nothing reads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {spec.input.name: batch})
    first: NDArray[np.float32] = output[0]
    return first


def _boundary_share(classes_hw: NDArray[np.int64]) -> float:
    here = classes_hw[:-1, :-1]
    neighbours = (classes_hw[1:, :-1], classes_hw[:-1, 1:], classes_hw[1:, 1:])
    return float(np.any([here != other for other in neighbours], axis=0).mean())
