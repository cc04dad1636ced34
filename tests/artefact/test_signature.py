"""Signatures: model-signing's own command reads them; no byte and no name may be another."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from signing_keys import KeyPair, write_keys
from tritonseg_engines.artefact.signature import (
    public_half,
    refuse_no_public_key,
    sign,
    verify,
)
from tritonseg_engines.errors import ArtefactError


@pytest.fixture
def signed(tmp_path: Path, keys: KeyPair) -> Path:
    """A folder with a signature beside it."""
    folder = tmp_path / "signed"
    for name in ("models/tiny/1/model.onnx", "models/.gitignore", ".git/x", "sbom.cdx.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 50)
    sign(folder, keys.private, tmp_path / "bundle")
    return folder


def test_what_was_signed_is_right_and_model_signing_says_so_too(
    signed: Path, keys: KeyPair
) -> None:
    bundle = signed.with_name("bundle")
    verify(signed, keys.public, bundle)
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(signed)]
    command += ["--signature", str(bundle), "--public_key", str(keys.public)]
    done = subprocess.run(
        [*command, "--no-ignore-git-paths"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_what_model_signings_command_signed_is_right(signed: Path, keys: KeyPair) -> None:
    shutil.rmtree(signed / ".git")
    command = [sys.executable, "-m", "model_signing", "sign", "key", str(signed)]
    command += ["--signature", str(signed.with_name("theirs")), "--private_key", str(keys.private)]
    subprocess.run(command, capture_output=True, check=True)
    verify(signed, keys.public, signed.with_name("theirs"))


CHANGES: dict[str, Callable[[Path], object]] = {
    "other bytes": lambda folder: (folder / "sbom.cdx.json").write_bytes(b"x"),
    "a file more": lambda folder: (folder / "models/tiny/1/model.py").write_text("import os"),
    "a file less": lambda folder: (folder / "sbom.cdx.json").unlink(),
    "a file of git's": lambda folder: (folder / "models/.gitignore").write_text("*"),
    "a file in .git": lambda folder: (folder / ".git/y").write_text("*"),
    "another name": lambda folder: (folder / "sbom.cdx.json").rename(folder / "sbom.json"),
    "two names": lambda folder: [
        (folder / "sbom.cdx.json").rename(folder / "kept"),
        (folder / ".git/x").rename(folder / "sbom.cdx.json"),
        (folder / "kept").rename(folder / ".git/x"),
    ],
    "a link": lambda folder: [
        (folder / "sbom.cdx.json").rename(folder.with_name("outside")),
        (folder / "sbom.cdx.json").symlink_to(folder.with_name("outside")),
    ],
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_folder_is_refused(change: str, signed: Path, keys: KeyPair) -> None:
    CHANGES[change](signed)
    with pytest.raises(ArtefactError, match="it does not hold"):
        verify(signed, keys.public, signed.with_name("bundle"))


def test_any_changed_bit_of_a_file_is_refused(signed: Path, keys: KeyPair) -> None:
    rng, path = np.random.default_rng(0), signed / "models/tiny/1/model.onnx"
    right = path.read_bytes()
    for _ in range(20):
        wrong = bytearray(right)
        wrong[rng.integers(len(right))] ^= 1 << int(rng.integers(8))
        path.write_bytes(wrong)
        with pytest.raises(ArtefactError):
            verify(signed, keys.public, signed.with_name("bundle"))
    path.write_bytes(right)
    verify(signed, keys.public, signed.with_name("bundle"))


def test_another_key_is_refused(signed: Path, other_keys: KeyPair) -> None:
    with pytest.raises(ArtefactError, match="another key"):
        verify(signed, other_keys.public, signed.with_name("bundle"))


def test_a_signature_that_claims_another_key_is_refused(
    signed: Path, other_keys: KeyPair, keys: KeyPair
) -> None:
    bundle = signed.with_name("bundle")
    document = json.loads(bundle.read_text())
    sign(signed, other_keys.private, signed.with_name("theirs"))
    theirs = json.loads(signed.with_name("theirs").read_text())
    theirs["verificationMaterial"] = document["verificationMaterial"]
    bundle.write_text(json.dumps(theirs))
    with pytest.raises(ArtefactError, match="was not made by the key"):
        verify(signed, keys.public, bundle)


def test_a_signature_without_the_keys_name_is_refused(signed: Path, keys: KeyPair) -> None:
    bundle = signed.with_name("bundle")
    document = json.loads(bundle.read_text())
    document["verificationMaterial"]["publicKey"].pop("hint")
    bundle.write_text(json.dumps(document))
    with pytest.raises(ArtefactError):
        verify(signed, keys.public, bundle)


def test_a_signature_that_leaves_files_out_is_refused(signed: Path, keys: KeyPair) -> None:
    from model_signing import hashing, signing

    hashed = hashing.Config().set_ignored_paths(paths=[Path("models")])
    config = signing.Config().use_elliptic_key_signer(private_key=keys.private)
    config.set_hashing_config(hashed).sign(signed, signed.with_name("partly"))
    with pytest.raises(ArtefactError, match="leaves out"):
        verify(signed, keys.public, signed.with_name("partly"))


@pytest.mark.parametrize("part", ["payload", "sig", "all"])
def test_a_damaged_signature_is_refused(part: str, signed: Path, keys: KeyPair) -> None:
    bundle = signed.with_name("bundle")
    document = json.loads(bundle.read_text())
    envelope = document["dsseEnvelope"]
    if part == "payload":
        payload = base64.b64decode(envelope["payload"]).replace(b"sbom", b"sbum")
        envelope["payload"] = base64.b64encode(payload).decode()
    elif part == "sig":
        signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
        signature[-1] ^= 1
        envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    bundle.write_text("{" if part == "all" else json.dumps(document))
    with pytest.raises(ArtefactError):
        verify(signed, keys.public, bundle)


def test_other_curves_are_taken_and_other_keys_are_not(tmp_path: Path) -> None:
    for curve in (ec.SECP384R1(), ec.SECP521R1()):
        pair = write_keys(tmp_path, curve)
        assert public_half(pair.private) == pair.public.read_bytes()
        refuse_no_public_key(pair.public)
    pair = write_keys(tmp_path, ec.SECP256K1())
    edwards = ed25519.Ed25519PrivateKey.generate()
    other, locked = tmp_path / "other.pem", tmp_path / "locked.pem"
    form = (Encoding.PEM, PrivateFormat.PKCS8)
    other.write_bytes(edwards.private_bytes(*form, NoEncryption()))
    key = ec.generate_private_key(ec.SECP256R1())
    locked.write_bytes(key.private_bytes(*form, BestAvailableEncryption(b"password")))
    for path in (pair.private, other, locked, tmp_path / "missing"):
        with pytest.raises(ArtefactError, match="openssl ecparam"):
            public_half(path)
    for path in (pair.public, pair.private, tmp_path / "missing"):
        with pytest.raises(ArtefactError, match="-pubout"):
            refuse_no_public_key(path)
