"""What the export itself says: run as it came, in ONNX Runtime, on the network's own input."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tritonseg_engines.build.export_mask import (
    Mask,
    mask_of_classes,
    mask_of_scores,
)
from tritonseg_engines.build.output_check import (
    check_output,
    class_indices,
    one_sided_advice,
    with_batch_axis,
)
from tritonseg_engines.build.repeats import same_outputs, same_together
from tritonseg_engines.build.samples import Question, Sample, pair_of
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.onnx_file import computes_in_half, dimensions, graph_inputs
from tritonseg_engines.running.networks import onnx_session, run_session
from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.geometry import Geometry


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
        batch, *others = dimensions(graph_inputs(exported.graph)[0]) or [None, None]
        self._session = onnx_session(exported, any_size=None in others)
        self._spec, self._kind, self._threshold = spec, kind, threshold
        self._batch = batch
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
            OnnxModelError: A score is not a number.
        """
        if self._kind == "class_map":
            return mask_of_classes(class_indices(output), geometry)
        scores_chw = self._scores_chw(output)
        if not np.isfinite(scores_chw).all():
            raise OnnxModelError(
                f"output {self._spec.output.name!r}: the network's scores are not all finite"
            )
        return mask_of_scores(
            scores_chw,
            geometry,
            threshold=self._threshold,
            in_half=self.in_half,
        )

    def samples(
        self,
        questions: Iterable[Question],
        more: Iterable[Question],
        extremes: Iterable[Question],
    ) -> list[Sample]:
        """Return the answers to pictures.

        Args:
            questions: The pictures.
            more: Others, of which as many are added as it takes to see two classes.
            extremes: Others, to which scores may be no numbers; they come last.

        Raises:
            OnnxModelError: It does not take them, its output is not what the specification says,
                or it depends on chance or on the other pictures of a batch.
        """
        asked = list(questions)
        outputs = [self._answer(question) for question in asked]
        self.classes_last = self._find_classes(
            [with_batch_axis(output, self._kind).shape for output in outputs]
        )
        found = [
            self._sample(question, output) for question, output in zip(asked, outputs, strict=True)
        ]
        for question in more:
            if len(frozenset().union(*(sample.classes() for sample in found))) > 1:
                break
            found.insert(0, self._sample(question, self._answer(question)))
        if not any(sample.mask and sample.mask.stable_hw.any() for sample in found):
            raise OnnxModelError(
                f"output {self._spec.output.name!r}: on no pixel do the two best scores differ by "
                "more than rounding, so that no mask could be compared"
            )
        found += filter(None, map(self._extreme_sample, extremes))
        self._check_repeats(pair_of(found))
        self._check_threshold(found)
        return found

    def _answer(self, question: Question) -> NDArray[Any]:
        output = self.run(question.batch_nchw)
        self._check_kind(question, output)
        return output

    def _check_kind(self, question: Question, output: NDArray[Any]) -> None:
        check_output(
            self._spec,
            self._kind,
            output,
            size_hw=question.geometry.network_hw,
            outputs={value.name: value.shape for value in self._session.get_outputs()},
        )

    def _extreme_sample(self, question: Question) -> Sample | None:
        """Return the answer to a picture, or None where that is of no interest."""
        output = self.run(question.batch_nchw)
        if not np.isfinite(output).all():
            return Sample(question=question, output=output, mask=None)
        if question.flat and self._kind != "class_map":
            return None
        self._check_kind(question, output)
        return self._sample(question, output)

    def _sample(self, question: Question, output: NDArray[Any]) -> Sample:
        return Sample(question=question, output=output, mask=self.mask(output, question.geometry))

    def _check_repeats(self, pair: tuple[Sample, Sample]) -> None:
        """Refuse what gives one picture another output beside another picture, or again."""
        alone = [sample.output for sample in pair]
        together = None
        with contextlib.suppress(OnnxModelError):  # a batch of one may be all that it takes
            together = self.run(np.concatenate([sample.question.batch_nchw for sample in pair]))
        both = (sum(map(len, alone)), *alone[0].shape[1:])
        if together is not None and together.shape == both:
            self.takes_pairs = self._batch is None
            same = same_together(together, alone)
        else:  # or all that it has an axis for
            usual = pair[1]
            same = same_outputs(self.run(usual.question.batch_nchw), usual.output)
        if not same:
            raise OnnxModelError(
                f"output {self._spec.output.name!r}: expected the same of a picture alone and "
                "beside another, got another: the graph depends on chance or on the batch; export "
                "it in evaluation mode"
            )

    def _check_threshold(self, samples: Sequence[Sample]) -> None:
        output = self._spec.output
        if self._kind != "binary" or output.threshold is not None or self._threshold != 0:
            return
        finite = [sample.output for sample in samples if sample.mask is not None]
        lowest = min(float(output.min()) for output in finite)
        highest = max(float(output.max()) for output in finite)
        if lowest >= 0 or highest <= 0:
            only = self._spec.classes[int(lowest >= 0)]
            raise OnnxModelError(
                f"output {output.name!r}: expected scores on both sides of the threshold 0, got "
                f"{lowest:.4g} to {highest:.4g} on all pictures, where every pixel is {only!r}; "
                f"{one_sided_advice(finite[0])}"
            )

    def _scores_chw(self, output: NDArray[Any]) -> NDArray[Any]:
        scores: NDArray[Any] = with_batch_axis(output, self._kind)
        if scores.ndim == 3:
            return scores
        scores = scores[0]
        return scores.transpose(2, 0, 1) if self.classes_last else scores

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
