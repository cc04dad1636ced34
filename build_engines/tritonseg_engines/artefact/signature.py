"""Signatures of what an image unpacks to, by model-signing's key pairs.

Source: https://github.com/sigstore/model-transparency, "Signing with a key pair".
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tritonseg_engines.errors import ArtefactError

if TYPE_CHECKING:
    from model_signing.hashing import Config

_CURVES: Final = {"secp256r1", "secp384r1", "secp521r1"}
_KEYS: Final = (
    "an elliptic-curve key (P-256, P-384 or P-521) in a PEM file without a password, as "
    "`openssl ecparam -genkey -name prime256v1 -noout -out key.pem` makes"
)


def sign(folder: Path, key: Path, bundle: Path) -> None:
    """Write a signature of every file in a folder.

    Args:
        folder: What an image unpacks to.
        key: The private key; `public_half` has read it.
        bundle: Where the signature is written.
    """
    from model_signing import hashing, signing

    config = signing.Config().use_elliptic_key_signer(private_key=key)
    config.set_hashing_config(_every_file(hashing.Config()))
    config.sign(folder, bundle)


def verify(folder: Path, key: Path, bundle: Path) -> None:
    """Hold a folder against a signature.

    Raises:
        ArtefactError: The signature is not of that key, or not of those files.
    """
    from cryptography.exceptions import InvalidSignature
    from model_signing import hashing, verifying

    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
        config.set_hashing_config(_every_file(hashing.Config()))
        _refuse_other(folder, key, bundle)
        with contextlib.redirect_stdout(io.StringIO()):  # model-signing prints remarks
            config.verify(folder, bundle)
    except InvalidSignature as error:
        raise ArtefactError(f"it was not made by the key of {key}") from error
    except ArtefactError:
        raise
    except Exception as error:  # whatever a stranger's bytes make of the libraries
        raise ArtefactError(f"it does not hold: {_first_line(error)}") from error


def _every_file(config: Config) -> Config:
    """Leave nothing out, as model-signing would with .gitignore."""
    return config.set_ignored_paths(paths=(), ignore_git_paths=False)


def public_half(key: Path) -> bytes:
    """Return the public half of a private key as the content of a PEM file.

    Raises:
        ArtefactError: The key cannot be read, or is none that can sign.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return _pem(load_pem_private_key(key.read_bytes(), None).public_key())
    except (OSError, ValueError, TypeError) as error:
        raise ArtefactError(f"{key}: expected {_KEYS}: {_first_line(error)}") from error


def refuse_no_public_key(key: Path) -> None:
    """Look at a public key before anything is fetched.

    Raises:
        ArtefactError: It is none that can verify.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        _pem(load_pem_public_key(key.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise ArtefactError(
            f"{key}: expected what `openssl ec -in key.pem -pubout -out public.pem` makes of "
            f"{_KEYS}: {_first_line(error)}"
        ) from error


def _pem(key: object) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        raise ValueError("another kind of key")
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _refuse_other(folder: Path, key: Path, bundle: Path) -> None:
    """Refuse a signature of another key, or that leaves out a file that is there."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    document = json.loads(bundle.read_bytes())
    own = hashlib.sha256(_pem(load_pem_public_key(key.read_bytes()))).hexdigest()
    if document["verificationMaterial"]["publicKey"].get("hint") != own:
        raise ArtefactError(f"it was made by another key than that of {key}")
    predicate = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))["predicate"]
    left_out = predicate["serialization"].get("ignore_paths", ())
    if found := [name for name in left_out if (folder / name).exists()]:
        raise ArtefactError(f"it leaves out {found[0]}: sign every file")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
