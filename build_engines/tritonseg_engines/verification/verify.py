"""Verify a repository or a running server: files first, then canaries through what is served."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritonseg_engines.errors import VerificationError
from tritonseg_engines.repository.receipts import Receipt
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.verification.asking import UnansweredError, ask_canaries
from tritonseg_engines.verification.files import Checked, check_files

READY_TIMEOUT_S = 600.0
NONE_SEEN = "its build found no canary: only files were compared"


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One version of a model, verified.

    Attributes:
        model: Name of the model that clients call.
        version: As Triton counts it.
        label: The model's name, and the version where there are several.
        problem: What is wrong first, with file or canary, and cure; None if nothing is.
        unanswered: Whether that is no more than that no answer came.
        busy: Whether the server refused to wait; else it failed, or said nothing.
        remarks: What is no problem, but should be known.
        files: How many were compared.
        equal_pixels: Share of pixels with the build's class by canary, 0-1, as far as asked.
    """

    model: str
    version: str
    label: str
    problem: str | None
    unanswered: bool = False
    busy: bool = False
    remarks: tuple[str, ...] = ()
    files: int = 0
    equal_pixels: Mapping[str, float] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """The one line that says whether it is right, and one for every remark."""
        if self.problem is not None:
            return [f"{self.label}: {self.problem}"]
        counted = [f"{len(self.equal_pixels)} canaries"] if self.equal_pixels else []
        counted += [f"{self.files} files"] if self.files else []
        right = f": {' and '.join(counted)} as built" if counted else ": nothing to compare"
        return [self.label + right, *(f"{self.label}: {line}" for line in self.remarks)]


def verify_repository(
    repository: Path, models: Collection[str] = (), *, exact: bool = False
) -> list[Result]:
    """Verify the models in a repository: their files, and then what a server of its own gives.

    Models whose files are wrong are not loaded.

    Args:
        repository: Folder that Triton is started on.
        models: Only these; empty for all that tritonseg built.
        exact: As for `check_files`.

    Raises:
        VerificationError: There is nothing to verify.
        RepositoryError: The models cannot be served together.
        ServerStartError: There is no Triton, or it does not get ready.
    """
    checked = check_files(repository, models, exact=exact)
    sound = [one for one in checked if can_be_asked(one)]
    if not sound:
        return [result_of(one) for one in checked]
    config = ServerConfig(
        repositories=(repository,),
        models=tuple(dict.fromkeys(one.model for one in sound)),
        metrics_port=None,
        ready_timeout_s=READY_TIMEOUT_S,
    )
    with TritonServer(config) as server:
        return [asked(one, server.grpc_url) for one in checked]


def verify_server(url: str, repository: Path, models: Collection[str] = ()) -> list[Result]:
    """Verify what a running server gives against the receipts of a repository.

    Args:
        url: `HOST:PORT` of its gRPC.
        repository: Where the receipts lie; no other of its files is read, but configs.
        models: Only these; empty for all that have a receipt there.

    Raises:
        VerificationError: There is no such repository or model.
    """
    checked = check_files(repository, models)
    return [asked(replace(one, problem=_no_receipt(one)), url, files=False) for one in checked]


def can_be_asked(checked: Checked) -> bool:
    """Return whether its files are right and there are canaries to ask a server about."""
    return checked.problem is None and checked.receipt is not None and checked.is_served


def result_of(checked: Checked) -> Result:
    """Return what is known of a version of which no server was asked."""
    receipt = checked.receipt
    return Result(
        model=checked.model,
        version=checked.version,
        label=checked.label,
        problem=checked.problem,
        remarks=checked.remarks,
        files=0 if receipt is None else len(receipt.files) + len(receipt.configs),
    )


def asked(checked: Checked, url: str, *, files: bool = True) -> Result:
    """Return what a server gives for the canaries of a version.

    Args:
        checked: The version.
        url: `HOST:PORT` of the server's gRPC.
        files: Whether its files were compared, and are those of that server.
    """
    known = result_of(checked) if files else replace(result_of(checked), files=0)
    if not can_be_asked(checked) or checked.receipt is None:
        return known
    if not checked.receipt.canaries:
        return replace(known, remarks=(*known.remarks, NONE_SEEN))
    try:
        verdict = ask_canaries(url, checked.model, checked.version, checked.receipt)
    except UnansweredError as error:
        line = f"{error}; ask again, or restart the server"
        return replace(known, problem=line, unanswered=True, busy=error.busy)
    except VerificationError as error:
        return replace(known, problem=f"{error}; {checked.cure}")
    problem = verdict.problem
    if problem is not None:
        problem = f"{problem}; {_cure(checked, checked.receipt, files=files)}"
    return replace(known, problem=problem, equal_pixels=verdict.equal_pixels)


def failed(checked: Checked, error: Exception) -> Result:
    """Return that a version was asked, and that something went wrong which nobody thought of."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return replace(
        result_of(checked),
        problem=f"its canaries could not be asked ({reason}); ask again, or restart the server",
        unanswered=True,
    )


def _no_receipt(checked: Checked) -> str | None:
    """Return why no server can be asked; what else is wrong here is not what it serves."""
    return checked.problem if checked.receipt is None else None


def _cure(checked: Checked, receipt: Receipt, *, files: bool) -> str:
    if not files:
        return "restart that server on the repository of the receipt, or build the model again"
    others = _other_versions(receipt)
    if not others:
        return f"its files are as built, so restart, or {checked.cure}"
    return f"its files are as built, but {', '.join(others)}; install that, or {checked.cure}"


def _other_versions(receipt: Receipt) -> Sequence[str]:
    """Return what is installed here in another version than where the model was built."""
    found = []
    for name, built_with in receipt.document["made_with"].items():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            here = importlib.metadata.version(name)
            if here != built_with:
                found.append(f"{name} is {here}, and was {built_with}")
    return found
