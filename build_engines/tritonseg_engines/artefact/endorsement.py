"""Signatures of an image in its registry, held against what the image unpacks to."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tritonseg_engines.artefact.documents import Descriptor
from tritonseg_engines.artefact.referrers import attach_signature, signatures_of
from tritonseg_engines.artefact.registry import Registry
from tritonseg_engines.artefact.signature import public_half, sign, verify
from tritonseg_engines.errors import ArtefactError


def refuse_unsigned(
    registry: Registry, signatures: Sequence[Descriptor], unpacked: Path, key: Path
) -> None:
    """Let one signature of a public key be right; those of others may be there, too.

    Raises:
        ArtefactError: None is.
    """
    reasons = ["there is none; push it with --sign"]
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch, "signature.json")
        for described in signatures:
            with bundle.open("wb") as file:
                registry.fetch(described, file)
            try:
                verify(unpacked, key, bundle)
            except ArtefactError as error:
                reasons.append(str(error))
            else:
                return
    raise ArtefactError(f"expected a signature by the key of {key}: {reasons[-1]}")


def endorse(registry: Registry, image: Descriptor, unpacked: Path, key: Path) -> None:
    """Sign an image with a private key, unless that has been done."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        public = folder / "public.pem"
        public.write_bytes(public_half(key))
        try:
            refuse_unsigned(registry, signatures_of(registry, image), unpacked, public)
        except ArtefactError:
            bundle = folder / "signature.json"
            sign(unpacked, key, bundle)
            attach_signature(registry, image, bundle, folder)
