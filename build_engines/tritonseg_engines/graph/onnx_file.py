"""ONNX files in and out: read with errors one can act on, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.errors import OnnxModelError, reason_of
from tritonseg_engines.graph.node_order import put_in_order

MINIMUM_OPSET = 11
"""Before opset 11, Resize and Upsample knew only asymmetric coordinates, so exports of bilinear
upsampling are silently wrong (13 % of the pixels of an HRNet)."""

KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""ONNX's own, and what ONNX Runtime adds."""
_TOO_LARGE = "too large"
"""onnx.checker's words for it, and for nothing else."""


def load_onnx(path: Path) -> onnx.ModelProto:
    """Read and check an ONNX model; its nodes come in the order in which they can run.

    Raises:
        OnnxModelError: The file is unreadable, no ONNX, invalid, or of an opset below 11.
    """
    try:
        model = _parsed(path)
    except FileNotFoundError as error:
        missing = error.filename or path
        raise OnnxModelError(f"{missing}: no such file") from error
    except OSError as error:
        raise OnnxModelError(f"{path}: cannot be read: {error.strerror}") from error
    except (DecodeError, UnicodeDecodeError) as error:
        raise OnnxModelError(f"{path}: expected an ONNX model, got something else") from error
    except onnx.checker.ValidationError as error:
        raise OnnxModelError(f"{path}: not a valid ONNX model: {reason_of(error)}") from error
    except OnnxModelError:
        raise
    except ValueError as error:
        # The checker's of what protobuf cannot hold; and of data beside the file that is cut off.
        raise OnnxModelError(f"{path}: {_unreadable(error)}") from error
    _refuse_foreign_operators(model, path)
    opset = default_opset(model)
    if opset < MINIMUM_OPSET:
        raise OnnxModelError(
            f"{path}: expected opset {MINIMUM_OPSET} or newer, got {opset}, in which bilinear "
            "upsampling has other coordinates than in the frameworks; export it again"
        )
    return model


def _parsed(path: Path) -> onnx.ModelProto:
    # What lies beside a file lies beside the file itself, not beside a link to it.
    model = onnx.load(path.resolve() if path.is_symlink() else path)
    if not model.ir_version and not model.HasField("graph"):
        raise OnnxModelError(f"{path}: expected an ONNX model, got an empty file")
    put_in_order(model.graph)
    _check(model)
    return model


def _unreadable(error: ValueError) -> str:
    if _TOO_LARGE in str(error):
        return (
            "weights and graph take more than 2 GiB, which nothing that reads ONNX holds in one "
            "piece; export a smaller network, or in float16"
        )
    return f"not a valid ONNX model: {reason_of(error)}"


def _check(model: onnx.ModelProto) -> None:
    """Check a model, whose outputs may lack a shape: the checker wants one, no runtime does."""
    types = [value.type.tensor_type for value in model.graph.output]
    open_ones = [tensor for tensor in types if tensor.elem_type and not tensor.HasField("shape")]
    for tensor in open_ones:
        tensor.shape.SetInParent()
    try:
        onnx.checker.check_model(model)
    finally:
        for tensor in open_ones:
            tensor.ClearField("shape")


def _refuse_foreign_operators(model: onnx.ModelProto, path: Path) -> None:
    """Refuse operators of libraries, of which ONNX Runtime would say that they are not registered.

    The file may bring functions of its own, and ONNX Runtime has some operators more.
    """
    own = {function.domain for function in model.functions}
    for node in model.graph.node:
        if node.domain not in (*KNOWN_DOMAINS, *own):
            raise OnnxModelError(
                f"{path}: node {node.name or node.output[0]!r} is {node.domain}.{node.op_type}, an "
                "operator of a library and not of ONNX, which no runtime here has; export the "
                "network with ONNX's own operators"
            )


def save_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Check the model and write it whole.

    Raises:
        OnnxModelError: The model is not valid.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = reason_of(error)
        raise OnnxModelError(f"the built network is no valid ONNX: {reason}") from error
    write_atomically(path, model.SerializeToString())


def default_opset(model: onnx.ModelProto) -> int:
    """Return the version of the standard operator set that the model uses."""
    return next((entry.version for entry in model.opset_import if not entry.domain), 0)


def graph_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that a caller must feed; old files list initializers among them."""
    initialized = {initializer.name for initializer in graph.initializer}
    return [value for value in graph.input if value.name not in initialized]


def dimensions(value: onnx.ValueInfoProto) -> list[int | None] | None:
    """Return the tensor's dimensions, None for those left open; None if the rank is unknown."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    return [
        dim.dim_value if dim.HasField("dim_value") else None
        for dim in value.type.tensor_type.shape.dim
    ]


def inferred_values(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Return type and shape of every tensor as far as ONNX can infer them."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return {value.name: value for value in _values(inferred)}


def computes_in_half(model: onnx.ModelProto) -> bool:
    """Whether a tensor is float16, as far as ONNX can infer the types."""
    values = inferred_values(model).values()
    return any(v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16 for v in values)


def _values(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    yield from graph.input
    yield from graph.value_info
    yield from graph.output
