"""Prove, before anything is written, that what will be served gives the export's own masks.

Whatever was or was not done to the graph: the export as it came on one side, the prepared network
with the server's steps on the other, both in ONNX Runtime, on pictures of the network's own size
or, where that is open, of sizes that no stride divides. Then the steps alone, for a picture of
another size than the network's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tritonseg_engines.build.export_mask import Mask, mask_of_classes, mask_of_scores
from tritonseg_engines.build.export_truth import ExportTruth, Question, Sample
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.running.networks import Infer, class_map_of, infer_in_onnx_runtime
from tritonseg_engines.running.pictures import smooth_noise
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.geometry import Geometry, Native, Size
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.preprocessing import Normalizer
from tritonseg_steps.upsampling import Upsampling

MINIMUM_EQUAL_PIXELS = 0.9999
MINIMUM_OF_CLASS_MAPS = 0.999
"""Where the export gives classes alone: which pixels are near ties cannot be told."""
MINIMUM_IN_HALF = 0.995
"""The same in a file that computes in float16: ONNX Runtime rounds between its operators or not, as
its optimizer finds it, which moves up to 0.2 % of the pixels of small random networks."""
MINIMUM_IN_HALF_AND_INT8 = 0.985
"""Where int8 is between float16 values, that moves whole steps, in every export."""
PICTURES = 2
"""Of every size, where it is small."""
LARGE_PIXELS = 1 << 19
OPEN_SIZES = ((256, 512), (97, 131), (61, 200), (17, 640))
"""Height and width: one that every usual stride divides, and some that none does."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """How the two compare.

    Attributes:
        equal_pixels: Share of the stable pixels with the same class, of the picture where it is
            smallest.
        minimum: What it must be.
        worst: That picture, with its size.
        sizes_hw: Sizes that were compared.
        other_size: Of a picture that is not the network's size; None where there is none.
    """

    equal_pixels: float
    minimum: float
    worst: str
    sizes_hw: tuple[Size, ...]
    other_size: OtherSize | None = None

    @property
    def holds(self) -> bool:
        """Whether that is enough."""
        other = 1.0 if self.other_size is None else self.other_size.equal_pixels
        return min(self.equal_pixels, other) >= self.minimum


def questions(spec: ModelSpec, sizes: NetworkSizes) -> Iterator[Question]:
    """Yield what pictures of every size become, as the normalize step makes it.

    Args:
        spec: Says how.
        sizes: What the network takes.

    Raises:
        OnnxModelError: The resize policy leads to no size that it takes.
    """
    normalizer = Normalizer(spec.preprocessing)
    own: dict[Geometry, Size] = {}
    for size_hw in (spec.input.size_hw or OPEN_SIZES[0], *OPEN_SIZES):
        for image_hw in (size_hw, sizes.nearest(size_hw)):
            geometry = normalizer.geometry(image_hw)
            refusal = sizes.refusal(geometry)
            if refusal is None:
                own.setdefault(replace(geometry, image_hw=geometry.content_hw), image_hw)
                break
    if not own:
        raise OnnxModelError(f"resize policy {spec.preprocessing.resize.policy!r}: {refusal}")
    for geometry, size_hw in own.items():
        height, width = geometry.content_hw
        for picture in smooth_noise(size_hw, 1 if height * width >= LARGE_PIXELS else PICTURES):
            yield Question(
                name=f"{picture.name} of {height}x{width}",
                geometry=geometry,
                batch_nchw=normalizer.batch(picture.image_hwc[None]),
            )


def prove_boundary(
    samples: Sequence[Sample],
    truth: ExportTruth,
    network: onnx.ModelProto,
    upsampling: Upsampling,
    spec: ModelSpec,
    *,
    in_int8: bool = False,
) -> Proof:
    """Compare the export's own masks with the prepared network's between the server's steps.

    Args:
        samples: The export's answers.
        truth: The export.
        network: What is compared with it, in float32.
        upsampling: What the argmax step does with its output.
        spec: Of the model.
        in_int8: Whether the export computes in int8.

    Raises:
        OnnxModelError: The network cannot be run.
    """
    infer = infer_in_onnx_runtime(network)
    shares = {}
    for sample in samples:
        question = sample.question
        output = infer(question.batch_nchw)[0]
        actual_hw = class_map_of(output, question.geometry, upsampling)
        shares[question.name] = sample.mask.share_equal(actual_hw)
    worst = min(shares, key=lambda name: shares[name])
    gives_classes = all(sample.mask.stable_hw.all() for sample in samples)
    return Proof(
        equal_pixels=shares[worst],
        minimum=_minimum(gives_classes, in_half=truth.in_half, in_int8=in_int8),
        worst=worst,
        sizes_hw=tuple(dict.fromkeys(sample.question.geometry.image_hw for sample in samples)),
        other_size=_other_size(samples[0], truth, infer, upsampling, spec),
    )


def _minimum(gives_classes: bool, *, in_half: bool, in_int8: bool) -> float:
    """Return the share of pixels that an export's own rounding leaves equal."""
    if in_half and in_int8:
        return MINIMUM_IN_HALF_AND_INT8
    if not gives_classes:
        return MINIMUM_EQUAL_PIXELS
    return MINIMUM_IN_HALF if in_half else MINIMUM_OF_CLASS_MAPS


def _other_size(
    sample: Sample, truth: ExportTruth, infer: Infer, upsampling: Upsampling, spec: ModelSpec
) -> OtherSize | None:
    """Compare for a picture of another size; the network's own input stays what it is."""
    resize, own = spec.preprocessing.resize, sample.question.geometry
    if isinstance(resize, Native):
        return None
    height, width = own.image_hw
    image_hw = (height * 5 // 4 + 1, width * 3 // 8 + 1)
    geometry = resize.geometry(image_hw)
    if geometry.network_hw != own.network_hw:
        geometry = replace(own, image_hw=image_hw)
    output = infer(sample.question.batch_nchw)[0]
    actual_hw = class_map_of(output, geometry, upsampling)
    as_export = truth.mask(sample.output, geometry)
    as_specified = (
        as_export
        if spec.output.upsampling == "export"
        else _interpolated_once(output, geometry, upsampling)
    )
    return OtherSize(
        image_hw=image_hw,
        network_hw=geometry.network_hw,
        equal_pixels=as_specified.share_equal(actual_hw),
        unlike_export=float((actual_hw != as_export.classes_hw).mean()),
    )


def _interpolated_once(output: NDArray[Any], geometry: Geometry, upsampling: Upsampling) -> Mask:
    """Return what the network's own output means at the picture's size, in one step."""
    if upsampling.kind == "class_map":
        return mask_of_classes(output.astype(np.int64), geometry)
    return mask_of_scores(output, geometry, align_corners=upsampling.align_corners)
