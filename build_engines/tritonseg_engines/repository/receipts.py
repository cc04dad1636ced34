"""What a build leaves to verify a deployment by: a receipt beside every manifest.

It holds the SHA-256 of every file of the model that a server reads, what its configs say but for
what an operator tunes, and canaries: pictures with the class maps that the engine gave when it
passed its gate. Those are made and judged elsewhere (`verification`); here they are JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format
from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.errors import VerificationError
from tritonseg_engines.repository.files import (
    CONFIG_FILE,
    EMPTY_FOLDER_FILE,
    RECEIPT_FILE,
    REPORT_FILES,
    WARM_UP_FOLDER,
    read_config,
)
from tritonseg_engines.repository.messages import texts_of
from tritonseg_steps import contract

RECEIPT: Final = "receipt"
"""In the manifest: that there is one, so that a lost one is told from none."""
RECEIPT_FORMAT: Final = 1
FORMAT, FILES, CONFIGS, CANARIES = "format", "files", "configs", "canaries"
DIGEST, OWN_DIGEST = "digest", "sha256"
TUNED: Final = (
    "max_batch_size", "instance_group", "dynamic_batching", "model_warmup", "optimization",
    "version_policy", "response_cache", "model_transaction_policy", "parameters",
)  # fmt: skip
"""Fields of a config that an operator may change, and the parameters, of which `mask_settings` has
those that decide masks. Source: `ModelConfig` in common/protobuf/model_config.proto."""
_NOT_SERVED: Final = {CONFIG_FILE, RECEIPT_FILE, EMPTY_FOLDER_FILE, *REPORT_FILES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """A receipt as it was read.

    Attributes:
        path: Where.
        document: All it says.
    """

    path: Path
    document: Mapping[str, Any]

    @property
    def files(self) -> Mapping[str, str]:
        """SHA-256 of every served file but the configs, by path in the repository."""
        files: Mapping[str, str] = self.document[FILES]
        return files

    @property
    def configs(self) -> Mapping[str, Mapping[str, Any]]:
        """By folder, a config's `sha256` and what `held_of` made of it."""
        configs: Mapping[str, Mapping[str, Any]] = self.document[CONFIGS]
        return configs

    @property
    def digest(self) -> str | None:
        """What the answers of this build carry as MODEL_DIGEST, in hexadecimal digits."""
        digest: str | None = self.document[DIGEST]
        return digest

    @property
    def canaries(self) -> Sequence[Mapping[str, Any]]:
        """The pictures with their class maps, as `verification.Canary` reads them."""
        canaries: Sequence[Mapping[str, Any]] = self.document[CANARIES]
        return canaries


def write_receipt(
    staging: Path, model: str, version: str, folders: Sequence[str], receipt: Mapping[str, Any]
) -> None:
    """Write the receipt of a model whose other files are all written.

    Args:
        staging: The repository, or what will be moved into it.
        model: Name of the model that clients call.
        version: As Triton counts it.
        folders: Of the model and its steps.
        receipt: What the build knows: canaries, versions, the machine.
    """
    configs = {
        folder: {
            "sha256": sha256_of(staging / folder / CONFIG_FILE),
            "held": held_of(read_config(staging / folder / CONFIG_FILE)),
        }
        for folder in folders
    }
    files = {
        path.relative_to(staging).as_posix(): sha256_of(path)
        for folder in folders
        for path in _served_files(staging / folder, version)
    }
    published = texts_of(read_config(staging / model / CONFIG_FILE), version)
    digest = json.loads(published.get(contract.DIGEST_PARAMETER, "null"))
    document = {FORMAT: RECEIPT_FORMAT, **receipt, DIGEST: digest, FILES: files, CONFIGS: configs}
    (staging / model / version / RECEIPT_FILE).write_text(_text(document), encoding="utf-8")


def read_receipt(path: Path) -> Receipt | None:
    """Read a receipt; None where there is none.

    Raises:
        VerificationError: It is damaged, or of a later tritonseg.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise VerificationError(f"{RECEIPT_FILE} cannot be read ({error})") from error
    if not isinstance(document, dict):
        raise VerificationError(f"{RECEIPT_FILE} is damaged: expected an object")
    bare = {key: value for key, value in document.items() if key != OWN_DIGEST}
    if text != _text(bare):
        raise VerificationError(f"{RECEIPT_FILE} is damaged: its own SHA-256 differs")
    if document.get(FORMAT) != RECEIPT_FORMAT:
        raise VerificationError(
            f"{RECEIPT_FILE}: expected format {RECEIPT_FORMAT}, got {document.get(FORMAT)}; verify "
            "with the tritonseg that built the model"
        )
    return Receipt(path=path, document=document)


def held_of(config: pb.ModelConfig) -> dict[str, Any]:
    """Return what a config says beside what an operator tunes and its parameters."""
    held = pb.ModelConfig()
    held.CopyFrom(config)
    for name in TUNED:
        held.ClearField(name)
    document: dict[str, Any] = json_format.MessageToDict(held, preserving_proto_field_name=True)
    return document


def _served_files(folder: Path, version: str) -> Iterator[Path]:
    for part in (version, WARM_UP_FOLDER):
        for path in sorted((folder / part).rglob("*")):
            if path.is_file() and path.name not in _NOT_SERVED:
                yield path


def _text(document: Mapping[str, Any]) -> str:
    """Return the only text of a document, with the digest of the rest at its end."""
    rest = json.dumps(document, sort_keys=True)
    digest = hashlib.sha256(rest.encode()).hexdigest()
    whole = dict(sorted(document.items())) | {OWN_DIGEST: digest}
    return json.dumps(whole, indent=2) + "\n"
