"""A zoo network with the weights of a file, or an error that says which file it is instead."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tritonseg_engines import zoo
from tritonseg_engines.checkpoints.reading import read_checkpoint
from tritonseg_engines.checkpoints.recognition import Kind, recognise
from tritonseg_engines.errors import CheckpointError
from tritonseg_engines.zoo.network import SegmentationNetwork
from tritonseg_engines.zoo.networks import FASTSEG
from tritonseg_engines.zoo.published import PUBLISHED_CHECKPOINTS


def load_checkpoint(name: str, path: Path, num_classes: int | None = None) -> SegmentationNetwork:
    """Build a network of the zoo and load a published file, or one trained with upstream's code.

    Args:
        name: Name of a zoo model.
        path: The file as its publisher wrote it.
        num_classes: Classes of the file; the published number unless given.

    Returns:
        The network in evaluation mode. The width of fastseg's head is the file's.

    Raises:
        SpecificationError: There is no such model.
        CheckpointError: The file cannot be read safely or is not the model's; says which it
            seems to be and which is needed.
    """
    spec = zoo.published_spec(name)
    classes = len(spec.classes) if num_classes is None else num_classes
    _refuse_lookalike(name, path)
    arrays = read_checkpoint(path)
    kind = recognise(arrays)
    if kind is not None:
        _check_model(name, path, kind)
        _check_classes(name, path, arrays, kind, classes)
    network = zoo.build_network(name, classes, num_filters=_num_filters(name, arrays))
    try:
        zoo.load_upstream(network, arrays)
    except CheckpointError as error:
        raise CheckpointError(f"{path.name}: {error}. {_needed(name)}") from error
    return network


def _refuse_lookalike(name: str, path: Path) -> None:
    lookalike = PUBLISHED_CHECKPOINTS[name].lookalike
    if lookalike is not None and path.name == lookalike[0]:
        raise CheckpointError(f"{path.name} is {lookalike[1]}. {_needed(name)}")


def _check_model(name: str, path: Path, kind: Kind) -> None:
    if kind.model == name:
        return
    use = f", which is the model {kind.model!r}" if kind.model else ""
    raise CheckpointError(
        f"{path.name}: expected the weights of {name}, got what looks like {kind.title}{use}. "
        f"{_needed(name)}"
    )


def _check_classes(
    name: str, path: Path, arrays: Mapping[str, NDArray[Any]], kind: Kind, expected: int
) -> None:
    classifier = arrays.get(kind.classifier or "")
    if classifier is None or not classifier.shape or classifier.shape[0] == expected:
        return
    raise CheckpointError(
        f"{path.name}: expected {expected} classes for {name}, got {classifier.shape[0]} "
        f"({kind.classifier}). If the file was trained on other classes, say how many "
        f"(num_classes, --num-classes {classifier.shape[0]}). {_needed(name)}"
    )


def _num_filters(name: str, arrays: Mapping[str, NDArray[Any]]) -> int | None:
    """Return the width of fastseg's head in the file, which its name alone tells otherwise."""
    last = arrays.get("last.weight")
    if name != FASTSEG or last is None or last.ndim != 4:
        return None
    return int(last.shape[1])


def _needed(name: str) -> str:
    published = PUBLISHED_CHECKPOINTS[name]
    return f"The published file of {name} is {published.file_name}, at {published.url}"
