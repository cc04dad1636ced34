"""Prove, before anything is written, that what will be served gives the export's own masks.

Whatever was or was not done to the graph: the export as it came on one side, the prepared network
with the server's steps on the other, both in ONNX Runtime, on pictures of the network's own size
or, where that is open, of sizes that no stride divides. Then the steps alone, for a picture of
another size than the network's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tritonseg_engines.build.export_mask import Mask, mask_of_classes, mask_of_scores
from tritonseg_engines.build.export_truth import ExportTruth
from tritonseg_engines.build.samples import Sample
from tritonseg_engines.running.networks import class_map_of, infer_in_onnx_runtime
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.geometry import Geometry, Size
from tritonseg_steps.resize_policy import Native, ResizePolicy
from tritonseg_steps.upsampling import Upsampling

MINIMUM_EQUAL_PIXELS = 0.9999
MINIMUM_OF_CLASS_MAPS = 0.999
"""Where the export gives classes alone: which pixels are near ties cannot be told."""
MINIMUM_IN_HALF = 0.995
"""The same in a file that computes in float16: ONNX Runtime rounds between its operators or not, as
its optimizer finds it, which moves up to 0.2 % of the pixels of small random networks."""
MINIMUM_IN_HALF_AND_INT8 = 0.985
"""Where int8 is between float16 values, that moves whole steps, in every export."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherSize:
    """A picture of another size than the network's, whose class map the steps interpolate.

    Attributes:
        image_hw: Its size.
        network_hw: Of the network's input.
        equal_pixels: Share of the stable pixels at which the argmax step gives what the
            specification's `output.upsampling` means.
        unlike_export: Share of all pixels that are of another class where the export's own
            output is resized instead; 0 where that is what the specification says.
    """

    image_hw: Size
    network_hw: Size
    equal_pixels: float
    unlike_export: float

    def __str__(self) -> str:
        """Return what is done with it, and what else could be."""
        (height, width), network = self.image_hw, "x".join(map(str, self.network_hw))
        picture = f"a picture of {height}x{width} in a network of {network}"
        if self.unlike_export == 0:
            return f"{picture}, the class map is the export's own output resized"
        return (
            f"{picture}, scores are interpolated once, straight to the picture; the export's own "
            f"output resized (output.upsampling: export) has another class at "
            f"{self.unlike_export:.2%} of the pixels"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """How the two compare.

    Attributes:
        equal_pixels: Share of the stable pixels with the same class, of the picture where it is
            smallest.
        minimum: What it must be.
        worst: That picture, with its size.
        sizes_hw: Sizes that were compared.
        classes: How many classes the export gave the pixels of all pictures.
        other_size: Of a picture that is not the network's size; None where there is none.
    """

    equal_pixels: float
    minimum: float
    worst: str
    sizes_hw: tuple[Size, ...]
    classes: int
    other_size: OtherSize | None = None

    @property
    def holds(self) -> bool:
        """Whether that is enough."""
        other = 1.0 if self.other_size is None else self.other_size.equal_pixels
        return min(self.equal_pixels, other) >= self.minimum


def prove_boundary(
    samples: Sequence[Sample],
    truth: ExportTruth,
    network: onnx.ModelProto,
    upsampling: Upsampling,
    spec: ModelSpec,
    known: Mapping[str, NDArray[Any]],
    *,
    in_int8: bool = False,
) -> tuple[Proof, list[Sample]]:
    """Compare the export's own masks with the prepared network's between the server's steps.

    Args:
        samples: The export's answers.
        truth: The export.
        network: What is compared with it, in float32.
        upsampling: What the argmax step does with its output.
        spec: Of the model.
        known: The network's outputs, by question, as far as it was run before.
        in_int8: Whether the export computes in int8.

    Returns:
        How they compare; and the samples with, where there is one, that of another size.

    Raises:
        OnnxModelError: The network cannot be run, or one of the two gives no classes.
    """
    infer = infer_in_onnx_runtime(network)
    outputs = [
        known[sample.question.name]
        if sample.question.name in known
        else infer(sample.question.batch_nchw)[0]
        for sample in samples
    ]
    samples = [
        _without_classes_of_nan(sample, output, upsampling)
        for sample, output in zip(samples, outputs, strict=True)
    ]
    equal, worst = min(
        (sample.share_equal(output, upsampling, len(spec.classes)), sample.question.name)
        for sample, output in zip(samples, outputs, strict=True)
    )
    # Decisions, as a Round gives them, say no more than a class map of what was nearly a tie.
    gives_classes = all(sample.mask is None or sample.mask.stable_hw.all() for sample in samples)
    shown = [sample.classes() for sample in samples]
    richest = max(range(len(shown)), key=lambda index: len(shown[index]))
    other = _of_other_size(samples[richest], truth, outputs[richest], upsampling, spec)
    proof = Proof(
        equal_pixels=equal,
        minimum=_minimum(gives_classes, in_half=truth.in_half, in_int8=in_int8),
        worst=worst,
        sizes_hw=tuple(dict.fromkeys(sample.question.geometry.image_hw for sample in samples)),
        classes=len(frozenset().union(*shown)),
        other_size=None if other is None else other[1],
    )
    return proof, [*samples] if other is None else [*samples, other[0]]


def _without_classes_of_nan(sample: Sample, output: NDArray[Any], upsampling: Upsampling) -> Sample:
    """Return that a picture means no classes where an ArgMax in the export took them of NaN."""
    if not sample.question.extreme or upsampling.kind != "scores" or np.isfinite(output).all():
        return sample
    return replace(sample, mask=None)


def _minimum(gives_classes: bool, *, in_half: bool, in_int8: bool) -> float:
    """Return the share of pixels that an export's own rounding leaves equal."""
    if in_half and in_int8:
        return MINIMUM_IN_HALF_AND_INT8
    if not gives_classes:
        return MINIMUM_EQUAL_PIXELS
    return MINIMUM_IN_HALF if in_half else MINIMUM_OF_CLASS_MAPS


def _of_other_size(
    sample: Sample,
    truth: ExportTruth,
    output: NDArray[Any],
    upsampling: Upsampling,
    spec: ModelSpec,
) -> tuple[Sample, OtherSize] | None:
    """Return the same as if the picture had another size, and how that compares.

    The network's own input stays what it is.
    """
    geometry = _other_geometry(spec.preprocessing.resize, sample.question.geometry)
    if geometry is None:
        return None
    name = f"a picture of {geometry.image_hw[0]}x{geometry.image_hw[1]}"
    as_export = truth.mask(sample.output, geometry)
    mask = (
        as_export
        if spec.output.upsampling == "export"
        else interpolated_once(output, geometry, upsampling)
    )
    other = Sample(
        question=replace(sample.question, name=name, geometry=geometry),
        output=sample.output,
        mask=mask,
    )
    actual_hw = class_map_of(output, geometry, upsampling)
    return other, OtherSize(
        image_hw=geometry.image_hw,
        network_hw=geometry.network_hw,
        equal_pixels=mask.share_equal(actual_hw),
        unlike_export=float((actual_hw != as_export.classes_hw).mean()),
    )


def _other_geometry(resize: ResizePolicy, own: Geometry) -> Geometry | None:
    """Return where a picture of another size would lie in the same input, None if none can."""
    height, width = own.network_hw
    if isinstance(resize, Native):
        part = resize.size_divisor // 2
        if part == 0:
            return None
        geometry = resize.geometry((max(1, height - part), max(1, width - part)))
        return geometry if geometry.network_hw == own.network_hw else None
    image_hw = (height * 5 // 4 + 1, width * 3 // 8 + 1)
    geometry = resize.geometry(image_hw)
    return geometry if geometry.network_hw == own.network_hw else replace(own, image_hw=image_hw)


def interpolated_once(output: NDArray[Any], geometry: Geometry, upsampling: Upsampling) -> Mask:
    """Return what the network's own output means at the picture's size, in one step."""
    if upsampling.kind == "class_map":
        return mask_of_classes(output.astype(np.int64), geometry)
    return mask_of_scores(output, geometry, align_corners=upsampling.align_corners)
