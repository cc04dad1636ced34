"""The precision of every layer that multiplies: the file's, the parsed network's, the engine's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import onnx

from tritonseg_engines.gate.layer_precision import LayerPrecision
from tritonseg_engines.graph.multiplications import MULTIPLYING, multiply_accumulates
from tritonseg_engines.graph.sized_tensors import SizedTensor
from tritonseg_engines.precision.checked_graph import CheckedGraph
from tritonseg_engines.precision.quantize import why_not_int8
from tritonseg_engines.preflight.compiler import Answer
from tritonseg_engines.tensorrt.number_types import BITS, number_type, widest
from tritonseg_engines.tensorrt.onnx_types import layer_name

MOST_BITS: Final = max(BITS.values())
UNKNOWN: Final = "unknown"
SIDE_BY_SIDE: Final = "+"
"""Between the names of layers that an engine computes as one product."""


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
    lowest = min(asked.values(), key=lambda name: BITS.get(name, MOST_BITS), default="fp32")
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


def answered(
    layers: Sequence[LayerPrecision], names: Sequence[str], answer: Answer
) -> tuple[LayerPrecision, ...]:
    """Return the rows with what the compiler made of the layers.

    Args:
        layers: As the file has them.
        names: Of the layers, as the compiler was told them; no two are the same.
        answer: The compiler's.
    """
    network = _by_node(answer)
    engine = {
        name: next(iter(layer["reads"]), None)
        for layer in answer.engine
        for name in layer["name"].split(SIDE_BY_SIDE)
    }
    return tuple(
        replace(layer, network=network.get(name), engine=engine.get(name))
        for layer, name in zip(layers, names, strict=True)
    )


def disagreements(layers: Sequence[LayerPrecision]) -> list[str]:
    """Return a sentence for every layer that NVIDIA computes otherwise than the file says.

    An engine may compute in more bits than asked for, which costs time and no digits.
    """
    found = []
    for layer in layers:
        if layer.network not in (None, layer.asked) and layer.asked != UNKNOWN:
            found.append(
                f"{layer.node} ({layer.operator}): the file says {layer.asked}, NVIDIA's parser "
                f"made {layer.network} of it"
            )
        elif BITS.get(layer.engine or "", MOST_BITS) < BITS.get(layer.asked, 0):
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
        quantized = [graph.quantized_type(value) for value in node.inputs[:2]]
        types = [number_type(dtype.name) for dtype in quantized if dtype is not None]
        dtype = graph.type_of(node.outputs[0])
        asked = UNKNOWN if dtype is None else number_type(dtype.name)
        found[node.outputs[0].name or ""] = widest(types) if len(types) == 2 else asked
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
