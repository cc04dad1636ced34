"""Find every attribute of NVIDIA's `tensorrt` that the package touches, by reading its source.

NVIDIA's module is a value named `trt` there, and what it makes has one name per class.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tritonseg_engines.tensorrt

VERSIONS = ("8.6.0", "10.16.1.11", "11.4.0.106")
CLASS_OF = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "parser_error": "ParserError",
    "profile": "IOptimizationProfile",
    "layer": "ILayer",
    "tensor": "ITensor",
    "cache": "ITimingCache",
    "monitor": "IProgressMonitor",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
}
OWN = {("IProgressMonitor", "reporter")}
"""What our subclasses add."""
PACKAGE = Path(tritonseg_engines.tensorrt.__file__).parent
PROCESSES = {PACKAGE / "_machine_probe.py", PACKAGE / "_ahead_of_time.py"}
"""The one touches none of it, the other what only TensorRT-RTX has."""
SOURCES = sorted(set(PACKAGE.glob("*.py")) - PROCESSES)


@dataclass(frozen=True)
class Use:
    """One attribute: its owner (a class or enum, "" for the module) and name."""

    owner: str
    name: str
    guarded: bool


def uses(source: str) -> list[Use]:
    """Return every use in a source text.

    One is guarded in the body of an `if hasattr(...)` for itself or its owner, behind an
    `if not hasattr(...): return`, and as a `getattr` with a default.
    """
    return list(_uses(ast.parse(source), frozenset()))


def is_in(api: Mapping[str, Any], use: Use) -> bool:
    """Tell whether a version's introspection has the attribute."""
    if not use.owner:
        known = {*api["classes"], *api["enums"], *api["functions"], "__version__"}
        return use.name in known
    members = {*api["classes"].get(use.owner, ()), *api["enums"].get(use.owner, ())}
    return use.name in members or (use.owner, use.name) in OWN


def _uses(node: ast.AST, guards: frozenset[str]) -> Iterator[Use]:
    if isinstance(node, ast.FunctionDef):
        for statement in node.body:
            yield from _uses(statement, guards)
            guards |= _left_unless(statement)
        return
    if guard := _guard(node):
        base, _, name = guard.rpartition(".")
        yield from _use(base, name, guarded=True)
        return
    if isinstance(node, ast.Attribute):
        guarded = not guards.isdisjoint({ast.unparse(node), ast.unparse(node.value)})
        yield from _use(ast.unparse(node.value), node.attr, guarded=guarded)
    body = node.body if isinstance(node, ast.If) else []
    for child in ast.iter_child_nodes(node):
        yield from _uses(child, guards | _tested(node) if child in body else guards)


def _use(base: str, name: str, *, guarded: bool) -> Iterator[Use]:
    """Yield the attribute if its base is the module, a class or an enum of it."""
    base = base.removeprefix("self._")
    if base == "trt":
        yield Use("", name, guarded)
    elif base.startswith("trt.") and base.count(".") == 1:
        yield Use(base.removeprefix("trt."), name, guarded)
    elif base in CLASS_OF:
        yield Use(CLASS_OF[base], name, guarded)


def _tested(node: ast.AST) -> frozenset[str]:
    """Return the guards that the body of an `if` has."""
    tests = ast.walk(node.test) if isinstance(node, ast.If) else ()
    return frozenset(guard for guard in map(_guard, tests) if guard)


def _left_unless(statement: ast.stmt) -> frozenset[str]:
    """Return the guard behind which the rest of a function runs: `if not hasattr(...): return`."""
    if (
        isinstance(statement, ast.If)
        and isinstance(statement.test, ast.UnaryOp)
        and isinstance(statement.test.op, ast.Not)
        and isinstance(statement.body[-1], (ast.Return, ast.Raise))
        and (guard := _guard(statement.test.operand))
    ):
        return frozenset({guard})
    return frozenset()


def _guard(node: ast.AST) -> str | None:
    """Return `base.name` for `hasattr(base, "name")` and `getattr(base, "name", default)`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return None
    if (node.func.id, len(node.args)) not in {("hasattr", 2), ("getattr", 3)}:
        return None
    name = node.args[1]
    return f"{ast.unparse(node.args[0])}.{name.value}" if isinstance(name, ast.Constant) else None
