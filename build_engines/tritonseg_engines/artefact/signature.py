"""Signatures of what an image unpacks to, by model-signing's key pairs.

Source: https://github.com/sigstore/model-transparency, "Signing with a key pair".
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tritonseg_engines.errors import ArtefactError

if TYPE_CHECKING:
    from model_signing.hashing import Config

_KEYS: Final = (
    "an elliptic-curve key (P-256, P-384 or P-521) in a PEM file without a password, as "
    "`openssl ecparam -genkey -name prime256v1 -noout -out key.pem` makes"
)


def sign(folder: Path, key: Path, bundle: Path) -> None:
    """Write a signature of every file in a folder.

    Args:
        folder: What an image unpacks to.
        key: The private key.
        bundle: Where the signature is written.

    Raises:
        ArtefactError: The key cannot be read, or is none of those.
    """
    from model_signing import hashing, signing

    try:
        config = signing.Config().use_elliptic_key_signer(private_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ArtefactError(f"{key}: expected {_KEYS}: {_first_line(error)}") from error
    config.set_hashing_config(_every_file(hashing.Config()))
    config.sign(folder, bundle)


def verify(folder: Path, key: Path, bundle: Path) -> None:
    """Hold a folder against a signature.

    Raises:
        ArtefactError: The key is none, or the signature is not of that key, or not of those files.
    """
    from cryptography.exceptions import InvalidSignature
    from model_signing import hashing, verifying

    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        public = "openssl ec -in key.pem -pubout -out key.pub"
        raise ArtefactError(
            f"{key}: expected the public half of {_KEYS}, by `{public}`: {_first_line(error)}"
        ) from error
    config.set_hashing_config(_every_file(hashing.Config()))
    try:
        _refuse_left_out(folder, bundle)
        with contextlib.redirect_stdout(io.StringIO()):  # model-signing prints remarks
            config.verify(folder, bundle)
    except InvalidSignature as error:
        raise ArtefactError(f"the signature was not made by the key of {key}") from error
    except ArtefactError:
        raise
    except Exception as error:  # whatever a stranger's bytes make of the libraries
        raise ArtefactError(f"the signature does not hold: {_first_line(error)}") from error


def _every_file(config: Config) -> Config:
    """Leave nothing out, as model-signing would with .gitignore."""
    return config.set_ignored_paths(paths=(), ignore_git_paths=False)


def _refuse_left_out(folder: Path, bundle: Path) -> None:
    """Refuse a signature that says of a file that is there that it is not signed."""
    envelope = json.loads(bundle.read_bytes())["dsseEnvelope"]
    predicate = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    left_out = predicate["serialization"].get("ignore_paths", ())
    if found := [name for name in left_out if (folder / name).exists()]:
        raise ArtefactError(f"the signature leaves out {found[0]}: sign every file")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
