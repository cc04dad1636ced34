"""Push a repository: packed, unpacked again and held against its receipts, signed, then sent."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tritonseg_engines.artefact.content import Content, content_of
from tritonseg_engines.artefact.documents import (
    CONFIG_TYPE,
    EXPORTS,
    FORMAT,
    INDEX_TYPE,
    MANIFEST_TYPE,
    MARK,
    MODELS,
    Descriptor,
    image_config,
    image_manifest,
)
from tritonseg_engines.artefact.endorsement import endorse
from tritonseg_engines.artefact.index import Entry, merged, read_index
from tritonseg_engines.artefact.layers import (
    MODELS_FOLDER,
    SBOM_FILE,
    Layer,
    document_layer,
    repository_layer,
)
from tritonseg_engines.artefact.machine_target import MachineTarget, target_of_repository
from tritonseg_engines.artefact.reference import Reference
from tritonseg_engines.artefact.registry import Registry
from tritonseg_engines.artefact.sbom import sbom
from tritonseg_engines.artefact.signature import public_half
from tritonseg_engines.artefact.unpack import unpack
from tritonseg_engines.errors import ArtefactError

OTHER_TYPES: Final = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    MANIFEST_TYPE,
)
"""What else a tag may name, so that it is told from an empty one."""
_ATTEMPTS: Final = 5
"""How often an index is written anew that somebody else wrote meanwhile."""
_UNPACKED: Final = "unpacked"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """What is in the registry now.

    Attributes:
        image: The image for this target, by its digest, as `oci://HOST/NAME@sha256:...`.
        index: The index with all targets, the same way.
        target: What the image is for.
        targets: Keys of all in the index.
        models: Those in the image.
        left_out: Folders of the repository that are not.
        size: Of the image's layers, in bytes.
        signed: Whether it was signed.
        remarks: What is no problem of a model, but should be known, as that a config was tuned.
        of_other_exports: Keys of targets whose models were built from other exports.
    """

    image: Reference
    index: Reference
    target: MachineTarget
    targets: tuple[str, ...]
    models: tuple[str, ...]
    left_out: tuple[str, ...]
    size: int
    signed: bool
    remarks: tuple[str, ...]
    of_other_exports: tuple[str, ...]


def push(
    repository: Path,
    reference: Reference,
    models: Collection[str] = (),
    *,
    key: Path | None = None,
    plain_http: bool = False,
) -> Pushed:
    """Push models of a repository under a tag, beside what is there for other targets.

    Args:
        repository: Folder that Triton is started on.
        reference: Where to; with a tag.
        models: Only these; empty for all that tritonseg built.
        key: Private key to sign with; None signs nothing.
        plain_http: Whether to do without TLS.

    Raises:
        ArtefactError: A file is not its receipt's, or the registry does not take it.
        VerificationError: There is nothing that tritonseg built.
    """
    if reference.tag is None or reference.digest is not None:
        raise ArtefactError(f"{reference}: expected a tag to push to, and no digest")
    if key is not None:
        public_half(key)  # before anything is packed
    content = content_of(repository, models)
    target = target_of_repository(repository, content.models)
    with (
        Registry(reference, plain_http=plain_http) as registry,
        tempfile.TemporaryDirectory(prefix="tritonseg-push-") as scratch,
    ):
        folder = Path(scratch)
        _others(registry, reference, target, content)  # before anything is packed
        layers = _packed(content, folder)
        image = _send(registry, layers, target, content, folder)
        if key is not None:
            endorse(registry, image, folder / _UNPACKED, key)
        published = _publish(registry, reference, image, target, content)
    index, entries = Descriptor.of(INDEX_TYPE, published), read_index(published)
    return Pushed(
        image=reference.at(image.digest),
        index=reference.at(index.digest),
        target=target,
        targets=tuple(entry.target.key for entry in entries),
        models=content.models,
        left_out=content.left_out,
        size=sum(layer.size for layer in layers),
        signed=key is not None,
        remarks=tuple(f"{one.label}: {line}" for one in content.checked for line in one.remarks),
        of_other_exports=tuple(
            entry.target.key
            for entry in entries
            if entry.descriptor.annotations.get(EXPORTS) != image.annotations[EXPORTS]
        ),
    )


def _packed(content: Content, folder: Path) -> Sequence[Layer]:
    """Write the layers, and unpack them as `pull` will: a file may have changed meanwhile."""
    layers = (
        repository_layer(content.repository, content.files, folder / "models.tar.gz"),
        document_layer(SBOM_FILE, sbom(content), folder / "sbom.tar.gz"),
    )
    unpacked = folder / _UNPACKED
    unpacked.mkdir()
    for layer in layers:
        unpack(layer.path, unpacked, diff_id=layer.diff_id, unpacked_size=layer.unpacked_size)
    content_of(unpacked / MODELS_FOLDER, cure="it changed just now: push again")
    return layers


def _send(
    registry: Registry,
    layers: Sequence[Layer],
    target: MachineTarget,
    content: Content,
    folder: Path,
) -> Descriptor:
    """Send an image, its manifest last, and return what describes that."""
    config = image_config(layers)
    annotations = {
        **target.annotations,
        MARK: FORMAT,
        MODELS: ",".join(content.models),
        EXPORTS: ",".join(content.exports),
    }
    manifest = image_manifest(config, layers, annotations)
    (folder / "config.json").write_bytes(config)
    described = Descriptor.of(CONFIG_TYPE, config)
    for layer in layers:
        registry.put_blob(layer.path, layer.digest, layer.size)
    registry.put_blob(folder / "config.json", described.digest, described.size)
    image = replace(Descriptor.of(MANIFEST_TYPE, manifest), annotations=annotations)
    registry.put_document(image.digest, MANIFEST_TYPE, manifest)
    return image


def _publish(
    registry: Registry,
    reference: Reference,
    image: Descriptor,
    target: MachineTarget,
    content: Content,
) -> bytes:
    """Add an image to the tag's index, as often as another push comes in between.

    Registries have no lock, so this narrows the gap in which one of two can be lost, no more.
    """
    tag, entry = reference.tag or "", Entry(descriptor=image, target=target)
    for _ in range(_ATTEMPTS):
        index = merged(_others(registry, reference, target, content), entry)
        registry.put_document(tag, INDEX_TYPE, index)
        now = registry.document(tag, INDEX_TYPE)
        if now is not None and image.digest in _digests(now.content):
            return now.content
    raise ArtefactError(f"{tag}: others push to it all the time; push once more")


def _digests(index: bytes) -> set[str]:
    return {entry.descriptor.digest for entry in read_index(index)}


def _others(
    registry: Registry, reference: Reference, target: MachineTarget, content: Content
) -> list[Entry]:
    """Return what the tag has for other targets.

    Raises:
        ArtefactError: The tag is not ours, or is other models.
    """
    there = registry.document(reference.tag or "", ", ".join((INDEX_TYPE, *OTHER_TYPES)))
    if there is None:
        return []
    try:
        entries = read_index(there.content)
    except ArtefactError as error:
        raise ArtefactError(
            f"{reference} is somebody else's, and stays: {error}; give another tag"
        ) from error
    others = [entry for entry in entries if entry.target.key != target.key]
    _refuse_other_models(others, content, reference)
    return others


def _refuse_other_models(others: Sequence[Entry], content: Content, reference: Reference) -> None:
    """Refuse a tag that would mean another model on another machine."""
    for entry in others:
        models = entry.descriptor.annotations.get(MODELS)
        if models != ",".join(content.models):
            raise ArtefactError(
                f"{reference} is {models} for {entry.target.key}, and would be "
                f"{','.join(content.models)} here; give another tag"
            )
