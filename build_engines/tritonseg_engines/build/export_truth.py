"""What the export itself says: run as it came by ONNX Runtime, its class map taken with NumPy.

Nothing of the steps and nothing of the surgery is used here, because both are held against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from tritonseg_engines.build.output_check import (
    check_output,
    class_plane,
    one_sided_advice,
    with_batch_axis,
)
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.running.networks import onnx_session, run_session
from tritonseg_engines.spec import ModelSpec

RELATIVE_MARGIN = {np.dtype(np.float32): 1e-4, np.dtype(np.float16): 4e-3}
"""By which the two best scores must differ for a pixel to count, as a share of the largest score:
what another order of additions explains."""
REPEATED = 1e-3
"""Largest difference between two runs of one picture, as a share of the usual score."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mask:
    """What a picture's classes are.

    Attributes:
        classes_hw: `(H, W)` class of every pixel.
        stable_hw: `(H, W)` bool, where rounding cannot make it another.
    """

    classes_hw: NDArray[np.int64]
    stable_hw: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One picture that the export has answered.

    Attributes:
        name: With its size.
        batch_nchw: `(1, 3, h, w)` float32, as the normalize step gives it.
        output: The export's own.
        mask: What that means at `size_hw`.
    """

    name: str
    batch_nchw: NDArray[np.float32]
    output: NDArray[Any]
    mask: Mask

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return self.batch_nchw.shape[2], self.batch_nchw.shape[3]


class ExportTruth:
    """The export, run on the network's own input.

    Args:
        exported: As it came.
        spec: What it is said to be.
        kind: Of its output; as the specification says, or a class map where it ends in an ArgMax.
        threshold: What parts the classes of a binary output.

    Raises:
        OnnxModelError: ONNX Runtime does not take it.
    """

    def __init__(
        self, exported: onnx.ModelProto, spec: ModelSpec, *, kind: str, threshold: float
    ) -> None:
        self._session = onnx_session(exported)
        self._spec, self._kind, self._threshold = spec, kind, threshold
        self.classes_last = False
        """Whether scores are `(N, h, w, C)`; known after `samples`."""

    def run(self, batch_nchw: NDArray[np.float32]) -> NDArray[Any]:
        """Return its output for pictures as the normalize step gives them.

        Raises:
            OnnxModelError: It does not take pictures of this size or number.
        """
        spec = self._spec
        batch = batch_nchw.transpose(0, 2, 3, 1) if spec.input.layout == "NHWC" else batch_nchw
        inputs = {spec.input.name: np.ascontiguousarray(batch.astype(spec.input.dtype))}
        (output,) = run_session(self._session, inputs, [spec.output.name])
        array: NDArray[Any] = output
        return array

    def mask(self, output: NDArray[Any], size_hw: tuple[int, int]) -> Mask:
        """Return what an output for one picture means at the size of the network's input.

        Scores of another size are interpolated (bilinear, half-pixel centres), classes are taken
        from the nearest.

        Raises:
            OnnxModelError: A score is not a number.
        """
        if self._kind == "class_map":
            return self._class_map(output, size_hw)
        scores_chw = self._scores_chw(output)
        if not np.isfinite(scores_chw).all():
            raise OnnxModelError(
                f"output {self._spec.output.name!r}: the network's scores are not all finite"
            )
        scores_chw = np.stack([_interpolated(plane, size_hw) for plane in scores_chw])
        best_hw = scores_chw.max(axis=0)
        # Of the best scores only: a class that is masked by -1e6 says nothing about the others.
        margin = RELATIVE_MARGIN.get(output.dtype, 1e-4) * float(np.abs(best_hw).max())
        if len(scores_chw) == 1:
            distance_hw = scores_chw[0] - self._threshold
            return Mask(
                classes_hw=(distance_hw > 0).astype(np.int64),
                stable_hw=np.abs(distance_hw) > margin,
            )
        classes_hw = scores_chw.argmax(axis=0)
        np.put_along_axis(scores_chw, classes_hw[None], -np.inf, axis=0)
        return Mask(classes_hw=classes_hw, stable_hw=best_hw - scores_chw.max(axis=0) > margin)

    def samples(self, batches: Iterable[tuple[str, NDArray[np.float32]]]) -> list[Sample]:
        """Return the answers to pictures, without those of a size that the export does not take.

        Args:
            batches: By name, each of one picture.

        Raises:
            OnnxModelError: It takes none of them, its output is not what the specification says,
                or it depends on chance or on the other pictures of a batch.
        """
        answers = []
        refusal = "no pictures"
        tried = list(batches)
        for name, batch_nchw in tried:
            try:
                answers.append((name, batch_nchw, self.run(batch_nchw)))
            except OnnxModelError as error:
                refusal = str(error)
        if not answers:
            sizes = dict.fromkeys(f"{batch.shape[2]}x{batch.shape[3]}" for _, batch in tried)
            hint = "; if it takes another size only, write input.height and input.width"
            raise OnnxModelError(
                f"the export cannot be run on pictures of {', '.join(sizes)}: "
                f"{refusal}{hint if len(sizes) > 1 else ''}"
            )
        outputs = {value.name: value.shape for value in self._session.get_outputs()}
        for _, batch_nchw, output in answers:
            check_output(
                self._spec,
                self._kind,
                output,
                size_hw=(batch_nchw.shape[2], batch_nchw.shape[3]),
                outputs=outputs,
            )
        self.classes_last = self._find_classes(
            [with_batch_axis(output, self._kind).shape for *_, output in answers]
        )
        found = [
            Sample(
                name=f"{name} of {batch_nchw.shape[2]}x{batch_nchw.shape[3]}",
                batch_nchw=batch_nchw,
                output=output,
                mask=self.mask(output, (batch_nchw.shape[2], batch_nchw.shape[3])),
            )
            for name, batch_nchw, output in answers
        ]
        if not any(sample.mask.stable_hw.any() for sample in found):
            raise OnnxModelError(
                f"output {self._spec.output.name!r}: on no pixel do the two best scores differ by "
                "more than rounding, so that no mask could be compared"
            )
        self._check_repeats(found[-1])
        self._check_threshold(found)
        return found

    def _check_repeats(self, sample: Sample) -> None:
        """Refuse what gives one picture another output beside another picture, or again."""
        first = sample.output.astype(np.float32, copy=False)
        other = sample.batch_nchw[:, :, ::-1, ::-1]
        try:
            both = self.run(np.concatenate([other, sample.batch_nchw]))
        except OnnxModelError:  # a batch of one is all that it takes
            both = np.concatenate([first, self.run(sample.batch_nchw)])
        again = both[len(both) // 2 :]
        usual = float(np.median(np.abs(first))) or float(np.abs(first).max())
        if again.shape != first.shape:
            raise OnnxModelError(
                f"output {self._spec.output.name!r} is {first.shape} for one picture, "
                f"{both.shape} for two; export it with its batch axis, `squeeze(1)` in place of "
                "`squeeze()`"
            )
        if np.abs(again - first).max() > REPEATED * usual:
            raise OnnxModelError(
                f"output {self._spec.output.name!r}: expected the same of a picture alone and "
                "beside another, got another: the graph depends on chance or on the batch; export "
                "it in evaluation mode"
            )

    def _check_threshold(self, samples: Sequence[Sample]) -> None:
        output = self._spec.output
        if self._kind != "binary" or output.threshold is not None or self._threshold != 0:
            return
        lowest = min(float(sample.output.min()) for sample in samples)
        highest = max(float(sample.output.max()) for sample in samples)
        if lowest >= 0 or highest <= 0:
            only = self._spec.classes[int(lowest >= 0)]
            raise OnnxModelError(
                f"output {output.name!r}: expected scores on both sides of the threshold 0, got "
                f"{lowest:.4g} to {highest:.4g} on all pictures, where every pixel is {only!r}; "
                f"{one_sided_advice(samples[0].output)}"
            )

    def _scores_chw(self, output: NDArray[Any]) -> NDArray[np.float32]:
        scores = with_batch_axis(output, self._kind)
        if scores.ndim == 4:
            scores = scores[0].transpose(2, 0, 1) if self.classes_last else scores[0]
        return np.asarray(scores, np.float32)

    def _find_classes(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Return whether the classes stand on the last axis, as the specification or shapes say."""
        if self._kind == "class_map":
            return False
        if self._spec.output.layout is not None:
            return self._spec.output.layout == "NHWC"
        count = self._spec.score_count(self._kind)
        fits = {(shape[1] == count, shape[3] == count) for shape in shapes if len(shape) == 4}
        if fits == {(True, True)}:
            raise OnnxModelError(
                f"output {self._spec.output.name!r}: {list(shapes[0])} could be (N, C, h, w) or "
                f"(N, h, w, C), because both axes have {count}; give output.layout: NCHW or NHWC"
            )
        return (False, True) in fits

    def _class_map(self, output: NDArray[Any], size_hw: tuple[int, int]) -> Mask:
        plane = class_plane(output)
        if plane is None:
            raise OnnxModelError(f"output {self._spec.output.name!r}: no class map")
        return Mask(
            classes_hw=_nearest(plane.astype(np.int64), size_hw),
            stable_hw=np.ones(size_hw, np.bool_),
        )


def _interpolated(plane_hw: NDArray[np.float32], size_hw: tuple[int, int]) -> NDArray[np.float32]:
    if plane_hw.shape == size_hw:
        return plane_hw
    resized: NDArray[np.float32] = cv2.resize(
        plane_hw, size_hw[::-1], interpolation=cv2.INTER_LINEAR
    ).astype(np.float32)
    return resized


def _nearest(classes_hw: NDArray[np.int64], size_hw: tuple[int, int]) -> NDArray[np.int64]:
    rows, columns = (
        (2 * np.arange(wanted, dtype=np.int64) + 1) * have // (2 * wanted)
        for wanted, have in zip(size_hw, classes_hw.shape, strict=True)
    )
    nearest_hw: NDArray[np.int64] = classes_hw[rows[:, None], columns]
    return nearest_hw
