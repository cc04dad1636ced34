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

from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.onnx_file import computes_in_half
from tritonseg_engines.running.networks import onnx_session, run_session
from tritonseg_engines.spec import ModelSpec

RELATIVE_MARGIN, RELATIVE_MARGIN_HALF = 1e-4, 4e-3
"""By which the two best scores must differ for a pixel to count, as a share of the largest score:
what another order of additions explains, in a file that computes in float16 its rounding too."""
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
        self.in_half = computes_in_half(exported)
        """Whether it rounds to float16 anywhere."""
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
            OnnxModelError: It is not of the kind, rank or number of classes that the specification
                says, or a score is not a number.
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
        relative = RELATIVE_MARGIN_HALF if self.in_half else RELATIVE_MARGIN
        margin = relative * float(np.abs(best_hw).max())
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
        for name, batch_nchw in batches:
            try:
                answers.append((name, batch_nchw, self.run(batch_nchw)))
            except OnnxModelError as error:
                refusal = str(error)
        if not answers:
            raise OnnxModelError(f"the export cannot be run: {refusal}")
        self.classes_last = self._find_classes([output.shape for *_, output in answers])
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
            again = self.run(np.concatenate([other, sample.batch_nchw]))[1:]
        except OnnxModelError:  # a batch of one is all that it takes
            again = self.run(sample.batch_nchw)
        usual = float(np.median(np.abs(first))) or float(np.abs(first).max())
        if again.shape != first.shape or np.abs(again - first).max() > REPEATED * usual:
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
                "give output.threshold, which is 0.5 for a probability"
            )

    def _scores_chw(self, output: NDArray[Any]) -> NDArray[np.float32]:
        spec = self._spec
        count = spec.score_count(self._kind)
        if output.ndim == 3 and count == 1:
            return np.asarray(output, np.float32)
        if output.ndim == 4 and output.shape[3 if self.classes_last else 1] == count:
            scores = output[0].transpose(2, 0, 1) if self.classes_last else output[0]
            return np.asarray(scores, np.float32)
        raise OnnxModelError(f"output {spec.output.name!r}: {self._other_scores(output.shape)}")

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

    def _other_scores(self, shape: tuple[int, ...]) -> str:
        if self._kind == "binary":
            return f"expected one score (N, 1, h, w) as kind binary says, got {list(shape)}"
        classes = len(self._spec.classes)
        expected = f"expected {classes} classes as the specification says, got "
        if len(shape) != 4:
            return f"{expected}{list(shape)}, expected (N, {classes}, h, w)"
        hint = "; one score with a threshold is output.kind: binary" if 1 in shape[1::2] else ""
        return f"{expected}{shape[1]}; its shape is {list(shape)}{hint}"

    def _class_map(self, output: NDArray[Any], size_hw: tuple[int, int]) -> Mask:
        spec = self._spec
        where = f"output {spec.output.name!r}"
        planes = output.reshape(-1, *output.shape[-2:]) if output.ndim >= 2 else output
        if output.ndim == 4 and output.shape[3] == 1 != output.shape[1]:
            planes = output[..., 0]
        if planes.ndim != 3 or len(planes) != 1:
            raise OnnxModelError(
                f"{where}: expected a class map (N, h, w) or (N, 1, h, w), got {list(output.shape)}"
            )
        classes_hw = planes[0].astype(np.float64)
        fractions = classes_hw[classes_hw != np.rint(classes_hw)]
        if fractions.size:
            raise OnnxModelError(
                f"{where}: expected class indices as kind class_map says, got values such as "
                f"{fractions[0]:.4g}; scores are output.kind: scores or binary"
            )
        lowest, highest = classes_hw.min(), classes_hw.max()
        if lowest < 0 or highest >= len(spec.classes):
            raise OnnxModelError(
                f"{where}: expected class indices 0 to {len(spec.classes) - 1} as the "
                f"specification says, got {lowest:g} to {highest:g}"
            )
        return Mask(
            classes_hw=_nearest(classes_hw.astype(np.int64), size_hw),
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
