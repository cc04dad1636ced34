"""Fold the steps into a network, where that can be done, and measure that no mask changed.

The fused graph and the network with the server's own steps around it run in the runtime that will
serve them, on some of the pictures that the build is judged by.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import onnx

from tritonseg_engines.build.prepared import Prepared
from tritonseg_engines.errors import OnnxModelError, SpecificationError
from tritonseg_engines.graph.fuse import fuse_steps
from tritonseg_engines.running.networks import Infer, ServerSteps
from tritonseg_engines.running.pictures import Picture, Pictures
from tritonseg_engines.running.served import infer_as_served
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.target import BuildTarget
from tritonseg_steps.contract import NO_CLASS
from tritonseg_steps.geometry import Geometry, Size
from tritonseg_steps.resampling import Resampling
from tritonseg_steps.resize_policy import Native

MINIMUM_EQUAL_PIXELS = 0.999
"""One multiply-add instead of a table, and another order of additions in the interpolation, move
ties and near-ties: a few pixels in a million. A wrong channel order moves a third of them."""
PICTURES_COMPARED = 4
KEEP_ENSEMBLE = "build it with --layout ensemble"


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedSizes:
    """What a fused graph is made for: height and width of the picture and of SCORES."""

    image_hw: Size
    scores_hw: Size


def fixed_sizes(prepared: Prepared) -> FixedSizes:
    """Return the sizes of a network whose steps can be fused.

    Raises:
        SpecificationError: A size is open, or a picture of the network's size would be resized.
    """
    name = prepared.spec.name
    image_hw, scores_hw = prepared.sizes.fixed_hw, _closed(prepared.output_dims[-2:])
    if image_hw is None or scores_hw is None:
        raise SpecificationError(
            f"{name}: the fused layout takes pictures of one size, but the export leaves it open "
            f"(input {_by(prepared.sizes.input_hw)}, scores {_by(prepared.output_dims[-2:])}); "
            f"export it at a fixed size, or {KEEP_ENSEMBLE}"
        )
    if len(prepared.spec.classes) > NO_CLASS:
        raise SpecificationError(
            f"{name}: the fused layout says by {NO_CLASS} that the network gave no class, so it "
            f"takes at most {NO_CLASS} classes, got {len(prepared.spec.classes)}; {KEEP_ENSEMBLE}"
        )
    resized = prepared.spec.preprocessing.resize.geometry(image_hw)
    if replace(resized, outside=None) != Geometry(image_hw, image_hw, image_hw):
        raise SpecificationError(
            f"{name}: the fused layout does not resize, but resize policy "
            f"{prepared.spec.preprocessing.resize.policy!r} makes {_by(resized.content_hw)} of a "
            f"picture of the network's size {_by(image_hw)}; export it at a size that the policy "
            f"leaves as it is, or {KEEP_ENSEMBLE}"
        )
    return FixedSizes(image_hw=image_hw, scores_hw=scores_hw)


def without_resize(spec: ModelSpec) -> ModelSpec:
    """Return the specification of a model that takes pictures of the network's size only."""
    preprocessing = replace(
        spec.preprocessing, resize=Native(), padding=None, resampling=Resampling()
    )
    return replace(spec, preprocessing=preprocessing)


def fuse_and_check(
    prepared: Prepared,
    network: onnx.ModelProto,
    pictures: Pictures,
    target: BuildTarget,
) -> tuple[onnx.ModelProto, float]:
    """Return the fused graph and the share of pixels at which it agrees with the ensemble.

    Args:
        prepared: What the network was made from.
        network: In its final precision.
        pictures: Compared on at most `PICTURES_COMPARED` of them, evenly from first to last;
            those of another size are resized to the network's first.
        target: Of the build; both run as `infer_as_served` says.

    Raises:
        OnnxModelError: The share is below `MINIMUM_EQUAL_PIXELS`.
        SpecificationError: The steps cannot be fused; see `fixed_sizes`.
    """
    sizes = fixed_sizes(prepared)
    preprocessing = without_resize(prepared.spec).preprocessing
    fused = fuse_steps(
        network,
        preprocessing,
        prepared.upsampling,
        image_hw=sizes.image_hw,
        scores_hw=sizes.scores_hw,
    )
    steps = prepared.steps_with(preprocessing)
    chosen = [_of_size(picture, sizes.image_hw) for picture in _spread(pictures)]
    with (
        infer_as_served(network, target) as scores,
        infer_as_served(fused, target) as class_map,
    ):
        shares = [_equal_pixels(steps, picture, scores, class_map) for picture in chosen]
    equal = float(np.mean(shares))
    if equal < MINIMUM_EQUAL_PIXELS:
        raise OnnxModelError(
            f"fusing the steps into the network changes {1 - equal:.2%} of the pixels, expected "
            f"at most {1 - MINIMUM_EQUAL_PIXELS:.2%}; {KEEP_ENSEMBLE}"
        )
    return fused, equal


def _equal_pixels(steps: ServerSteps, picture: Picture, scores: Infer, class_map: Infer) -> float:
    expected = steps.class_map(scores(steps.batch(picture)), picture)
    return float((class_map(picture.image_hwc[None])[0] == expected).mean())


def _spread(pictures: Pictures) -> Pictures:
    return pictures[:: -(-len(pictures) // PICTURES_COMPARED)]


def _of_size(picture: Picture, size_hw: Size) -> Picture:
    if picture.image_hwc.shape[:2] == size_hw:
        return picture
    image_hwc = cv2.resize(picture.image_hwc, size_hw[::-1], interpolation=cv2.INTER_AREA)
    return Picture(name=picture.name, image_hwc=image_hwc.astype(np.uint8))


def _closed(dims: tuple[int | None, ...]) -> Size | None:
    height, width = dims
    return None if height is None or width is None else (height, width)


def _by(dims: tuple[int | None, ...]) -> str:
    return "x".join("?" if dim is None else str(dim) for dim in dims)
