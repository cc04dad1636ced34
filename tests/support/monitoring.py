"""Rules and the dashboard as they ship, and what their queries ask for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from dockerfiles import DOCKER

CHART = DOCKER / "helm" / "tritonseg"
FILES = CHART / "files"
MONITORING = DOCKER / "monitoring"
RULES = [FILES / "recording.yaml", FILES / "alerts.yaml"]


def rules(path: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load(path.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FILES / "dashboard.json").read_text())["panels"]
    return found


def panel_queries() -> dict[str, list[str]]:
    """By panel; its variable stands for all models."""
    return {
        panel["title"]: [one["expr"].replace("$served_model", ".*") for one in panel["targets"]]
        for panel in panels()
        if "targets" in panel
    }


def all_queries() -> list[str]:
    by_rule = [rule["expr"] for path in RULES for rule in rules(path)]
    return [*by_rule, *(query for queries in panel_queries().values() for query in queries)]


def metric_names(query: str) -> set[str]:
    """What a query reads, by the syntax tree of a parser that is not ours."""
    return {one.name for one in selectors(promql_parser.parse(query)) if one.name is not None}


def selectors(tree: object) -> Iterator[Any]:
    if isinstance(tree, promql_parser.VectorSelector):
        yield tree
        return
    children = tree if isinstance(tree, list) else [
        getattr(tree, name) for name in ("expr", "lhs", "rhs", "args", "vector_selector", "param")
        if hasattr(tree, name)
    ]  # fmt: skip
    for child in children:
        yield from selectors(child)
