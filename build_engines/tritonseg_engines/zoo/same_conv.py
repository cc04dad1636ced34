"""Convolutions padded by TensorFlow's rule SAME.

PaddlePaddle's `padding='same'` and geffnet's `Conv2dSame` follow it. With stride 2 and an even
size it pads only at the right and bottom, where a symmetric padding of `kernel_size // 2` samples
other pixels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tritonseg_engines.graph.same_padding import same_padding


class SameConv2d(nn.Conv2d):
    """Convolution with SAME padding for inputs of any size.

    Exported to ONNX it is one Conv with `auto_pad=SAME_UPPER`, the same rule under ONNX's name;
    padding by a separate operation would leave a graph that computes its pads at run time.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        *,
        groups: int = 1,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, out_channels, ceil(H/stride), ceil(W/stride))`."""
        stride = int(self.stride[0])
        if torch.onnx.is_in_onnx_export():
            exported: Tensor = _SameConvForOnnx.apply(  # type: ignore[no-untyped-call]
                x, self.weight, stride, self.groups
            )
            return exported
        return _same_conv(x, self.weight, stride, self.groups)


def _same_conv(x: Tensor, weight: Tensor, stride: int, groups: int) -> Tensor:
    top, bottom = same_padding(x.shape[-2], weight.shape[-2], stride)
    left, right = same_padding(x.shape[-1], weight.shape[-1], stride)
    return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, stride=stride, groups=groups)


class _SameConvForOnnx(torch.autograd.Function):
    """`_same_conv` in torch and, for the exporter, its ONNX node."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, groups: int) -> Tensor:
        return _same_conv(x, weight, stride, groups)

    @staticmethod
    def symbolic(g: Any, x: Any, weight: Any, stride: int, groups: int) -> Any:
        height, width = weight.type().sizes()[-2:]
        return g.op(
            "Conv",
            x,
            weight,
            auto_pad_s="SAME_UPPER",
            kernel_shape_i=[height, width],
            strides_i=[stride, stride],
            group_i=groups,
        )
