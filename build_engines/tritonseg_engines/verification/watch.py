"""Hold a server back until its canaries are right, and ask again while it serves."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tritonseg_engines.errors import VerificationError
from tritonseg_engines.serving import TritonServer
from tritonseg_engines.verification.files import Checked, check_files
from tritonseg_engines.verification.verify import Result, asked, can_be_asked, failed

PATIENCE: Final = 3
"""Rounds in a row in which a model fails or is silent, after which it counts as stuck."""
RETRY_S: Final = 10.0
"""Between rounds as long as there was no answer."""

OUTCOMES: Final = ("right", "wrong", "busy", "unanswered")
"""What can come of a round: a server that refuses to wait is busy, one that fails or is silent does
not answer."""

logger = logging.getLogger(__name__)


def outcome_of(result: Result) -> str:
    """Return which of `OUTCOMES` a round had for a model."""
    if result.unanswered:
        return "busy" if result.busy else "unanswered"
    return "right" if result.problem is None else "wrong"


def _asked(checked: Checked, url: str) -> Result:
    """Ask about a version; what nobody thought of is no answer, and ends no watch."""
    try:
        return asked(checked, url)
    except Exception as error:
        logger.exception("%s: its canaries could not be asked", checked.label)
        return failed(checked, error)


class Watch:
    """The models of one server that have receipts.

    Args:
        repositories: Folders that Triton is started on.
        models: Only these; empty for all.

    Raises:
        VerificationError: A file of them is not as built.
    """

    def __init__(self, repositories: Sequence[Path], models: Sequence[str] = ()) -> None:
        self._repositories, self._models = repositories, models
        self._checked = self._check()
        wrong = [one for one in self._checked if one.problem is not None]
        if wrong:
            more = f"; {len(wrong) - 1} more, which `tritonseg verify` lists" if wrong[1:] else ""
            raise VerificationError(f"{wrong[0].label}: {wrong[0].problem}{more}")
        self._failures: dict[str, int] = {}
        self._rounds: dict[str, Counter[str]] = defaultdict(Counter)
        self.results: tuple[Result, ...] = ()
        """Of the last round, a model each."""
        self.asked_at_s = 0.0
        """When that was, in Unix time."""
        self.answered: dict[str, Result] = {}
        """Of the last round in which there was an answer, by the model's label."""
        self.right_at_s: dict[str, float] = {}
        """When a model was right last, in Unix time, by its label."""
        self.changed: dict[str, str] = {}
        """What is wrong with files since the start, by the model's label."""

    @property
    def can_ask(self) -> bool:
        """Whether any model has canaries."""
        return any(map(can_be_asked, self._checked))

    @property
    def remarks(self) -> list[str]:
        """What should be known of models that are served, in a line each."""
        return [f"{one.label}: {line}" for one in self._checked for line in one.remarks]

    def before_ready(self, server: TritonServer) -> None:
        """Ask a server that is not ready yet about every canary.

        Raises:
            VerificationError: One is not right.
        """
        self.ask(server.grpc_url)
        for one in self.results:
            if one.problem is not None:
                raise VerificationError(one.lines[0])

    def ask(self, url: str) -> str | None:
        """Ask once; return what is wrong first, None if nothing is.

        A model that fails or is silent `PATIENCE` times in a row is stuck; one that is busy is not.

        Args:
            url: `HOST:PORT` of the server's gRPC.
        """
        results = tuple(_asked(one, url) for one in self._checked if can_be_asked(one))
        asked_at_s = time.time()
        for one in results:
            self._count(one, asked_at_s)
        # Last, so that whoever sees the time of a round sees what came of it.
        self.results, self.asked_at_s = results, asked_at_s
        wrong = [
            one
            for one in self.results
            if one.problem is not None
            and (not one.unanswered or self._failures[one.label] >= PATIENCE)
        ]
        return wrong[0].lines[0] if wrong else None

    def rounds(self, result: Result) -> dict[str, int]:
        """Return how often a model was asked, for each of `OUTCOMES`."""
        return {outcome: self._rounds[result.label][outcome] for outcome in OUTCOMES}

    def look_at_files(self) -> list[str]:
        """Return a line for every model whose files are not those of the start, once for each."""
        now = self._check()
        found = {one.label: one.problem for one in now if one.problem is not None}
        by_version = {(one.model, one.version): one for one in now}
        for before in self._checked:
            after = by_version.get((before.model, before.version))
            if after is None:
                found.setdefault(before.label, "is not in the repository any more")
            elif after.problem is None and after.receipt != before.receipt:
                found.setdefault(
                    before.label,
                    "was built again, and what is served is the build before; start again",
                )
        new = [f"{label}: {line}" for label, line in found.items() if label not in self.changed]
        self.changed = found
        return new

    def _count(self, result: Result, asked_at_s: float) -> None:
        label = result.label
        outcome = outcome_of(result)
        self._rounds[label][outcome] += 1
        self._failures[label] = self._failures.get(label, 0) + 1 if outcome == "unanswered" else 0
        if not result.unanswered:
            self.answered[label] = result
        if outcome == "right":
            self.right_at_s[label] = asked_at_s

    def _check(self) -> list[Checked]:
        found = []
        for repository in self._repositories:
            try:
                # What has no manifest is refused by `serve` itself, in words of its own.
                found += [one for one in check_files(repository) if one.version]
            except VerificationError:
                continue  # another team's
        return [one for one in found if not self._models or one.model in self._models]


class Repeats:
    """Asks again, slowly, in a thread of its own.

    Args:
        watch: What.
        every_s: Seconds between two rounds.
    """

    def __init__(self, watch: Watch, every_s: float) -> None:
        self._watch, self._every_s = watch, every_s
        self._stopped = threading.Event()
        self._problem: str | None = None

    def start(self, url: str) -> None:
        """Begin; it ends with this process, or by `stop`."""
        threading.Thread(target=self._run, args=(url,), name="canaries", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()

    def problem(self) -> str | None:
        """Return what is wrong with the server, None as long as nothing is."""
        return self._problem

    def _run(self, url: str) -> None:
        wait_s = self._every_s
        while not self._stopped.wait(wait_s):
            self._problem = self._watch.ask(url)
            if self._problem is not None:
                return
            is_open = any(one.unanswered for one in self._watch.results)
            wait_s = min(RETRY_S, self._every_s) if is_open else self._every_s
            self._tell_files()

    def _tell_files(self) -> None:
        """Say once what changed on the disk: the server goes on with what it has loaded."""
        try:
            changed = self._watch.look_at_files()
        except Exception as error:  # noqa: BLE001 - canaries are asked on, whatever is on the disk
            reason = str(error) or type(error).__name__
            changed = [f"the repository cannot be read: {reason}"]
        for line in changed:
            logger.warning("%s (a new start would be refused, or serve something else)", line)
