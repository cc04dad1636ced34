"""Prove, before anything is written, that what will be served gives the export's own masks.

Whatever was or was not done to the graph: the export as it came on one side, the prepared network
with the server's steps on the other, both in ONNX Runtime, on pictures of the network's own size
and, where that is open, of sizes that no stride divides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from tritonseg_engines.build.export_truth import Sample
from tritonseg_engines.running.networks import class_map_of, infer_in_onnx_runtime
from tritonseg_engines.running.pictures import smooth_noise
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.geometry import Geometry
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
OPEN_SIZES = ((256, 512), (97, 131), (61, 200))
"""Height and width: one that every usual stride divides, and two that none does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """How the two compare.

    Attributes:
        equal_pixels: Share of the stable pixels with the same class, of the picture where it is
            smallest.
        minimum: What it must be.
        worst: That picture, with its size.
        sizes_hw: Sizes that were compared.
    """

    equal_pixels: float
    minimum: float
    worst: str
    sizes_hw: tuple[tuple[int, int], ...]

    @property
    def holds(self) -> bool:
        """Whether that is enough."""
        return self.equal_pixels >= self.minimum


def sample_batches(
    spec: ModelSpec, input_hw: tuple[int | None, int | None]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield what pictures of every size become, by name, as the normalize step makes it.

    Args:
        spec: Says how.
        input_hw: Size that the network takes, None where open.
    """
    height, width = input_hw
    normalizer = Normalizer(spec.preprocessing)
    for size_hw in [(height, width)] if height and width else OPEN_SIZES:
        large = size_hw[0] * size_hw[1] >= LARGE_PIXELS
        for picture in smooth_noise(size_hw, 1 if large else PICTURES):
            yield picture.name, normalizer.batch(picture.image_hwc[None])


def prove_boundary(
    samples: Sequence[Sample],
    network: onnx.ModelProto,
    upsampling: Upsampling,
    *,
    in_half: bool = False,
    in_int8: bool = False,
) -> Proof:
    """Compare the export's own masks with the prepared network's between the server's steps.

    Args:
        samples: The export's answers.
        network: What is compared with them, in float32.
        upsampling: What the argmax step does with its output.
        in_half: Whether the export computes in float16.
        in_int8: Whether it computes in int8.

    Raises:
        OnnxModelError: The network cannot be run.
    """
    infer = infer_in_onnx_runtime(network)
    shares = {}
    for sample in samples:
        output = infer(sample.batch_nchw)[0]
        as_it_is = Geometry(sample.size_hw, sample.size_hw, sample.size_hw)
        actual_hw = class_map_of(output, as_it_is, upsampling)
        equal = actual_hw == sample.mask.classes_hw
        stable = sample.mask.stable_hw
        shares[sample.name] = float(equal[stable].mean()) if stable.any() else 1.0
    worst = min(shares, key=lambda name: shares[name])
    gives_classes = all(sample.mask.stable_hw.all() for sample in samples)
    minimum = MINIMUM_EQUAL_PIXELS
    if in_half and in_int8:
        minimum = MINIMUM_IN_HALF_AND_INT8
    elif gives_classes:
        minimum = MINIMUM_IN_HALF if in_half else MINIMUM_OF_CLASS_MAPS
    return Proof(
        equal_pixels=shares[worst],
        minimum=minimum,
        worst=worst,
        sizes_hw=tuple(dict.fromkeys(sample.size_hw for sample in samples)),
    )
