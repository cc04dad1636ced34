"""A prepared network with the steps in its graph, checked as ONNX."""

from __future__ import annotations

import onnx

from tritonseg_engines.build.fuse_check import fixed_sizes
from tritonseg_engines.build.prepared import Prepared
from tritonseg_engines.graph.fuse import fuse_steps


def fuse(prepared: Prepared, network: onnx.ModelProto | None = None) -> onnx.ModelProto:
    sizes = fixed_sizes(prepared)
    fused = fuse_steps(
        prepared.network if network is None else network,
        prepared.spec.preprocessing,
        prepared.upsampling,
        image_hw=sizes.image_hw,
        scores_hw=sizes.scores_hw,
    )
    onnx.checker.check_model(fused, full_check=True)
    return fused
