"""What the export itself says: run as it came, in ONNX Runtime, on the network's own input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tritonseg_engines.build.export_mask import (
    RELATIVE_MARGIN,
    RELATIVE_MARGIN_HALF,
    Mask,
    class_indices,
    mask_of_classes,
    mask_of_scores,
)
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.onnx_file import computes_in_half, dimensions, graph_inputs
from tritonseg_engines.running.networks import onnx_session, run_session
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.geometry import Geometry

REPEATED = 1e-3
"""Largest difference between two runs of one picture, as a share of the usual score."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One picture that the export is asked about.

    Attributes:
        name: With its size.
        geometry: Where it lies in the network's input; it has the content's size.
        batch_nchw: `(1, 3, h, w)` float32, as the normalize step gives it.
    """

    name: str
    geometry: Geometry
    batch_nchw: NDArray[np.float32] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One picture that the export has answered.

    Attributes:
        question: The picture.
        output: The export's own.
        mask: What that means for the picture.
    """

    question: Question
    output: NDArray[Any] = field(repr=False)
    mask: Mask = field(repr=False)


def same_outputs(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Return whether two runs gave the same but for rounding."""
    if one.shape != other.shape:
        return False
    first, second = (output.astype(np.float32, copy=False) for output in (one, other))
    usual = float(np.median(np.abs(first))) or float(np.abs(first).max())
    return bool(np.abs(first - second).max() <= REPEATED * usual)


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
        self._batch = (dimensions(graph_inputs(exported.graph)[0]) or [None])[0]
        self.in_half = computes_in_half(exported)
        """Whether it rounds to float16 anywhere."""
        self.classes_last = False
        """Whether scores are `(N, h, w, C)`; known after `samples`."""
        self.takes_pairs = False
        """Whether two pictures at once get what each gets alone; known after `samples`."""

    def run(self, batch_nchw: NDArray[np.float32]) -> NDArray[Any]:
        """Return its output for pictures as the normalize step gives them.

        A file that takes a fixed number of pictures gets these over and over.

        Raises:
            OnnxModelError: It does not take pictures of this size or number.
        """
        spec = self._spec
        batch = batch_nchw.transpose(0, 2, 3, 1) if spec.input.layout == "NHWC" else batch_nchw
        count = max(len(batch), self._batch or 0)
        repeated = count > len(batch)
        if repeated:
            batch = np.resize(batch, (count, *batch.shape[1:]))
        inputs = {spec.input.name: np.ascontiguousarray(batch.astype(spec.input.dtype))}
        (output,) = run_session(self._session, inputs, [spec.output.name])
        array: NDArray[Any] = output[: len(batch_nchw)] if repeated else output
        return array

    def mask(self, output: NDArray[Any], geometry: Geometry) -> Mask:
        """Return what an output for one picture means at the picture's own size.

        Scores are interpolated (bilinear, half-pixel centres), classes are taken from the nearest
        cell.

        Raises:
            OnnxModelError: It is not of the kind, rank or number of classes that the specification
                says, or a score is not a number.
        """
        if self._kind == "class_map":
            return mask_of_classes(class_indices(output, self._spec), geometry)
        scores_chw = self._scores_chw(output)
        if not np.isfinite(scores_chw).all():
            raise OnnxModelError(
                f"output {self._spec.output.name!r}: the network's scores are not all finite"
            )
        return mask_of_scores(
            scores_chw,
            geometry,
            threshold=self._threshold,
            relative_margin=RELATIVE_MARGIN_HALF if self.in_half else RELATIVE_MARGIN,
        )

    def samples(self, questions: Iterable[Question]) -> list[Sample]:
        """Return the answers to pictures.

        Raises:
            OnnxModelError: It does not take them, its output is not what the specification says,
                or it depends on chance or on the other pictures of a batch.
        """
        asked = list(questions)
        outputs = [self.run(question.batch_nchw) for question in asked]
        self.classes_last = self._find_classes([output.shape for output in outputs])
        found = [
            Sample(question=question, output=output, mask=self.mask(output, question.geometry))
            for question, output in zip(asked, outputs, strict=True)
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
        batch_nchw = sample.question.batch_nchw
        other = batch_nchw[:, :, ::-1, ::-1]
        try:
            again = self.run(np.concatenate([other, batch_nchw]))[1:]
            self.takes_pairs = self._batch is None
        except OnnxModelError:  # a batch of one is all that it takes
            again = self.run(batch_nchw)
        if not same_outputs(again, sample.output):
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
