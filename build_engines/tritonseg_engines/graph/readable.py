"""An export in the form that everything that reads its graph relies on."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from tritonseg_engines.graph.branches import inline_branches
from tritonseg_engines.graph.constants import gather_constants
from tritonseg_engines.graph.plain_operators import (
    crop_by_slices,
    pad_before_averages,
    pad_transposed_explicitly,
    without_symmetry,
)
from tritonseg_engines.graph.surgery import editable
from tritonseg_engines.graph.unread_outputs import without_unread_outputs


def readable(exported: onnx.ModelProto) -> ir.Model:
    """Return an export with its constants at hand, and its operators as every runtime knows them.

    Exporters hide sizes and axes behind Constant and Identity nodes, through which shapes are
    not inferred.

    Raises:
        OnnxModelError: It is damaged.
    """
    edited = editable(exported)
    inline_branches(edited)
    gather_constants(edited)
    without_symmetry(edited)
    pad_before_averages(edited)
    crop_by_slices(edited)
    pad_transposed_explicitly(edited)
    without_unread_outputs(edited)
    return edited
