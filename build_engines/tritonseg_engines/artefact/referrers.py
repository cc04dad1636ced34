"""What refers to an image: its signatures, on registries of OCI 1.1 and before.

Source: OCI Distribution Specification 1.1, "Listing Referrers" and "Referrers Tag Schema".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tritonseg_engines.artefact.documents import (
    DOCUMENT_BYTES,
    EMPTY,
    INDEX_TYPE,
    MANIFEST_TYPE,
    SIGNATURE_TYPE,
    Descriptor,
    listed,
    read_document,
    signature_manifest,
)
from tritonseg_engines.artefact.registry import Registry, UnavailableError
from tritonseg_engines.errors import ArtefactError

_UNDERSTOOD: Final = "OCI-Subject"
"""Header of registries that keep the list themselves."""
_MOST: Final = 20
"""Signatures that are looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signatures:
    """What a registry lists as signatures of an image, whoever made them.

    Attributes:
        bundles: The blobs of those that can be read.
        unreadable: Why not, for each of the others.
    """

    bundles: tuple[Descriptor, ...]
    unreadable: tuple[str, ...]


def attach_signature(registry: Registry, image: Descriptor, bundle: Path, scratch: Path) -> str:
    """Store a signature of an image; return its digest."""
    content = bundle.read_bytes()
    manifest = signature_manifest(content, image)
    for name, blob in (("empty", EMPTY), ("bundle", content)):
        (scratch / name).write_bytes(blob)
        registry.put_blob(scratch / name, Descriptor.of("", blob).digest, len(blob))
    described = Descriptor.of(MANIFEST_TYPE, manifest)
    response = registry.put_document(described.digest, MANIFEST_TYPE, manifest)
    if _UNDERSTOOD not in response.headers:
        line = {**described.to_json(), "artifactType": SIGNATURE_TYPE}
        others = [one for one in _listed(registry, image.digest) if one != line]
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*others, line]}
        registry.put_document(_tag(image.digest), INDEX_TYPE, json.dumps(index).encode())
    return described.digest


def signatures_of(registry: Registry, image: Descriptor) -> Signatures:
    """Return the signatures of an image.

    Raises:
        UnavailableError: The registry does not say which there are, or does not give one.
        ArtefactError: Its list is damaged.
    """
    lines = [
        line
        for line in _listed(registry, image.digest)
        if isinstance(line, dict) and line.get("artifactType") == SIGNATURE_TYPE
    ]
    bundles: list[Descriptor] = []
    unreadable: list[str] = []
    for line in lines[-_MOST:]:
        try:
            bundles.append(_bundle(registry, Descriptor.from_json(line), image))
        except UnavailableError:
            raise
        except ArtefactError as error:  # anybody who may push can add one
            unreadable.append(str(error))
    return Signatures(bundles=tuple(bundles), unreadable=tuple(unreadable))


def _bundle(registry: Registry, described: Descriptor, image: Descriptor) -> Descriptor:
    """Return the blob of a signature."""
    document = registry.document(described.digest, MANIFEST_TYPE)
    if document is None:
        raise ArtefactError(f"the signature {described.digest} is listed and not there")
    manifest = read_document(document.content, MANIFEST_TYPE)
    subject = Descriptor.from_json(manifest.get("subject"))
    layers = [Descriptor.from_json(layer) for layer in listed(manifest, "layers")]
    if subject.digest != image.digest or len(layers) != 1 or layers[0].size > DOCUMENT_BYTES:
        raise ArtefactError(f"{described.digest} is no signature of {image.digest}")
    return layers[0]


def _listed(registry: Registry, digest: str) -> list[Any]:
    document = registry.referrers(digest, INDEX_TYPE)
    if document is None:
        document = registry.document(_tag(digest), INDEX_TYPE)
    if document is None:
        return []
    return listed(read_document(document.content, INDEX_TYPE), "manifests")


def _tag(digest: str) -> str:
    return digest.replace(":", "-")
