"""The chart as real Helm renders it, and what the objects in it must fit."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from dockerfiles import DOCKER

CHART = DOCKER / "helm" / "tritonseg"
EXAMPLES = sorted((DOCKER / "helm" / "examples").glob("*.yaml"))
RELEASE, NAMESPACE = "seg", "prod"
Object = dict[str, Any]


def example(name: str) -> Object:
    found: Object = yaml.safe_load((DOCKER / "helm" / "examples" / f"{name}.yaml").read_text())
    return found


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> Object:
    """As Helm merges two files of values."""
    both = {**values, **changes}
    for key in values.keys() & changes.keys():
        if isinstance(values[key], dict) and isinstance(changes[key], dict):
            both[key] = merged(values[key], changes[key])
    return both


def rendered(values: Mapping[str, Any]) -> list[Object]:
    """Objects in the order of their kinds and names; needs the libraries of `deploy_tools`."""
    import helm_python

    with helm_python.Chart.load(str(CHART)) as chart:
        texts = chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)
    documents = (
        document
        for path, text in texts.items()
        if not path.endswith("NOTES.txt")
        for document in yaml.safe_load_all(text)
    )
    return sorted(filter(None, documents), key=lambda one: (one["kind"], one["metadata"]["name"]))


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [one for one in objects if one["kind"] == kind]


def pod_of(objects: list[Object]) -> Object:
    (deployment,) = of_kind(objects, "Deployment")
    pod: Object = deployment["spec"]["template"]
    return pod


def containers_of(pod: Object) -> list[Object]:
    spec = pod["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"]]


def without_files(objects: list[Object]) -> list[Object]:
    """The objects without texts that are files of their own, for comparing."""
    return [
        {**one, "data": sorted(one["data"])} if one["kind"] == "ConfigMap"
        else {**one, "spec": [group["name"] for group in one["spec"]["groups"]]}
        if one["kind"] == "PrometheusRule"
        else one
        for one in objects
    ]  # fmt: skip


class KserveModels:
    """Fields of KServe's objects, read off its Python client without importing it.

    Args:
        package: Where `kserve` lies.
    """

    def __init__(self, package: Path) -> None:
        self._models = package / "kserve" / "models"

    def complaints(self, kind: str, value: Any, path: str = "") -> Iterator[str]:
        """Yield what in a value is no field of its type; Kubernetes' own types are passed over."""
        inner = re.fullmatch(r"list\[(.+)\]", kind)
        if inner is not None:
            for number, one in enumerate(value):
                yield from self.complaints(inner.group(1), one, f"{path}[{number}]")
            return
        file = self._models / (re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower() + ".py")
        if not file.is_file():
            return
        types = self._table(file, "openapi_types")
        names = {name: key for key, name in self._table(file, "attribute_map").items()}
        for name, one in value.items():
            if name not in names:
                yield f"{path}.{name} is no field of {kind}"
            else:
                yield from self.complaints(types[names[name]], one, f"{path}.{name}")

    @staticmethod
    def _table(file: Path, name: str) -> dict[str, str]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                found: dict[str, str] = ast.literal_eval(node.value)
                return found
        raise LookupError(f"{file}: {name}")
