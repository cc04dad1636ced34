"""Which files of a repository make an artefact: what builds wrote, and nothing beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from tritonseg_engines.errors import ArtefactError
from tritonseg_engines.repository.files import (
    CONFIG_FILE,
    EMPTY_FOLDER_FILE,
    MANIFEST_FILE,
    RECEIPT_FILE,
)
from tritonseg_engines.repository.manifests import read_manifest
from tritonseg_engines.verification.files import Checked, check_files


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What is pushed.

    Attributes:
        repository: Where it lies.
        models: Names that clients call.
        files: Paths in the repository, sorted, with slashes.
        checked: Every version of every model, as its receipt has it.
        exports: SHA-256 of the export of each of these, in hexadecimal digits.
        left_out: Folders of the repository of which nothing is pushed.
    """

    repository: Path
    models: tuple[str, ...]
    files: tuple[str, ...]
    checked: tuple[Checked, ...]
    exports: tuple[str, ...]
    left_out: tuple[str, ...]


def content_of(
    repository: Path, models: Collection[str] = (), *, cure: str | None = None
) -> Content:
    """Return the files of models that are what their receipts say.

    Args:
        repository: Folder that Triton is started on, or would be.
        models: Only these; empty for all.
        cure: What to do if one is not; None for what makes the model anew.

    Raises:
        ArtefactError: One is not, or has no receipt.
        VerificationError: There is nothing that tritonseg built.
    """
    checked = check_files(repository, models)
    for one in checked:
        if one.problem is not None:
            raise ArtefactError(f"{one.label}: {with_cure(one.problem, cure)}")
        if one.receipt is None:
            raise ArtefactError(
                f"{one.label}: has no receipt, by which whoever pulls it could verify it; "
                f"{cure or one.cure}"
            )
    files = tuple(sorted({name for one in checked for name in _files(repository, one)}))
    if links := [name for name in files if not (repository / name).is_file()]:
        raise ArtefactError(f"{repository / links[0]}: expected a file; put back what was built")
    folders = {name.partition("/")[0] for name in files}
    return Content(
        repository=repository,
        models=tuple(dict.fromkeys(one.model for one in checked)),
        files=files,
        checked=tuple(checked),
        exports=tuple(_export(repository, one) for one in checked),
        left_out=() if models else tuple(_others(repository, folders)),
    )


def _export(repository: Path, checked: Checked) -> str:
    manifest = read_manifest(repository / checked.model / checked.version / MANIFEST_FILE)
    return str(manifest["provenance"].get("onnx_sha256"))


def with_cure(problem: str, cure: str | None) -> str:
    """Return a line with another advice behind it, where that of a build would mislead."""
    return problem if cure is None else f"{problem.partition('; ')[0]}; {cure}"


def _files(repository: Path, checked: Checked) -> Iterator[str]:
    receipt = checked.receipt
    if receipt is None:
        return
    yield from receipt.files
    for folder in receipt.configs:
        yield f"{folder}/{CONFIG_FILE}"
        empty = f"{folder}/{checked.version}/{EMPTY_FOLDER_FILE}"
        if (repository / empty).is_file():
            yield empty
    for name in (MANIFEST_FILE, RECEIPT_FILE):  # no report: pictures may be in it
        yield f"{checked.model}/{checked.version}/{name}"


def _others(repository: Path, folders: Collection[str]) -> Iterator[str]:
    for path in sorted(repository.iterdir()):
        if path.is_dir() and not path.name.startswith(".") and path.name not in folders:
            yield path.name
