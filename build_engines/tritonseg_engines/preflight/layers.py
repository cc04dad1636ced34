"""The precision of every layer that multiplies: the file's, the parsed network's, the engine's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import onnx

from tritonseg_engines.gate.layer_precision import LayerPrecision
from tritonseg_engines.graph.multiplications import MULTIPLYING, multiply_accumulates
from tritonseg_engines.graph.sized_tensors import SizedTensor
from tritonseg_engines.precision.checked_graph import CheckedGraph, quantized_source
from tritonseg_engines.precision.quantize import why_not_int8
from tritonseg_engines.preflight.compiler import Answer
from tritonseg_engines.tensorrt.onnx_types import layer_name

NAMES: Final = {"FLOAT": "fp32", "FLOAT16": "fp16", "BFLOAT16": "bf16", "DOUBLE": "fp64"}
BITS: Final = {"int8": 8, "fp16": 16, "bf16": 16, "fp32": 32, "fp64": 64}


def asked_layers(
    model: onnx.ModelProto,
    tensors: Mapping[str, SizedTensor],
    kept_float: Mapping[str, str],
) -> tuple[LayerPrecision, ...]:
    """Return a row for every layer that multiplies, in the order of the graph, as the file has it.

    Args:
        model: The graph.
        tensors: Its tensors, for one picture.
        kept_float: Nodes in high precision by intent, with the reason.
    """
    graph = CheckedGraph(model)
    asked = _asked(graph)
    lowest = min(asked.values(), key=_bits, default="fp32")
    built_so = _never_int8(graph) if lowest == "int8" else {}
    rows = []
    for node in model.graph.node:
        if node.op_type not in MULTIPLYING:
            continue
        name, precision = layer_name(node), asked[node.output[0]]
        why = kept_float.get(name) or built_so.get(node.output[0], "the graph has it so")
        rows.append(
            LayerPrecision(
                node=name,
                operator=node.op_type,
                asked=precision,
                network=None,
                engine=None,
                macs=multiply_accumulates(node, tensors),
                why="" if precision == lowest else why,
            )
        )
    return tuple(rows)


def answered(layers: Sequence[LayerPrecision], answer: Answer) -> tuple[LayerPrecision, ...]:
    """Return the rows with what the compiler made of the layers."""
    network = _by_node(answer)
    engine = {layer["name"]: layer["reads"] for layer in answer.engine}
    return tuple(
        replace(
            layer,
            network=network.get(layer.node),
            engine=next(iter(engine.get(layer.node, ())), None),
        )
        for layer in layers
    )


def disagreements(layers: Sequence[LayerPrecision]) -> list[str]:
    """Return a sentence for every layer that NVIDIA computes otherwise than the file says.

    An engine may compute in more bits than asked for, which costs time and no digits.
    """
    found = []
    for layer in layers:
        if layer.network not in (None, layer.asked):
            found.append(
                f"{layer.node} ({layer.operator}): the file says {layer.asked}, NVIDIA's parser "
                f"made {layer.network} of it"
            )
        elif layer.engine is not None and _bits(layer.engine) < _bits(layer.asked):
            found.append(
                f"{layer.node} ({layer.operator}): the file says {layer.asked}, the engine "
                f"computes it in {layer.engine}"
            )
    return found


def _asked(graph: CheckedGraph) -> dict[str, str]:
    """Return the precision that the file says, by the name of a layer's output."""
    found = {}
    for node in graph.nodes:
        if node.op_type not in MULTIPLYING:
            continue
        if all(quantized_source(value) is not None for value in node.inputs[:2]):
            precision = "int8"
        else:
            dtype = graph.type_of(node.outputs[0])
            name = "unknown" if dtype is None else dtype.name
            precision = NAMES.get(name, name.lower())
        found[node.outputs[0].name or ""] = precision
    return found


def _never_int8(graph: CheckedGraph) -> dict[str, str]:
    """Return why no quantizer of ours makes int8 of some layers, by the name of their output."""
    reasons = {node.outputs[0].name or "": why_not_int8(node) for node in graph.layers()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _by_node(answer: Answer) -> dict[str, str]:
    """Return the parsed precision by the ONNX node that a layer says it comes from."""
    found = {}
    for layer in answer.multiplying:
        origin = layer["origin"].removeprefix("[ONNX Layer: ").removesuffix("]")
        found[origin or layer["name"]] = layer["precision"]
    return found


def _bits(precision: str) -> int:
    return BITS.get(precision, max(BITS.values()))
