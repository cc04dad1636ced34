"""Repositories that were built, and a thousand ways in which they are no longer what was built."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf import text_format

from residual_network import residual_network, residual_spec
from tritonseg_engines.build.model import build_model
from tritonseg_engines.repository.files import read_config
from tritonseg_steps import contract

LAYOUTS = {"alpha": "ensemble", "beta": "single", "gamma": "fused"}
"""By model; all of one architecture, with other weights."""


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """What was done.

    Attributes:
        kind: Of `MUTATIONS`.
        files: Paths in the repository, or folders, one of which the verdict has to name.
    """

    kind: str
    files: tuple[str, ...]


def build_repository(folder: Path, precision: str = "fp32") -> Path:
    """Build every model of `LAYOUTS`."""
    for seed, (name, layout) in enumerate(LAYOUTS.items()):
        export = folder / f"{name}.onnx"
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(residual_network(seed=seed), export)
        build_model(
            residual_spec(name=name),
            export,
            folder / "repository",
            precision=precision,
            layout=layout,
        )
    return folder / "repository"


def mutate(repository: Path, kind: str, rng: np.random.Generator, spare: Path) -> Mutation:
    """Change a repository in place.

    Args:
        repository: A copy of what `build_repository` built.
        kind: One of `MUTATIONS`.
        rng: Decides where.
        spare: The same models in another precision.
    """
    return Mutation(kind=kind, files=tuple(MUTATIONS[kind](repository, rng, spare)))


def served_files(repository: Path) -> list[str]:
    """Return what was built for a server or a verification to read, by path in the repository."""
    paths = (path for path in sorted(repository.rglob("*")) if path.is_file())
    return [
        path.relative_to(repository).as_posix()
        for path in paths
        if path.stem != "report" and path.name != ".gitkeep" and path.suffix != ".pyc"
    ]


def engine_of(repository: Path, model: str) -> str:
    """Return the path of a model's engine in the repository."""
    (found,) = repository.glob(f"{model}*/1/model.onnx")
    return found.relative_to(repository).as_posix()


def _byte(repository: Path, rng: np.random.Generator, _spare: Path) -> list[str]:
    name = _one(served_files(repository), rng)
    content = bytearray((repository / name).read_bytes())
    content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    (repository / name).write_bytes(content)
    return [name]


def _more(repository: Path, rng: np.random.Generator, _spare: Path) -> list[str]:
    name = _one(served_files(repository), rng)
    with (repository / name).open("ab") as file:
        file.write(b" " if rng.integers(2) else b"\0")
    return [name]


def _swapped(repository: Path, rng: np.random.Generator, _spare: Path) -> list[str]:
    while True:
        names = [_one(served_files(repository), rng) for _ in range(2)]
        first, second = ((repository / name).read_bytes() for name in names)
        if first != second:
            (repository / names[0]).write_bytes(second)
            (repository / names[1]).write_bytes(first)
            return names


def _other_engine(repository: Path, rng: np.random.Generator, _spare: Path) -> list[str]:
    models = rng.permutation(list(LAYOUTS)).tolist()
    target = engine_of(repository, models[0])
    shutil.copyfile(repository / engine_of(repository, models[1]), repository / target)
    return [target]


def _other_precision(repository: Path, rng: np.random.Generator, spare: Path) -> list[str]:
    target = engine_of(repository, _one(list(LAYOUTS), rng))
    shutil.copyfile(spare / target, repository / target)
    return [target]


def _other_model(repository: Path, rng: np.random.Generator, spare: Path) -> list[str]:
    """Everything of one model but its config, of the other build."""
    model = _one(list(LAYOUTS), rng)
    for path in (spare / model).rglob("*.json"):
        shutil.copyfile(path, repository / path.relative_to(spare))
    return [*_own(repository, model), engine_of(repository, model)]


def _class_order(repository: Path, rng: np.random.Generator, _spare: Path) -> list[str]:
    def swap(model: dict) -> None:
        first, second = rng.choice(len(model["classes"]), 2, replace=False).tolist()
        classes = model["classes"]
        classes[first], classes[second] = classes[second], classes[first]

    return [_edited(repository, _one(list(LAYOUTS), rng), contract.MODEL_PARAMETER, swap)]


def _mean_and_scale(repository: Path, rng: np.random.Generator, _spare: Path) -> list[str]:
    folder = _one(["alpha", "alpha_normalize", "alpha_argmax", "beta", "gamma"], rng)

    def shift(preprocessing: dict) -> None:
        key = _one(["mean", "scale"], rng)
        preprocessing[key][int(rng.integers(3))] *= 1 + float(rng.uniform(0.001, 0.5))

    return [_edited(repository, folder, contract.PREPROCESSING_PARAMETER, shift)]


def _truncated(repository: Path, rng: np.random.Generator, _spare: Path) -> list[str]:
    name = engine_of(repository, _one(list(LAYOUTS), rng))
    content = (repository / name).read_bytes()
    (repository / name).write_bytes(content[: int(rng.integers(len(content)))])
    return [name]


def _missing_file(repository: Path, rng: np.random.Generator, _spare: Path) -> list[str]:
    name = _one(served_files(repository), rng)
    (repository / name).unlink()
    return [name]


def _missing_step(repository: Path, rng: np.random.Generator, _spare: Path) -> list[str]:
    folder = _one(["alpha_normalize", "alpha_engine", "alpha_argmax", "alpha"], rng)
    shutil.rmtree(repository / folder)
    return [folder]


def _stranger(repository: Path, rng: np.random.Generator, _spare: Path) -> list[str]:
    """A file beside a step that Python would import in place of ours."""
    step = _one([name for name in served_files(repository) if name.endswith("model.py")], rng)
    name = f"{Path(step).parent.as_posix()}/tritonseg_steps.py"
    (repository / name).write_text("raise SystemExit\n")
    return [name]


def _renamed(repository: Path, rng: np.random.Generator, _spare: Path) -> list[str]:
    name = _one(["beta", "gamma"], rng)
    (repository / name).rename(repository / "renamed")
    return ["renamed", name]


MUTATIONS: dict[str, Callable[[Path, np.random.Generator, Path], list[str]]] = {
    "a byte": _byte,
    "a byte more": _more,
    "two files swapped": _swapped,
    "another model's engine": _other_engine,
    "another precision's engine": _other_precision,
    "another build's documents": _other_model,
    "another class order": _class_order,
    "another mean or scale": _mean_and_scale,
    "a truncated engine": _truncated,
    "a missing file": _missing_file,
    "a missing step": _missing_step,
    "a file too many": _stranger,
    "a folder renamed": _renamed,
}


def _own(repository: Path, model: str) -> list[str]:
    return [name for name in served_files(repository) if name.partition("/")[0] == model]


def _edited(repository: Path, folder: str, key: str, change: Callable[[dict], None]) -> str:
    """Change a JSON document in a config's parameters; return the config's path."""
    path = repository / folder / "config.pbtxt"
    config = read_config(path)
    document = json.loads(config.parameters[key].string_value)
    change(document)
    config.parameters[key].string_value = json.dumps(document, sort_keys=True)
    path.write_text(text_format.MessageToString(config))
    return f"{folder}/config.pbtxt"


def _one(names: list[str], rng: np.random.Generator) -> str:
    return names[int(rng.integers(len(names)))]
