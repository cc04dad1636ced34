"""Hold what will be served, in the runtime that will serve it, against the export's own masks.

The gate's pictures have the sizes that users' pictures have. Here are those that no stride divides,
at which a runtime may differ or refuse.
"""

from __future__ import annotations

from tritonseg_engines.build.order import BuildOrder
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.gate.thresholds import Thresholds
from tritonseg_engines.running.networks import Infer
from tritonseg_engines.target import Precision

ROUNDING_ALONE = (
    "; where an export divides by the contrast of a picture that has none, its scores are rounding "
    "alone: add a larger epsilon"
)


def prove_served(order: BuildOrder, infer: Infer, thresholds: Thresholds) -> None:
    """Run the proof's pictures as they will be served.

    In fp32 the masks must be the export's. What fp16 and int8 change, the export's own int8 too, is
    for the gate to say, on pictures that the user chose; here they must give classes at all.

    Args:
        order: Of the build.
        infer: The built network.
        thresholds: Of its gate.

    Raises:
        OnnxModelError: A size is refused, means no classes, or gives other masks.
    """
    prepared = order.prepared
    class_count = len(prepared.spec.classes)
    equal, worst, extreme = min(
        (
            sample.share_equal(
                infer(sample.question.batch_nchw)[0], prepared.upsampling, class_count
            ),
            sample.question.name,
            sample.question.extreme,
        )
        for sample in prepared.samples
    )
    least = min(thresholds.equal_pixels, prepared.proof.minimum)
    exact = order.target.precision is Precision.FP32 and prepared.existing_int8 is None
    if exact and equal < least:
        raise OnnxModelError(
            f"run as it will be served ({order.target.runtime}), the network changes "
            f"{1 - equal:.2%} of the pixels of the export's own mask ({worst}), expected "
            f"at most {1 - least:.2%}{ROUNDING_ALONE if extreme else ''}"
        )
