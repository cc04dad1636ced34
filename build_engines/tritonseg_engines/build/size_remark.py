"""What a build says of the sizes of pictures that its model takes."""

from __future__ import annotations

from collections.abc import Iterator

from tritonseg_engines.spec import ModelSpec
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.resize_policy import FixedSize, KeepRatio, Native


def size_remark(spec: ModelSpec, sizes: NetworkSizes) -> str | None:
    """Return which pictures will be refused and how to take them, or None if none will be."""
    resize = spec.preprocessing.resize
    if isinstance(resize, FixedSize):
        return None
    limits = list(_limits(resize, sizes))
    if sizes.input_hw != (None, None):
        as_they_are = isinstance(resize, Native) and resize.size_divisor == 1
        made = "of" if as_they_are else "that become"
        limits.insert(0, f"{made} {sizes.declared} only, a size that is fixed")
        limits[-1] += (
            "; resize: {policy: stretch} or {policy: fit_pad} takes any, with input.height and "
            "input.width"
        )
    return f"takes pictures {', and '.join(limits)}" if limits else None


def _limits(resize: Native | KeepRatio, sizes: NetworkSizes) -> Iterator[str]:
    """Yield what open sides must be."""
    if sizes.multiple_of > 1 and resize.size_divisor % sizes.multiple_of:
        words = sizes.multiple_words
        if sizes.can_be_padded:
            words += (
                f"; resize: {{policy: {resize.policy}, size_divisor: {sizes.multiple_of}}} "
                "pads others"
            )
        yield words
    if sizes.at_least > max(sizes.multiple_of, resize.size_divisor):
        yield sizes.least_words
    if sizes.at_most_hw is not None:
        yield sizes.most_words
