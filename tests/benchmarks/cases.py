"""Models and pictures that the benchmarks use; anyone can make them again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tritonseg_engines.demo.model import DEMO_ONNX, demo_spec
from tritonseg_engines.graph.half_weights import expand_half_weights
from tritonseg_engines.scenes import draw_scene
from tritonseg_engines.spec import InputSpec, ModelSpec
from tritonseg_steps.geometry import Native

SIZE_HW = (1024, 2048)
SCENE_SEED = 44


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model at one input size, as it is served and as the naive ensemble has it.

    Attributes:
        spec: Of both files.
        cut: The network up to its scores.
        full: The same with the upsampling to full size behind it, as exports have it.
        image_hwc: `(H, W, 3)` uint8 picture of the input's size.
    """

    spec: ModelSpec
    cut: Path
    full: Path
    image_hwc: np.ndarray


def hrnet_case(folder: Path) -> Case:
    """HRNetV2-W18-small-v1 with the demo model's weights at 1024x2048.

    The shipped file is for 512x1024, but the network is convolutional and its Resizes have
    constant ratios, so only the declared input size has to change.
    """
    model = onnx.load(DEMO_ONNX)
    expand_half_weights(model)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = SIZE_HW
    del model.graph.value_info[:]
    spec = demo_spec()
    spec = replace(
        spec,
        name="hrnet-small",
        input=InputSpec(name="image", height=SIZE_HW[0], width=SIZE_HW[1]),
        preprocessing=replace(spec.preprocessing, resize=Native()),
    )
    return _save(folder, spec, model, stride=4)


def fastseg_case(folder: Path) -> Case:
    """fastseg-small with random weights at 1024x2048; needs torch."""
    from tritonseg_engines import zoo
    from tritonseg_engines.export import export_onnx

    spec = zoo.get_spec("fastseg-small")
    path = folder / "fastseg_export.onnx"
    export_onnx(zoo.build_network(spec.name), path, size_hw=SIZE_HW, output_name=spec.output.name)
    return _save(folder, replace(spec, name="fastseg"), onnx.load(path), stride=2)


def _save(folder: Path, spec: ModelSpec, model: onnx.ModelProto, *, stride: int) -> Case:
    output = model.graph.output[0]
    output.type.tensor_type.shape.Clear()
    cut = folder / f"{spec.name}.onnx"
    classes, (height, width) = len(spec.classes), SIZE_HW
    output.CopyFrom(
        helper.make_tensor_value_info(
            output.name,
            TensorProto.FLOAT,
            ["N", classes, height // stride, width // stride],
        )
    )
    onnx.save(model, cut)
    full = folder / f"{spec.name}_full.onnx"
    onnx.save(_upsampled(model, stride, (classes, height, width)), full)
    scene = draw_scene(SCENE_SEED, height=height, width=width)
    return Case(spec=spec, cut=cut, full=full, image_hwc=scene.image_hwc)


def _upsampled(model: onnx.ModelProto, stride: int, dims: tuple[int, int, int]) -> onnx.ModelProto:
    full = onnx.ModelProto()
    full.CopyFrom(model)
    scales = numpy_helper.from_array(np.array([1, 1, stride, stride], np.float32), "full_scales")
    full.graph.initializer.append(scales)
    full.graph.node.append(
        helper.make_node(
            "Resize",
            [full.graph.output[0].name, "", scales.name],
            ["full_scores"],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
    )
    output = helper.make_tensor_value_info("full_scores", TensorProto.FLOAT, ["N", *dims])
    full.graph.output[0].CopyFrom(output)
    return full
