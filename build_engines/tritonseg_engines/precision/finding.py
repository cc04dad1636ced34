"""What a rule of the lint finds."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation: the rule, the node or tensor, and what is wrong with it."""

    rule: str
    where: str
    message: str


def found_at(rule: str, where: ir.Node | ir.Value, message: str) -> Finding:
    """Return a finding at a node or tensor; a node without a name goes by what it writes."""
    named = where.name or (where.outputs[0].name if isinstance(where, ir.Node) else "")
    return Finding(rule, named or "", message)


def type_name(dtype: ir.DataType | None) -> str:
    """Return a type as messages have it."""
    return "none" if dtype is None else dtype.name.lower()
