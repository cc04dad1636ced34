"""Which picture kills workers, so that one that does has a row and the job an end.

A part whose worker died is begun anew, by another worker. Where that has happened several times in
one run, its pictures are done one by one, and each is written down before; one with which a worker
died twice is left out.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from tritonseg_engines.bulk.parts import Part
from tritonseg_engines.bulk.storage import Storage

FOLDER: Final = "attempts"
CAREFUL_FROM: Final = 3
"""Which beginning of a part is done one by one: workers die of other things as well."""
DEADLY_AT: Final = 2
"""Deaths with a picture alone, by which it is taken to be the cause."""


@dataclass(slots=True, kw_only=True)
class Attempts:
    """The beginnings of one part in one run; a later run knows nothing of them.

    Attributes:
        storage: Of the results.
        name: The file.
        run: The run.
        begun: How often the part was, this time included.
        died_with: Deaths by the position of the picture that was done alone.
    """

    storage: Storage
    name: str
    run: str
    begun: int = 1
    died_with: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, storage: Storage, part: Part, run: str) -> Attempts:
        """Write down that a part begins, and return what is known of its earlier beginnings."""
        attempts = cls(storage=storage, name=f"{FOLDER}/{part.name}.json", run=run)
        if storage.exists(attempts.name):
            # Not flushed, so that it may be empty after a power failure: then nothing is known.
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                attempts._remember(json.loads(storage.read(attempts.name)))
        attempts.note(None)
        return attempts

    @property
    def is_careful(self) -> bool:
        """Whether pictures are to be done one by one."""
        return self.begun >= CAREFUL_FROM

    def is_deadly(self, position: int) -> bool:
        """Return whether a picture is to be left out."""
        return self.died_with[position] >= DEADLY_AT

    def note(self, position: int | None) -> None:
        """Write down which picture is about to be done alone."""
        document = {
            "run": self.run,
            "begun": self.begun,
            "died_with": list(self.died_with.elements()),
            "doing": position,
        }
        self.storage.write(self.name, json.dumps(document).encode(), is_flushed=False)

    def end(self) -> None:
        """Forget all, since the part is finished."""
        self.storage.remove(self.name)

    def _remember(self, document: dict[str, Any]) -> None:
        if document["run"] != self.run:
            return
        begun, deaths = document["begun"] + 1, Counter[int](document["died_with"])
        if document["doing"] is not None:
            deaths[document["doing"]] += 1
        self.begun, self.died_with = begun, deaths
