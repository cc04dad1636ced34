"""Make TensorRT compute in the types that the ONNX file has: the one place that knows versions.

From TensorRT 10 on a network is *strongly typed*: what the file says is what is computed, and
there is nothing else to say (TensorRT 11 knows no other way). TensorRT 8.6 chooses types by speed
among those that its builder flags allow; there the flags come from the file, and layers that the
file keeps in float32 are pinned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.tensorrt.onnx_types import OnnxTypes

_COUNTED: Final = re.compile(r"_\d+$")
"""The parser numbers the further layers that it makes of one node."""


def check_types(trt: Any, types: OnnxTypes) -> None:
    """Refuse int8 beside float16 where TensorRT cannot read it, before it takes minutes to fail.

    The parser of 8.6 takes a float16 scale for one that is not positive (measured on 8.6.0).

    Raises:
        OnnxModelError: The file has float16 scales, and this TensorRT is older than 10.
    """
    if types.has_half_scales and not hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        raise OnnxModelError(
            "int8 beside fp16, as it is built for TensorRT, needs TensorRT 10 or newer; got "
            f"{trt.__version__}. Build fp16 or fp32 here"
        )


def create_typed_network(trt: Any, builder: Any, config: Any, types: OnnxTypes) -> Any:
    """Return an empty network that will compute in the file's types.

    Args:
        trt: NVIDIA's module.
        builder: Makes the network.
        config: Gets the builder flags that weak typing needs, if any.
        types: What the file says.
    """
    strongly_typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    if strongly_typed is not None:
        return builder.create_network(1 << int(strongly_typed))
    allowed = []
    if types.has_half:
        allowed += [
            getattr(trt.BuilderFlag, "FP16", None),
            getattr(trt.BuilderFlag, "OBEY_PRECISION_CONSTRAINTS", None),
        ]
    if types.is_quantized:
        allowed += [getattr(trt.BuilderFlag, "INT8", None)]
    for flag in allowed:
        if flag is not None:
            config.set_flag(flag)
    # Without it 8.6 makes a network whose batch axis is implicit, which ONNX cannot be read into.
    explicit_batch = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    return builder.create_network(0 if explicit_batch is None else 1 << int(explicit_batch))


def pin_float32_layers(trt: Any, network: Any, types: OnnxTypes) -> tuple[str, ...]:
    """Pin what the file computes in float32, where TensorRT would be free to lower it.

    Args:
        trt: NVIDIA's module.
        network: As parsed; changed in place.
        types: What the file says.

    Returns:
        The names of the layers that were pinned; none under strong typing.
    """
    if hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED") or not types.has_half:
        return ()
    layers = [layer for layer in layers_of(network) if _node_of(layer.name, types.float32_nodes)]
    return tuple(layer.name for layer in layers if _pin(trt, layer))


def layer_names(network: Any) -> tuple[str, ...]:
    """Return the names of all layers."""
    return tuple(layer.name for layer in layers_of(network))


def layers_of(network: Any) -> Iterable[Any]:
    """Return the layers themselves."""
    return (network.get_layer(index) for index in range(network.num_layers))


def _node_of(layer_name: str, nodes: frozenset[str]) -> bool:
    return layer_name in nodes or _COUNTED.sub("", layer_name) in nodes


def _pin(trt: Any, layer: Any) -> bool:
    """Pin a layer if all it computes is float32; constants and shapes of the node are not."""
    outputs = [layer.get_output(index) for index in range(layer.num_outputs)]
    if layer.type in (trt.LayerType.CONSTANT, trt.LayerType.SHAPE):
        return False
    if any(tensor.dtype != trt.DataType.FLOAT for tensor in outputs):
        return False
    if hasattr(layer, "precision"):
        layer.precision = trt.DataType.FLOAT
    if hasattr(layer, "set_output_type"):
        for index in range(layer.num_outputs):
            layer.set_output_type(index, trt.DataType.FLOAT)
    return True
