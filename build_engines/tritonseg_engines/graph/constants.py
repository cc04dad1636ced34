"""Put every constant where engines look for it: among the initializers, read directly."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import (
    IdentityEliminationPass,
    LiftConstantsToInitializersPass,
    RemoveUnusedNodesPass,
)


def gather_constants(model: ir.Model) -> None:
    """Turn Constant nodes of every form into initializers and pass by Identity nodes, in place.

    torch's exporter stores equal weights once and lets the others read them through an Identity;
    TensorRT 8.6 takes only initializers as a convolution's weights.
    """
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    IdentityEliminationPass()(model)
    RemoveUnusedNodesPass()(model)
