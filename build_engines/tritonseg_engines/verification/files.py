"""Whether a repository's files are those of its receipts; nothing is run."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tritonseg_engines.checksum import exchanged, sha256_of
from tritonseg_engines.errors import RepositoryError, VerificationError
from tritonseg_engines.rebuild import rebuild_command
from tritonseg_engines.repository.check import changed_since_build
from tritonseg_engines.repository.configs import folder_names
from tritonseg_engines.repository.files import (
    CONFIG_FILE,
    FIRST_VERSION,
    MANIFEST_FILE,
    RECEIPT_FILE,
    WRITTEN_IN_VERSION,
    read_config,
    version_folders,
)
from tritonseg_engines.repository.leftovers import leftovers
from tritonseg_engines.repository.manifests import (
    RecordedVersion,
    manifest_of_ours,
    models_without,
    read_manifest,
    recorded_versions,
)
from tritonseg_engines.repository.receipts import RECEIPT, Receipt, held_of, read_receipt
from tritonseg_engines.repository.served_versions import is_left_out

NO_RECEIPT: Final = "has no receipt, because an earlier tritonseg built it"
PUT_BACK: Final = "put back what was built, or build the model again with `tritonseg build`"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """A version of a model, as its files are.

    Attributes:
        model: Name of the model that clients call.
        version: As Triton counts it.
        label: The model's name, and the version where there are several.
        receipt: What its build left; None where that is lost, or was never written.
        problem: What is wrong first, with file and cure; None if all is as built.
        remarks: What is no problem, but should be known.
        cure: What makes the model anew.
        is_served: Whether the version policy lets Triton load it.
    """

    model: str
    version: str
    label: str
    receipt: Receipt | None = None
    problem: str | None = None
    remarks: tuple[str, ...] = ()
    cure: str = PUT_BACK
    is_served: bool = True


def check_files(
    repository: Path, models: Collection[str] = (), *, exact: bool = False
) -> list[Checked]:
    """Hold every file of the models that tritonseg built against their receipts.

    Args:
        repository: Folder that Triton is started on.
        models: Only these; empty for all.
        exact: Whether a config must be the build's own to the byte, and not only in what no
            operator tunes.

    Raises:
        VerificationError: There is no such folder or model, or no model that tritonseg built.
    """
    if not repository.is_dir():
        raise VerificationError(f"there is no model repository at {repository}")
    lost = [
        _without_manifest(repository / name)
        for name in models_without(repository)
        if _is_asked(name, models)
    ]
    left = [_left(name, line) for name, line in leftovers(repository).items() if not models]
    versions = [one for one in recorded_versions(repository) if _is_asked(one.model, models)]
    found = [
        one for one in (_checked(version, exact=exact) for version in versions) if one is not None
    ]
    missing = set(models) - {one.model for one in (*found, *lost)}
    if missing:
        raise VerificationError(
            f"{repository} holds no model {min(missing)} that tritonseg built; name one that it "
            "does, or build it"
        )
    if not (found or lost or left):
        raise VerificationError(f"{repository} holds no model that tritonseg built")
    return [*left, *lost, *found]


def _is_asked(name: str, models: Collection[str]) -> bool:
    return not models or any(name in folder_names(model) for model in models)


def _without_manifest(model: Path) -> Checked:
    versions = version_folders(model) or {FIRST_VERSION: model}
    file = f"{model.name}/{min(versions, key=int)}/{MANIFEST_FILE}"
    line = f"{file} is missing, which says what was proven; {PUT_BACK}"
    return Checked(model=model.name, version="", label=model.name, problem=line)


def _left(name: str, line: str) -> Checked:
    return Checked(model=name, version="", label=name, problem=line)


def _checked(version: RecordedVersion, *, exact: bool) -> Checked | None:
    """Return a version as its files are; None for one of another team's, or without an engine."""
    receipt = None
    bare = Checked(model=version.model, version=version.version, label=version.label)
    try:
        receipt = read_receipt(version.folder / RECEIPT_FILE)
        bare = replace(bare, receipt=receipt)
        problem = None if receipt is None else next(_receipt_problems(version, receipt), None)
        if problem is not None:
            return replace(bare, problem=problem)
        return _checked_by_manifest(version, bare, exact=exact)
    except VerificationError as error:
        name = f"{version.model}/{version.version}"
        return replace(bare, problem=f"{name}/{error}; {PUT_BACK}")
    except RepositoryError as error:
        line = str(error).replace(f"{version.repository}/", "")
        return replace(bare, problem=f"{line}; {PUT_BACK}")


def _checked_by_manifest(version: RecordedVersion, bare: Checked, *, exact: bool) -> Checked | None:
    """Return the same by manifest and configs, once every file is the receipt's."""
    manifest, receipt = manifest_of_ours(version), bare.receipt
    if manifest is None or not manifest.get("files"):
        return None
    cure = f"build it again: {rebuild_command(manifest, version.repository)}"
    remarks = [f"{NO_RECEIPT}; {cure}"] if receipt is None else []
    problem = _unproven(version)
    if problem is None and receipt is None:
        problem = _lost_receipt(version, manifest, cure)
    elif problem is None and receipt is not None:
        problem, remarks = _config_findings(version, receipt, cure, exact=exact)
    is_served = not is_left_out(version.folder.parent, version.version)
    if not is_served:
        remarks.append("is not served: version_policy leaves it out")
    return replace(bare, problem=problem, remarks=tuple(remarks), cure=cure, is_served=is_served)


def _receipt_problems(version: RecordedVersion, receipt: Receipt) -> Iterator[str]:
    built_as = f"{receipt.document['model']}/{receipt.document['version']}"
    if built_as != f"{version.model}/{version.version}":
        yield (
            f"{version.model}/{version.version}/{RECEIPT_FILE} is that of {built_as}; remove the "
            "folder, or give it its name back"
        )
    again = PUT_BACK
    with contextlib.suppress(RepositoryError):
        manifest = read_manifest(version.manifest_path)
        again = f"build it again: {rebuild_command(manifest, version.repository)}"
    for name, digest in receipt.files.items():
        wrong = exchanged(version.repository / name, digest)
        if wrong is not None:
            yield f"{name} {wrong}; {again}"
    for folder in receipt.configs:
        if not (version.repository / folder / CONFIG_FILE).is_file():
            yield f"{folder}/{CONFIG_FILE} is missing; {again}"
        for path in sorted((version.repository / folder / version.version).glob("*")):
            if path.name not in WRITTEN_IN_VERSION and not path.name.startswith("."):
                yield (
                    f"{path.relative_to(version.repository)} is of no build, and what lies there "
                    "may be loaded in place of what is; remove it"
                )


def _config_findings(
    version: RecordedVersion, receipt: Receipt, cure: str, *, exact: bool
) -> tuple[str | None, list[str]]:
    """Return what is wrong with the configs, and in which one something was tuned.

    Versions share a config, which each build of one writes anew: any of their receipts will do.
    """
    siblings = [receipt, *_other_receipts(version)]
    remarks = []
    for folder in receipt.configs:
        path = version.repository / folder / CONFIG_FILE
        recorded = [one.configs[folder] for one in siblings if folder in one.configs]
        if sha256_of(path) in {one["sha256"] for one in recorded}:
            continue
        name, held = f"{folder}/{CONFIG_FILE}", held_of(read_config(path))
        if held not in [one["held"] for one in recorded]:
            return f"{name}: {_first_change(receipt, folder, held)}; put that back, or {cure}", []
        tuned = f"{name} is not the build's to the byte; its masks are decided by what is as built"
        if exact:
            return f"{tuned}; verify without --exact if you tuned it, or {cure}", []
        remarks.append(tuned)
    return None, remarks


def _first_change(receipt: Receipt, folder: str, held: Mapping[str, Any]) -> str:
    built = receipt.configs[folder]["held"]
    key = min(key for key in {**built, **held} if built.get(key) != held.get(key))
    return f"{key} is not as built"


def _other_receipts(version: RecordedVersion) -> Sequence[Receipt]:
    found = []
    for path in sorted(version.folder.parent.glob(f"*/{RECEIPT_FILE}")):
        with contextlib.suppress(VerificationError):  # a problem of its own version's
            other = read_receipt(path)
            if other is not None and path.parent != version.folder:
                found.append(other)
    return found


def _lost_receipt(version: RecordedVersion, manifest: Mapping[str, Any], cure: str) -> str | None:
    if RECEIPT not in manifest:
        return None
    name = f"{version.model}/{version.version}/{RECEIPT_FILE}"
    return f"{name} is missing; put it back, or {cure}"


def _unproven(version: RecordedVersion) -> str | None:
    """Return what `serve` and `doctor` find by the manifest, without the name in front."""
    for line in changed_since_build(version.repository, [version.model]):
        label, _, rest = line.partition(": ")
        if label == version.label:
            return rest
    return None
