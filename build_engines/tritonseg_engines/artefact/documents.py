"""The JSON documents of an artefact, as bytes that are the same for the same content.

Source: OCI Image Format Specification 1.1, "Image Manifest", "Image Index", "Image Configuration".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tritonseg_engines.artefact.layers import Layer
from tritonseg_engines.artefact.machine_target import (
    TARGET,
    MachineTarget,
    target_of_annotations,
)
from tritonseg_engines.artefact.reference import DIGEST
from tritonseg_engines.errors import ArtefactError

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
EMPTY: Final = b"{}"
SIGNATURE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
"""What model-signing writes. Source: Sigstore's "Sigstore Bundle Format"."""
PLATFORM: Final = {"os": "linux", "architecture": "amd64"}
"""Of Triton's own wheel and of the images in docker/."""
MODELS: Final = "tritonseg.models"
EXPORTS: Final = "tritonseg.exports"
"""Names of the models, and the SHA-256 of the export of each version, with commas."""
UNPACKED: Final = "tritonseg.unpacked-size"
MARK: Final = "tritonseg.artefact"
FORMAT: Final = "1"
DOCUMENT_BYTES: Final = 4 * 2**20
"""The largest manifest that registries need to take. Source: OCI Distribution Specification."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptor:
    """What a document says of another, or of a blob.

    Attributes:
        media_type: What it is.
        digest: `sha256:` and 64 digits.
        size: In bytes.
        annotations: More about it.
    """

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in a document."""
        document = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return document | ({"annotations": dict(self.annotations)} if self.annotations else {})

    @classmethod
    def of(cls, media_type: str, content: bytes) -> Descriptor:
        """Return what describes some bytes."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return cls(media_type=media_type, digest=digest, size=len(content))

    @classmethod
    def from_json(cls, document: Any) -> Descriptor:
        """Read one.

        Raises:
            ArtefactError: It is none.
        """
        fields = document if isinstance(document, dict) else {}
        media_type, digest = fields.get("mediaType"), fields.get("digest")
        size, annotations = fields.get("size"), fields.get("annotations") or {}
        if not (
            isinstance(media_type, str)
            and isinstance(digest, str)
            and DIGEST.fullmatch(digest)
            and type(size) is int
            and size >= 0
            and isinstance(annotations, dict)
        ):
            raise ArtefactError(
                f"expected mediaType, a sha256 digest and a size, got {str(document)[:200]}"
            )
        return cls(media_type=media_type, digest=digest, size=size, annotations=annotations)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageManifest:
    """An image as it was read.

    Attributes:
        config: The document with the layers' diff ids.
        layers: The repository, then the SBOM.
        target: What it says it is for.
        unpacked_size: What it says its layers unpack to, in bytes, in their order.
        annotations: All that it says.
    """

    config: Descriptor
    layers: tuple[Descriptor, ...]
    target: MachineTarget
    unpacked_size: tuple[int, ...]
    annotations: Mapping[str, str]


def image_config(layers: Sequence[Layer]) -> bytes:
    """Return the configuration of an image that has files and runs nothing."""
    diff_ids = [layer.diff_id for layer in layers]
    return json_bytes(
        {**PLATFORM, "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    )


def image_manifest(config: bytes, layers: Sequence[Layer], annotations: Mapping[str, str]) -> bytes:
    """Return the manifest of an image; its annotations are those of its line in the index."""
    described = [
        Descriptor(media_type=LAYER_TYPE, digest=layer.digest, size=layer.size) for layer in layers
    ]
    unpacked = {UNPACKED: ",".join(str(layer.unpacked_size) for layer in layers)}
    return _manifest(
        Descriptor.of(CONFIG_TYPE, config), described, annotations={**annotations, **unpacked}
    )


def signature_manifest(bundle: bytes, subject: Descriptor) -> bytes:
    """Return the manifest of an artefact that is a signature of an image."""
    layer = Descriptor.of(SIGNATURE_TYPE, bundle)
    return _manifest(
        Descriptor.of(EMPTY_TYPE, EMPTY),
        [layer],
        artifactType=SIGNATURE_TYPE,
        subject=subject.to_json(),
    )


def read_image(content: bytes) -> ImageManifest:
    """Read the manifest of an image that `push` made.

    Raises:
        ArtefactError: It is none.
    """
    document = read_document(content, MANIFEST_TYPE)
    annotations = document.get("annotations") or {}
    target = target_of_annotations(annotations) if isinstance(annotations, dict) else None
    sizes = str(annotations.get(UNPACKED)).split(",")
    layers = tuple(Descriptor.from_json(layer) for layer in listed(document, "layers"))
    is_ours = target is not None and all(size.isdecimal() for size in sizes)
    config = Descriptor.from_json(document.get("config"))
    if not is_ours or target is None or len(sizes) != len(layers) or config.size > DOCUMENT_BYTES:
        raise ArtefactError(
            f"expected an image that `tritonseg push` made (annotations {TARGET} and {UNPACKED}), "
            "got another one"
        )
    return ImageManifest(
        config=config,
        layers=layers,
        target=target,
        unpacked_size=tuple(int(size) for size in sizes),
        annotations=annotations,
    )


def diff_ids(config: bytes, count: int) -> tuple[str, ...]:
    """Return the digests of an image's unpacked layers.

    Raises:
        ArtefactError: There is not one for each.
    """
    try:
        found = json.loads(config)["rootfs"]["diff_ids"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArtefactError(f"the image's configuration has no rootfs.diff_ids: {error}") from error
    if not isinstance(found, list) or len(found) != count:
        raise ArtefactError(f"the image's configuration: expected {count} rootfs.diff_ids")
    return tuple(str(one) for one in found)


def read_document(content: bytes, media_type: str) -> dict[str, Any]:
    """Parse a document of one media type.

    Raises:
        ArtefactError: It is none.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"expected a JSON document of the registry: {error}") from error
    got = document.get("mediaType") if isinstance(document, dict) else None
    if not isinstance(document, dict) or got != media_type:
        raise ArtefactError(f"expected a document of the type {media_type}, got {got or 'another'}")
    return document


def listed(document: Mapping[str, Any], key: str) -> list[Any]:
    """Return a list in a document; an empty one where there is none."""
    found = document.get(key)
    return found if isinstance(found, list) else []


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """Return a document, the same bytes for the same content."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _manifest(
    config: Descriptor, layers: Iterable[Descriptor], **more: Mapping[str, Any] | str
) -> bytes:
    return json_bytes(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
            **more,
        }
    )
