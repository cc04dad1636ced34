"""Repositories in which everything agrees, checksums and all, but that give other masks.

As after a build that went wrong, or an edit of whoever knows what a build writes. Only the canaries
are those of the build that passed its gate.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf import text_format
from onnx import numpy_helper

from repository_mutations import LAYOUTS, engine_of
from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.repository import mask_settings
from tritonseg_engines.repository.files import MANIFEST_FILE, RECEIPT_FILE, read_config
from tritonseg_engines.repository.receipts import CONFIGS, FILES, OWN_DIGEST, write_receipt
from tritonseg_steps import contract
from tritonseg_steps.digest import PUBLISHED, published_digest

WRITTEN_ANEW = (FILES, CONFIGS, OWN_DIGEST, "digest")


def forge(repository: Path, model: str, kind: str, rng: np.random.Generator) -> None:
    """Change what a model does, and all that is recorded of it but its canaries.

    Args:
        repository: A copy of what `repository_mutations.build_repository` built.
        model: Of `LAYOUTS`.
        kind: One of `FORGERIES`.
        rng: Decides where.
    """
    FORGERIES[kind](repository, model, rng)
    _seal(repository, model)


def age(repository: Path, model: str) -> None:
    """Make of a build what releases wrote that did not publish which engine it has."""
    _publish_engine(repository, model, None)
    _seal_rest(repository, model)


def _preprocessing(key: str, change: Callable[[list[float], np.random.Generator], list[float]]):
    def forgery(repository: Path, model: str, rng: np.random.Generator) -> None:
        if LAYOUTS[model] == "fused":  # its steps are in the graph
            _other_weights(repository, model, rng)
            return
        for folder in _folders(repository, model):
            config = read_config(folder / "config.pbtxt")
            if contract.PREPROCESSING_PARAMETER in config.parameters:
                document = _document(config, contract.PREPROCESSING_PARAMETER)
                values = change(document[key], np.random.default_rng(rng.bit_generator.seed_seq))
                _write(folder, config, contract.PREPROCESSING_PARAMETER, document | {key: values})

    return forgery


def _shifted(values: list[float], rng: np.random.Generator) -> list[float]:
    channel = int(rng.integers(3))
    return [value + 2 * (index == channel) for index, value in enumerate(values)]


def _scaled(values: list[float], rng: np.random.Generator) -> list[float]:
    channel = int(rng.integers(3))
    return [value * (1 + 0.02 * (index == channel)) for index, value in enumerate(values)]


def _other_weights(repository: Path, model: str, rng: np.random.Generator) -> None:
    """The engine of another training: all weights moved by a little."""

    def moved(weights: np.ndarray) -> np.ndarray:
        return weights + rng.normal(0, 0.02, weights.shape) * np.abs(weights).max()

    _with_weights(repository, model, lambda _name, weights: moved(weights))


def _class_order(repository: Path, model: str, rng: np.random.Generator) -> None:
    """The same network with two of its classes exchanged."""
    order = np.arange(4)
    first, second = rng.choice(4, 2, replace=False)
    order[[first, second]] = order[[second, first]]
    _with_weights(
        repository,
        model,
        lambda name, weights: weights[order] if name.startswith("SCORES") else weights,
    )


def _channel_order(repository: Path, model: str, _rng: np.random.Generator) -> None:
    """The same network for BGR."""
    _with_weights(
        repository,
        model,
        lambda name, weights: weights[:, ::-1] if name == "stem.weight" else weights,
    )


FORGERIES: dict[str, Callable[[Path, str, np.random.Generator], None]] = {
    "another mean": _preprocessing("mean", _shifted),
    "another scale": _preprocessing("scale", _scaled),
    "another class order": _class_order,
    "another channel order": _channel_order,
    "another training": _other_weights,
}


def _with_weights(
    repository: Path, model: str, change: Callable[[str, np.ndarray], np.ndarray]
) -> None:
    path = repository / engine_of(repository, model)
    network = onnx.load(path)
    for weights in network.graph.initializer:
        if weights.data_type == onnx.TensorProto.FLOAT and (
            weights.name.endswith((".weight", ".bias"))
        ):
            changed = change(weights.name, numpy_helper.to_array(weights)).astype(np.float32)
            weights.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(changed), weights.name))
    onnx.save(network, path)


def _seal(repository: Path, model: str) -> None:
    _publish_engine(repository, model, sha256_of(repository / engine_of(repository, model)))
    _seal_rest(repository, model)


def _publish_engine(repository: Path, model: str, engine: str | None) -> None:
    config, manifest = repository / model / "config.pbtxt", repository / model / "1" / MANIFEST_FILE
    read, recorded = read_config(config), json.loads(manifest.read_text())
    provenance = _document(read, contract.PROVENANCE_PARAMETER)
    for document in (provenance, recorded["provenance"]):
        del document["engine_sha256"]
        document |= {} if engine is None else {"engine_sha256": engine}
    _write(config.parent, read, contract.PROVENANCE_PARAMETER, provenance)
    manifest.write_text(json.dumps(recorded))


def _seal_rest(repository: Path, model: str) -> None:
    engine = sha256_of(repository / engine_of(repository, model))
    folders = _folders(repository, model)
    digest = _published_digest(read_config(repository / model / "config.pbtxt"), model)
    for folder in folders:
        config = read_config(folder / "config.pbtxt")
        if contract.ENGINE_PARAMETER in config.parameters:
            document = _document(config, contract.ENGINE_PARAMETER)
            _write(folder, config, contract.ENGINE_PARAMETER, document | {"sha256": engine})
        if contract.DIGEST_PARAMETER in config.parameters:
            _write(folder, config, contract.DIGEST_PARAMETER, digest)
    _seal_manifest(repository, model, folders)
    receipt = repository / model / "1" / RECEIPT_FILE
    known = json.loads(receipt.read_text())
    kept = {key: value for key, value in known.items() if key not in WRITTEN_ANEW}
    names = [folder.name for folder in folders]
    receipt.unlink()
    write_receipt(repository, model, "1", names, kept)


def _seal_manifest(repository: Path, model: str, folders: list[Path]) -> None:
    path = repository / model / "1" / MANIFEST_FILE
    manifest = json.loads(path.read_text())
    manifest["files"] = {name: sha256_of(repository / name) for name in manifest["files"]}
    for folder in folders:
        settings = mask_settings._settings(read_config(folder / "config.pbtxt"), "1")
        manifest[mask_settings.SETTINGS][folder.name].update(settings)
    path.write_text(json.dumps(manifest, indent=2) + "\n")


def _published_digest(config: Any, model: str) -> str:
    documents = {key: _document(config, key) for key in PUBLISHED}
    return published_digest(documents, fused=LAYOUTS[model] == "fused")


def _folders(repository: Path, model: str) -> list[Path]:
    return [path.parent for path in sorted(repository.glob(f"{model}*/config.pbtxt"))]


def _document(config: Any, key: str) -> Any:
    return json.loads(config.parameters[key].string_value)


def _write(folder: Path, config: Any, key: str, document: Any) -> None:
    config.parameters[key].string_value = json.dumps(document, sort_keys=True)
    (folder / "config.pbtxt").write_text(text_format.MessageToString(config))


def copied(repository: Path, target: Path) -> Path:
    """Copy a repository into an empty folder."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(repository, target))
