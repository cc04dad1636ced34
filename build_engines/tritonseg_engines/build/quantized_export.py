"""Exports that were quantized before they came here: their int8 stays, and is judged as int8.

There is no float network to go back to, so that nothing of them can be quantized again or left out
of int8. The reference is the file itself; what a runtime makes of its steps differs by a step here
and there, which is what int8's bounds allow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tritonseg_engines.build.options import MODELOPT
from tritonseg_engines.build.order import BuildOrder
from tritonseg_engines.errors import OnnxModelError, SpecificationError
from tritonseg_engines.precision import Converted, Finding, batches_of, convert_to_half
from tritonseg_engines.precision.existing import ExistingInt8, Form
from tritonseg_engines.precision.float_pads import with_float_pads
from tritonseg_engines.precision.structure import (
    CHOICE_RULES,
    SYMMETRY_RULES,
    check_conversion,
    check_releases,
)
from tritonseg_engines.target import Precision

QUANTIZE_AGAIN = "quantize it again with Q/DQ pairs (onnxruntime's QuantFormat.QDQ)"
FROM_FLOAT = "export it in float and build that with --precision int8"


def keeps_as_it_is(order: BuildOrder) -> bool:
    """Whether the network is served in the very types of the file: all but fp16 beside int8."""
    precision = order.target.precision
    halves = precision is Precision.FP16 or (precision is Precision.INT8 and order.target.on_gpu)
    return not halves


def refuse_options(order: BuildOrder, existing: ExistingInt8) -> None:
    """Refuse what cannot be done with a file that is quantized.

    Raises:
        SpecificationError: An option asks for that.
    """
    options, is_int8 = order.options, order.target.precision is Precision.INT8
    if options.quantizer == MODELOPT and is_int8:
        raise _refused(existing, "leave out --quantizer modelopt, which quantizes float networks")
    if options.max_miou_drop is not None:
        raise _refused(existing, "leave out --max-miou-drop, which chooses among float layers")
    if options.keep_fp32 and keeps_as_it_is(order):
        raise _refused(existing, "leave out --keep-fp32: its int8 stays as it is")
    if existing.form is not Form.PAIRS and order.target.on_gpu:
        raise _refused(existing, f"TensorRT does not read that: {QUANTIZE_AGAIN}, or {FROM_FLOAT}")
    if existing.form is not Form.PAIRS and not keeps_as_it_is(order):
        raise _refused(
            existing,
            "what is beside integer operators does not become fp16: build it with --precision "
            f"fp32, which keeps all as it is, or {QUANTIZE_AGAIN}",
        )


def convert_quantized(order: BuildOrder, existing: ExistingInt8) -> Converted:
    """Return the network as it is, or with fp16 beside its int8."""
    network = order.prepared.network
    if not order.target.on_gpu:
        network = with_float_pads(network)
    if keeps_as_it_is(order):
        return Converted(model=network, kept_float={}, quantized=existing.layers)
    batches = batches_of(order.pictures.for_ranges(), order.prepared.server_steps)
    half = convert_to_half(network, batches, order.options.keep_fp32)
    return Converted(model=half.model, kept_float=half.kept_float, quantized=existing.layers)


def check_quantized(order: BuildOrder, converted: Converted) -> list[Finding]:
    """Return places of Q/DQ that only cost speed; OpenVINO takes what TensorRT does not.

    Raises:
        OnnxModelError: The runtime does not take the graph.
    """
    if not order.target.on_gpu:
        check_conversion(
            converted, order.target.precision, tolerated=(*CHOICE_RULES, *SYMMETRY_RULES)
        )
        return []
    try:
        check_releases(converted.model)
        return check_conversion(converted, order.target.precision, tolerated=CHOICE_RULES)
    except OnnxModelError as error:
        raise OnnxModelError(
            f"the export is quantized already, in a way that TensorRT does not take: {error}; "
            f"{FROM_FLOAT}, or quantize it symmetrically, with float biases and Q/DQ pairs"
        ) from error


@contextmanager
def remedy_for(existing: ExistingInt8 | None) -> Iterator[None]:
    """Say with an error of the runtime what a user whose file has integer operators may do."""
    try:
        yield
    except OnnxModelError as error:
        if existing is None or existing.form is Form.PAIRS:
            raise
        raise OnnxModelError(
            f"{error}; the export is quantized already ({existing}): {QUANTIZE_AGAIN}, or "
            f"{FROM_FLOAT}"
        ) from error


def _refused(existing: ExistingInt8, remedy: str) -> SpecificationError:
    return SpecificationError(f"the export is quantized already ({existing}): {remedy}")
