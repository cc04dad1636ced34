"""TensorFlow's padding rule SAME, which ONNX calls SAME_UPPER."""

from __future__ import annotations


def same_padding(size: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """Return how many cells the rule adds before and after an axis of the given size.

    Source: TensorFlow, `tf.nn.convolution`, padding "SAME": the output has `ceil(size / stride)`
    cells, and what cannot be split evenly goes to the end.
    """
    steps = -(-size // stride)
    total = max((steps - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2
