"""From the fp32 network to the one of a build's precision, with what was decided on the way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from tritonseg_engines.errors import CalibrationError, OnnxModelError
from tritonseg_engines.precision.activations import (
    Batches,
    Range,
    activation_histograms,
    activation_ranges,
    float_tensors,
)
from tritonseg_engines.precision.calibrators import CALIBRATORS
from tritonseg_engines.precision.half import half_precision
from tritonseg_engines.precision.opset import PER_CHANNEL_OPSET, with_opset
from tritonseg_engines.precision.quantize import (
    calibrated_tensors,
    quantizable_layers,
    quantize,
)
from tritonseg_engines.precision.sensitive import named_nodes, sensitive_nodes
from tritonseg_engines.progress import Progress, unheard
from tritonseg_engines.running.networks import ServerSteps
from tritonseg_engines.running.pictures import Pictures


@dataclass(frozen=True, kw_only=True, slots=True)
class Converted:
    """A network in a precision.

    Attributes:
        model: With float32 input and output.
        kept_float: Nodes left in fp32 by intent, with the reason.
        quantized: Nodes that compute in int8.
    """

    model: onnx.ModelProto = field(repr=False)
    kept_float: Mapping[str, str]
    quantized: tuple[str, ...] = ()


def convert_to_half(
    network: onnx.ModelProto, batches: Batches, keep_fp32: Sequence[str] = ()
) -> Converted:
    """Return the network in fp16, with what does not fit fp16 in fp32.

    Args:
        network: In fp32; every node has a name of its own.
        batches: Inputs from which the magnitude of values is learnt.
        keep_fp32: Patterns of node names to leave in fp32.

    Raises:
        SpecificationError: A pattern matches no node.
    """
    ranges = activation_ranges(network, float_tensors(network), batches)
    kept = sensitive_nodes(network, ranges, keep_fp32)
    return Converted(model=half_precision(network, kept), kept_float=kept)


class Int8Conversion:
    """Calibrated once, converts any choice of layers.

    Args:
        network: In fp32; every node has a name of its own.
        batches: Calibration pictures.
        count: How many.
        calibrator: A key of `CALIBRATORS`.
        keep_fp32: Patterns of node names to leave in fp32.
        half_rest: Whether what is not int8 becomes fp16 (for TensorRT) or stays fp32.
        weight_bits: 8, or 7 for CPUs without VNNI.
        progress: Told of the passes over the pictures.

    Raises:
        CalibrationError: The calibrator is unknown.
        SpecificationError: A pattern matches no node.
        OnnxModelError: No layer can be quantized.
    """

    def __init__(
        self,
        network: onnx.ModelProto,
        batches: Batches,
        count: int,
        *,
        calibrator: str,
        keep_fp32: Sequence[str] = (),
        half_rest: bool,
        weight_bits: int = 8,
        progress: Progress = unheard,
    ) -> None:
        if calibrator not in CALIBRATORS:
            raise CalibrationError(
                f"calibrator: expected one of {', '.join(CALIBRATORS)}, got {calibrator!r}"
            )
        self._network = network = with_opset(network, PER_CHANNEL_OPSET)
        self._half_rest, self._weight_bits = half_rest, weight_bits
        named = named_nodes(network, keep_fp32)  # before the long part, in case one is misspelt
        ranges = activation_ranges(
            network,
            float_tensors(network),
            batches,
            _within(progress, "measuring ranges", count),
        )
        self._kept = {**sensitive_nodes(network, ranges), **named} if half_rest else named
        self.layers = [name for name in quantizable_layers(network) if name not in self._kept]
        if not self.layers:
            raise OnnxModelError(_nothing_to_quantize(network, named))
        self.thresholds = self._thresholds(ranges, batches, count, calibrator, progress)

    def convert(self, layers: Collection[str]) -> Converted:
        """Return the network with these layers in int8."""
        model = quantize(
            self._network,
            self.thresholds,
            layers,
            store_int8=not self._half_rest,
            weight_bits=self._weight_bits,
        )
        kept = {name: "costs too much in int8" for name in self.layers if name not in layers}
        kept |= self._kept
        if self._half_rest:
            model = half_precision(model, self._kept)
        return Converted(model=model, kept_float=kept, quantized=tuple(layers))

    def _thresholds(
        self,
        ranges: Mapping[str, Range],
        batches: Batches,
        count: int,
        calibrator: str,
        progress: Progress,
    ) -> dict[str, float]:
        tensors = calibrated_tensors(self._network, self.layers)
        histograms = activation_histograms(
            self._network,
            {tensor: ranges[tensor] for tensor in tensors},
            batches,
            _within(progress, "counting values", count),
        )
        threshold = CALIBRATORS[calibrator]
        return {tensor: threshold(histogram) for tensor, histogram in histograms.items()}


def batches_of(pictures: Pictures, steps: ServerSteps) -> Batches:
    """Return the network's inputs for pictures, made one at a time at every call."""
    return lambda: (steps.batch(picture) for picture in pictures)


def _nothing_to_quantize(network: onnx.ModelProto, named: Mapping[str, str]) -> str:
    layers = quantizable_layers(network)
    if not layers:
        return (
            "int8: the export has no convolution or product with constant weights; build it with "
            "--precision fp16 or fp32"
        )
    if named.keys() >= set(layers):
        return f"int8: --keep-fp32 names all {len(layers)} layers, which leaves none to quantize"
    return (
        f"int8: the values of all {len(layers)} layers exceed what fp16 beside int8 holds; build "
        "it with --precision fp32"
    )


def _within(progress: Progress, what: str, count: int) -> Callable[[int], None]:
    # Histograms of a large network go over the pictures several times.
    return lambda done: progress(what, (done - 1) % count + 1, count)
