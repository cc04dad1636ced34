"""Pull a repository, which lies where a server finds it only when all of it has been verified."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tritonseg_engines.artefact.content import content_of, with_cure
from tritonseg_engines.artefact.documents import (
    INDEX_TYPE,
    MANIFEST_TYPE,
    MODELS,
    Descriptor,
    ImageManifest,
    diff_ids,
    read_image,
)
from tritonseg_engines.artefact.endorsement import refuse_unsigned
from tritonseg_engines.artefact.index import read_index
from tritonseg_engines.artefact.layers import MODELS_FOLDER, SBOM_FILE
from tritonseg_engines.artefact.machine_target import (
    MachineTarget,
    choose,
    target_of_repository,
)
from tritonseg_engines.artefact.place import placed
from tritonseg_engines.artefact.reference import Reference
from tritonseg_engines.artefact.referrers import signatures_of
from tritonseg_engines.artefact.registry import Registry
from tritonseg_engines.artefact.signature import refuse_no_public_key
from tritonseg_engines.artefact.unpack import unpack
from tritonseg_engines.atomic import write_atomically
from tritonseg_engines.errors import ArtefactError, RepositoryError, VerificationError
from tritonseg_engines.repository.check import unfit_here
from tritonseg_engines.tensorrt import inspect_machine

PUSH_AGAIN: Final = "push it again"


@dataclass(frozen=True, kw_only=True, slots=True)
class PullOrder:
    """What is wanted.

    Attributes:
        reference: From where.
        repository: Folder to make.
        key: Public key that must have signed it; None takes it unsigned.
        target: Key of a target, whatever this machine is; None for this machine.
        replaces: Whether another repository of tritonseg's there may go.
        plain_http: Whether to do without TLS.
        sbom: File to write the SBOM to; None for none.
    """

    reference: Reference
    repository: Path
    key: Path | None = None
    target: str | None = None
    replaces: bool = False
    plain_http: bool = False
    sbom: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """What lies there now.

    Attributes:
        image: By its digest, as `oci://HOST/NAME@sha256:...`.
        target: What it is for.
        models: Those in it.
        signatures: How many it has in the registry that can be read.
        unreadable: Why others of them cannot.
        is_new: Whether it was not there already.
    """

    image: Reference
    target: MachineTarget
    models: tuple[str, ...]
    signatures: int
    unreadable: tuple[str, ...]
    is_new: bool


def pull(order: PullOrder) -> Pulled:
    """Pull what is for this machine, or for a target.

    Raises:
        ArtefactError: Something is missing, changed, unsigned, for another machine, or in the way;
            nothing was written.
    """
    if order.key is not None:
        refuse_no_public_key(order.key)
    with Registry(order.reference, plain_http=order.plain_http) as registry:
        return _pull(registry, order)


def _pull(registry: Registry, order: PullOrder) -> Pulled:
    with _named(order.reference):
        described = _chosen(registry, order)
        image, signatures = _image(registry, described), signatures_of(registry, described)
        if order.key is not None and not signatures.bundles:
            refuse_unsigned(registry, signatures, order.repository, order.key)  # before gigabytes
    with placed(order.repository, replaces=order.replaces) as place:
        with _named(order.reference):
            _download(registry, image, place.staging)
            if order.key is not None:
                refuse_unsigned(registry, signatures, place.staging, order.key)
            models = _verify_content(image, order, place.staging / MODELS_FOLDER)
            sbom = _sbom(place.staging) if order.sbom is not None else b""
        is_new = place.take(place.staging / MODELS_FOLDER)
    if order.sbom is not None:  # of what lies there now, and of nothing that was refused
        write_atomically(order.sbom, sbom)
    return Pulled(
        image=order.reference.at(described.digest),
        target=image.target,
        models=models,
        signatures=len(signatures.bundles),
        unreadable=signatures.unreadable,
        is_new=is_new,
    )


def _chosen(registry: Registry, order: PullOrder) -> Descriptor:
    """Return the image for this machine, or the one that a digest names."""
    reference = order.reference
    name = reference.digest or reference.tag or ""
    document = registry.document(name, f"{INDEX_TYPE}, {MANIFEST_TYPE}")
    if document is None:
        raise ArtefactError("there is no such tag or digest; push it, or look at the name")
    if document.descriptor.media_type == MANIFEST_TYPE:
        target = read_image(document.content).target
        _choose([target], order)
        return document.descriptor
    entries = read_index(document.content)
    target = _choose([entry.target for entry in entries], order)
    return next(entry.descriptor for entry in entries if entry.target.key == target.key)


def _choose(targets: Sequence[MachineTarget], order: PullOrder) -> MachineTarget:
    return choose(targets, inspect_machine(), order.target)


def _image(registry: Registry, described: Descriptor) -> ImageManifest:
    document = registry.document(described.digest, MANIFEST_TYPE)
    if document is None:
        raise ArtefactError(f"{described.digest} is listed and not there; push it again")
    image = read_image(document.content)
    if not described.annotations.items() <= image.annotations.items():
        raise ArtefactError("the index says something else of the image than that of itself")
    return image


def _download(registry: Registry, image: ImageManifest, staging: Path) -> None:
    with tempfile.TemporaryFile(dir=staging.parent) as file:
        registry.fetch(image.config, file)
        file.seek(0)
        named = diff_ids(file.read(), len(image.layers))
    needed = sum(layer.size for layer in image.layers) + sum(image.unpacked_size)
    free = shutil.disk_usage(staging).free
    if needed > free:
        raise ArtefactError(f"{staging.parent.parent}: needs {needed} bytes of room, has {free}")
    for layer, diff_id, size in zip(image.layers, named, image.unpacked_size, strict=True):
        packed = staging.with_name(".layer")
        with packed.open("wb") as file:
            registry.fetch(layer, file)
        unpack(packed, staging, diff_id=diff_id, unpacked_size=size)
        packed.unlink()


def _sbom(unpacked: Path) -> bytes:
    if not (unpacked / SBOM_FILE).is_file():
        raise ArtefactError(f"expected a file {SBOM_FILE} in the image; push it again")
    return (unpacked / SBOM_FILE).read_bytes()


def _verify_content(image: ImageManifest, order: PullOrder, models: Path) -> tuple[str, ...]:
    """Hold the unpacked repository against its receipts, and against what the index said."""
    if not models.is_dir():
        raise ArtefactError(f"expected a folder {MODELS_FOLDER} in the image; push it again")
    content = content_of(models, cure=PUSH_AGAIN)
    present = {path.relative_to(models).as_posix() for path in models.rglob("*") if path.is_file()}
    if extra := sorted(present - set(content.files)):
        raise ArtefactError(f"it holds {extra[0]}, which no build wrote; do not use it")
    target = target_of_repository(models)
    if target != image.target:
        raise ArtefactError(
            f"it says that it is for {image.target.key}, and its receipts that it is for "
            f"{target.key}; push it again"
        )
    if image.annotations.get(MODELS) != ",".join(content.models):
        raise ArtefactError(f"it says that it is {image.annotations.get(MODELS)}, and is not")
    if order.target is None and (unfit := unfit_here(models)):
        raise ArtefactError(with_cure(unfit[0], "build it for this machine, and push that"))
    return content.models


@contextlib.contextmanager
def _named(reference: Reference) -> Iterator[None]:
    """Put the address in front of what is wrong."""
    try:
        yield
    except (ArtefactError, RepositoryError, VerificationError) as error:
        raise ArtefactError(f"{reference}: {error}. Nothing was written") from error
