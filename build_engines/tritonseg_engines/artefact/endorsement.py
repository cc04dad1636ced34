"""Signatures of an image in its registry, held against what the image unpacks to."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tritonseg_engines.artefact.documents import Descriptor
from tritonseg_engines.artefact.referrers import Signatures, attach_signature, signatures_of
from tritonseg_engines.artefact.registry import Registry, UnavailableError
from tritonseg_engines.artefact.signature import public_half, sign, verify
from tritonseg_engines.errors import ArtefactError


def refuse_unsigned(registry: Registry, signatures: Signatures, unpacked: Path, key: Path) -> None:
    """Let one signature of a public key be right; those of others may be there, too.

    Raises:
        ArtefactError: None is, or the registry does not give one of them.
    """
    reason = _reason_against(registry, signatures, unpacked, key)
    if reason is not None:
        raise ArtefactError(f"expected a signature by the key of {key}: {reason}")


def endorse(registry: Registry, image: Descriptor, unpacked: Path, key: Path) -> None:
    """Sign an image with a private key, unless that has been done."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        public = folder / "public.pem"
        public.write_bytes(public_half(key))
        if _reason_against(registry, signatures_of(registry, image), unpacked, public) is None:
            return
        bundle = folder / "signature.json"
        sign(unpacked, key, bundle)
        attach_signature(registry, image, bundle, folder)


def _reason_against(
    registry: Registry, signatures: Signatures, unpacked: Path, key: Path
) -> str | None:
    """Return why no signature is right, None where one is."""
    reasons = ["there is none; push it with --sign", *signatures.unreadable]
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch, "signature.json")
        for described in signatures.bundles:
            try:
                with bundle.open("wb") as file:
                    registry.fetch(described, file)
                verify(unpacked, key, bundle)
            except UnavailableError:
                raise
            except ArtefactError as error:
                reasons.append(str(error))
            else:
                return None
    return reasons[-1]
