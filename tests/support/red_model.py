"""A real model whose class map is the picture's red channel: every mask names its picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tritonseg_engines.build.model import build_model
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.spec import InputSpec, ModelSpec, OutputSpec, voc_palette
from tritonseg_steps.contract import QUEUE_PARAMETER
from tritonseg_steps.preprocessing import Preprocessing

RED_MODEL = "red"
RED_CLASSES = 16


def red_network() -> onnx.ModelProto:
    """Scores 2cr - c² of class c for red value r: largest for c = r, without rounding."""
    classes = np.arange(RED_CLASSES, dtype=np.float32)
    weight = np.zeros((RED_CLASSES, 3, 1, 1), np.float32)
    weight[:, 0, 0, 0] = 2 * classes
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weight", "bias"], ["output"], kernel_shape=[1, 1])],
        "red",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, None, None])],
        [onnx.ValueInfoProto(name="output")],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(-(classes**2), "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def red_spec() -> ModelSpec:
    """The specification of `red_network`: any size, pixels as they are."""
    return ModelSpec(
        name=RED_MODEL,
        input=InputSpec(name="image", height=None, width=None),
        preprocessing=Preprocessing(mean=(0.0,) * 3, scale=(1.0,) * 3),
        output=OutputSpec(name="output", kind="scores", upsampling="direct"),
        classes=tuple(f"red {value}" for value in range(RED_CLASSES)),
        palette=voc_palette(RED_CLASSES),
    )


def build_red_model(folder: Path) -> Path:
    """Build it, with a line that hundreds of callers fit in; return the repository."""
    export, repository = folder / "red.onnx", folder / "repository"
    onnx.save(red_network(), export)
    build_model(red_spec(), export, repository, layout="single")
    path = repository / RED_MODEL / "config.pbtxt"
    config = read_config(path)
    config.parameters[QUEUE_PARAMETER].string_value = "1024"
    path.write_text(str(config))
    return repository


@contextmanager
def red_server(folder: Path) -> Iterator[TritonServer]:
    """Serve it from a real Triton."""
    with TritonServer(ServerConfig(repositories=(build_red_model(folder),))) as server:
        yield server


def red_picture(number: int, size_hw: tuple[int, int] = (16, 24)) -> np.ndarray:
    """The picture of a number, (H, W, 3) uint8; the right mask of it is its red channel."""
    rng = np.random.default_rng(number)
    height, width = size_hw[0] + number % 7, size_hw[1] + number % 5
    return rng.integers(0, RED_CLASSES, (height, width, 3)).astype(np.uint8)
