"""A small network with what conversion meets in large ones: a residual block and an activation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tritonseg_engines.spec import InputSpec, ModelSpec, OutputSpec, voc_palette
from tritonseg_steps.preprocessing import Preprocessing

SIZE_HW = (64, 96)
CHANNELS = 8
CLASSES = 4


def residual_network(*, overflow: bool = False, seed: int = 0) -> onnx.ModelProto:
    """stem (stride 4) → ReLU → [conv, ReLU, conv, + skip, ReLU] → 1x1 scores; NORMALIZED/SCORES.

    With `overflow`, values are multiplied by 1e5 and by 1e-5 on the way, which fp32 does not mind.
    """
    rng = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, np.ndarray] = {}

    def conv(name: str, source: str, outputs: int, inputs: int, size: int, stride: int = 1) -> str:
        gain = np.sqrt(2 / (inputs * size * size))
        constants[f"{name}.weight"] = rng.normal(0, gain, (outputs, inputs, size, size))
        constants[f"{name}.bias"] = rng.normal(0, 0.1, outputs)
        pads = [size // 2] * 4 if stride == 1 else [0] * 4
        inputs_of = [source, f"{name}.weight", f"{name}.bias"]
        nodes.append(
            helper.make_node("Conv", inputs_of, [name], name, strides=[stride] * 2, pads=pads)
        )
        return name

    def node(op_type: str, name: str, *sources: str) -> str:
        nodes.append(helper.make_node(op_type, list(sources), [name], name))
        return name

    tensor = node("Relu", "stem_relu", conv("stem", "NORMALIZED", CHANNELS, 3, 4, stride=4))
    if overflow:
        constants["huge"], constants["tiny"] = np.array(1e5), np.array(1e-5)
        tensor = node("Mul", "shrunk", node("Mul", "grown", tensor, "huge"), "tiny")
    inner = node("Relu", "inner_relu", conv("first", tensor, CHANNELS, CHANNELS, 3))
    summed = node("Add", "residual", conv("second", inner, CHANNELS, CHANNELS, 3), tensor)
    conv("SCORES", node("Relu", "outer_relu", summed), CLASSES, CHANNELS, 1)
    nodes[-1].name = "head"
    graph = helper.make_graph(
        nodes,
        "residual",
        [helper.make_tensor_value_info("NORMALIZED", TensorProto.FLOAT, ["N", 3, *SIZE_HW])],
        [helper.make_tensor_value_info("SCORES", TensorProto.FLOAT, ["N", CLASSES, 16, 24])],
        [numpy_helper.from_array(v.astype(np.float32), name) for name, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def residual_spec(**changes: object) -> ModelSpec:
    """The specification of `residual_network` saved as an export."""
    fields = {
        "name": "residual",
        "input": InputSpec(name="NORMALIZED", height=SIZE_HW[0], width=SIZE_HW[1]),
        "preprocessing": Preprocessing(mean=(127.5,) * 3, scale=(60.0,) * 3),
        "output": OutputSpec(name="SCORES"),
        "classes": tuple(f"class {index}" for index in range(CLASSES)),
        "palette": voc_palette(CLASSES),
        **changes,
    }
    return ModelSpec(**fields)


def smooth_batch(seed: int, size_hw: tuple[int, int] = SIZE_HW) -> np.ndarray:
    """`(1, 3, h, w)` float32 of blurred noise."""
    coarse = np.random.default_rng(seed).normal(0, 1, (1, 3, size_hw[0] // 8, size_hw[1] // 8))
    return coarse.repeat(8, axis=2).repeat(8, axis=3).astype(np.float32)


def write_pictures(folder: Path, count: int, *, seed: int = 0) -> Path:
    """Write PNGs of coloured blocks of the network's size."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        blocks = rng.integers(0, 256, (SIZE_HW[0] // 8, SIZE_HW[1] // 8, 3), np.uint8)
        Image.fromarray(blocks.repeat(8, axis=0).repeat(8, axis=1)).save(folder / f"{index:03}.png")
    return folder
