"""Is an export's answer of the kind that its specification says, and if not, what to write there.

A message names the file's own tensors and the YAML's keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.build.score_layout import (
    CLASS_AXES,
    UNLIKELY_STRETCH,
    fitting_layouts,
    likeliest_layouts,
    stretch,
)
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.contract import MAX_CLASSES

ANOTHER = "another output may be meant by output.name"
MASK = 255
"""What many write for "yes" in a mask of bytes."""
NUMBERS = "fiub"
"""Kinds of NumPy's types, bool among them."""

Shape = Sequence[int | str | None]


def class_plane(output: NDArray[Any]) -> NDArray[Any] | None:
    """Return the `(h, w)` plane of what holds one number a pixel of one picture, else None.

    Taken are `(h, w)`, `(1, h, w)`, `(1, 1, h, w)` and `(1, h, w, 1)`.
    """
    if output.ndim == 4 and 1 in (output.shape[1], output.shape[3]):
        output = output[:, 0] if output.shape[1] == 1 else output[..., 0]
    if output.ndim == 3 and len(output) == 1:
        output = output[0]
    return output if output.ndim == 2 else None


def class_indices(output: NDArray[Any]) -> NDArray[np.int64]:
    """Return that plane of a class map that `check_output` has passed.

    Raises:
        OnnxModelError: For a picture of another size it is none.
    """
    plane = class_plane(output)
    if plane is None:
        raise OnnxModelError(f"expected a class map (N, h, w) or (N, 1, h, w), got {output.shape}")
    return plane.astype(np.int64)


def with_batch_axis(output: NDArray[Any], kind: str) -> NDArray[Any]:
    """Return scores with the batch axis that an export of one picture may have left out."""
    missing = 3 if kind == "binary" else 4
    return output[None] if output.ndim == missing - 1 else output


def check_output(
    spec: ModelSpec,
    kind: str,
    output: NDArray[Any],
    *,
    size_hw: tuple[int, int],
    outputs: Mapping[str, Shape],
) -> None:
    """Check what an export answers to one picture.

    Args:
        spec: What it is said to be.
        kind: Of the output; "class_map" also where the file ends in an ArgMax.
        output: The answer.
        size_hw: Of the picture, as the network gets it.
        outputs: All outputs of the file, with their shapes.

    Raises:
        OnnxModelError: It is of another kind, rank or number of classes.
    """
    advice: str | None
    if not isinstance(output, np.ndarray) or output.dtype.kind not in NUMBERS:
        advice = f"is no tensor of numbers; {ANOTHER}"
    elif not output.size:
        advice = f"is {output.shape}, which holds nothing; {ANOTHER}"
    elif kind == "class_map":
        advice = _class_map_advice(len(spec.classes), output, size_hw)
    else:
        advice = _scores_advice(spec, kind, output, size_hw)
        advice = advice and (_query_advice(spec.output.name, outputs) or advice)
    if advice is not None:
        raise OnnxModelError(f"output {spec.output.name!r} {advice}")


def one_sided_advice(output: NDArray[Any]) -> str:
    """Return what to write for a binary output that is never on the other side of 0."""
    if set(np.unique(output)) <= {0, 1}:
        return "0 and 1 are class indices: write output.kind: class_map"
    return (
        "give output.threshold, which is 0.5 for a probability and 127.5 for one on a scale of 0 "
        "to 255"
    )


def _class_map_advice(classes: int, output: NDArray[Any], size_hw: tuple[int, int]) -> str | None:
    plane = class_plane(output)
    if plane is None:
        if _is_whole(output):
            return (
                f"is {output.shape} of {output.dtype}, several indices a pixel, as a TopK gives "
                "or an ArgMax over another axis than the classes': export the best class alone, or "
                "the scores"
            )
        if output.ndim not in (3, 4):
            return f"is {output.shape} of {output.dtype}, expected a class map (N, h, w); {ANOTHER}"
        return f"is {output.shape} of {output.dtype}, no class map: write output.kind: scores"
    if not _is_whole(plane):
        if stretch(plane.shape, size_hw) > UNLIKELY_STRETCH:
            return f"is {output.shape} of {output.dtype}, expected a class map (N, h, w); {ANOTHER}"
        fraction = plane[plane != np.rint(plane)][0]
        return (
            f"has values such as {fraction:.4g}, no class indices but one score a pixel: write "
            "output.kind: binary"
        )
    advice = _range_advice(classes, plane)
    if advice is not None and stretch(plane.shape, size_hw) > UNLIKELY_STRETCH:
        return (
            f"is {output.shape} for a picture of {size_hw[0]}x{size_hw[1]}: its ArgMax is not over "
            "the classes; give it their axis, which is 1 of (N, C, h, w) and 3 of (N, h, w, C)"
        )
    return advice


def _range_advice(classes: int, plane: NDArray[Any]) -> str | None:
    lowest, highest = int(plane.min()), int(plane.max())
    if lowest >= 0 and highest < classes:
        return None
    if highest == MASK and set(np.unique(plane)) <= {0, MASK}:
        return (
            "has the values 0 and 255, a mask: divide by 255 in the export, or write output.kind: "
            "binary with output.threshold: 127.5"
        )
    found = f"has class indices {lowest} to {highest}, expected 0 to {classes - 1}"
    if lowest < 0:
        return f"{found}: indices begin at 0; add {-lowest} in the export"
    if lowest == 1 and highest == classes:
        return f"{found}: if they begin at 1, name a class for 0 as the first of classes"
    return f"{found}: name all {highest + 1} classes under classes, in the network's order"


def _scores_advice(
    spec: ModelSpec, kind: str, output: NDArray[Any], size_hw: tuple[int, int]
) -> str | None:
    count = spec.score_count(kind)
    batched = with_batch_axis(output, kind)
    if count == 1 and batched.ndim == 3:
        return None
    fitting = fitting_layouts(batched.shape, count, size_hw, sure=output.ndim == 4)
    if spec.output.layout in (None, *fitting) and fitting:
        return None
    if fitting:
        return f"is {output.shape} of {output.dtype}: write output.layout: {fitting[0]}"
    got = f"is {output.shape} of {output.dtype}"
    plane = class_plane(output)
    if plane is not None and stretch(plane.shape, size_hw) <= UNLIKELY_STRETCH:
        if _is_whole(plane):
            lowest, highest = int(plane.min()), int(plane.max())
            return (
                f"{got} and looks like class indices, {lowest} to {highest}: write output.kind: "
                "class_map"
            )
        return (
            f"{got}, one score a pixel where the specification names {count} classes: write "
            "output.kind: binary, which has two"
        )
    if output.ndim != 4:
        expected = "(N, 1, h, w)" if count == 1 else f"(N, {count}, h, w)"
        return f"{got}, expected scores {expected}; {ANOTHER}"
    return f"{got}, {_count_advice(kind, count, batched.shape, size_hw)}"


def _count_advice(kind: str, count: int, shape: Sequence[int], size_hw: tuple[int, int]) -> str:
    """Return what to write where no axis that can be the classes' has as many as expected."""
    likely = likeliest_layouts(shape, size_hw)
    expected = "kind binary has one" if kind == "binary" else f"the specification names {count}"
    if len(likely) != 1:
        return (
            f"{shape[1]} classes as (N, C, h, w) and {shape[3]} as (N, h, w, C), where {expected}: "
            f"say what it has by output.kind and classes; {ANOTHER}"
        )
    channels = shape[CLASS_AXES[likely[0]]]
    if channels > MAX_CLASSES:
        return (
            f"{channels} numbers a pixel, more than the {MAX_CLASSES} classes that there can be; "
            f"{ANOTHER}"
        )
    if kind == "binary":
        return (
            f"{channels} scores a pixel where {expected}, (N, 1, h, w): write output.kind: scores "
            f"and name {channels} classes"
        )
    return (
        f"{channels} classes where {expected}: name all {channels} under classes, in the network's "
        "order"
    )


def _query_advice(name: str, outputs: Mapping[str, Shape]) -> str | None:
    """Return what to do where two outputs are the classes and the masks of queries."""
    of_rank = {rank: [n for n, s in outputs.items() if len(s) == rank] for rank in (3, 4)}
    for classes in of_rank[3]:
        for masks in of_rank[4]:
            if name in (classes, masks) and outputs[classes][1] == outputs[masks][1]:
                return (
                    f"is of a network of queries, {classes!r} (N, Q, C+1) and {masks!r} "
                    "(N, Q, h, w): export scores of classes as one output, torch.einsum("
                    f"'nqc,nqhw->nchw', {classes}.softmax(-1)[..., :-1], {masks}.sigmoid())"
                )
    return None


def _is_whole(values: NDArray[Any]) -> bool:
    return bool(not np.issubdtype(values.dtype, np.floating) or (values == np.rint(values)).all())
