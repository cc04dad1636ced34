"""Whether two lists of class names are the same classes, and which is which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tritonseg_engines.errors import EvaluationError

NAMED_CLASSES: Final = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchedClasses:
    """Classes of one list found in another.

    Attributes:
        index_of: Position in the second list, by position in the first.
        how: Why they are held for the same, in words.
    """

    index_of: tuple[int, ...]
    how: str


OF_LABELS: Final = (
    "--label-map FILE says which class each label value is; --match index trusts that both count "
    "the same classes alike"
)


def matched_classes(
    wanted: Sequence[str],
    given: Sequence[str],
    match: str = "name",
    *,
    whose: str = "the data set",
    advice: str = OF_LABELS,
) -> MatchedClasses:
    """Find classes by their names, whatever their case, spaces and hyphens.

    Args:
        wanted: The names that are looked for.
        given: The model's.
        match: "name", or "index" to trust that both lists have the same order.
        whose: The first list's owner, for messages.
        advice: What to do where they are others.

    Raises:
        EvaluationError: They are not the same classes.
    """
    if match == "index":
        if len(wanted) != len(given):
            raise EvaluationError(
                f"expected as many classes as {whose} has, {len(wanted)}, got a model with "
                f"{len(given)}; --label-map says what each label value is"
            )
        return MatchedClasses(
            index_of=tuple(range(len(given))), how="classes by index, as --match index says"
        )
    keys, others = [_key(name) for name in wanted], [_key(name) for name in given]
    if set(keys) != set(others) or len(keys) != len(others) or len(set(keys)) < len(keys):
        raise EvaluationError(f"{_unlike(wanted, given, whose)}. {advice}")
    if keys == others:
        return MatchedClasses(index_of=tuple(range(len(keys))), how="classes of the same names")
    return MatchedClasses(
        index_of=tuple(others.index(key) for key in keys),
        how=f"classes by name, because the model has them in another order than {whose}",
    )


def _key(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _unlike(wanted: Sequence[str], given: Sequence[str], whose: str) -> str:
    keys, others = {_key(name) for name in wanted}, {_key(name) for name in given}
    lost = [name for name in wanted if _key(name) not in others]
    surplus = [name for name in given if _key(name) not in keys]
    parts = [
        text
        for text in (
            f"{whose} alone has {_few(lost)}" if lost else "",
            f"the model alone has {_few(surplus)}" if surplus else "",
        )
        if text
    ] or ["a name comes more than once"]
    return (
        f"expected the {len(wanted)} classes of {whose}, got a model with {len(given)}: "
        f"{'; '.join(parts)}"
    )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_CLASSES} more" if len(names) > NAMED_CLASSES else ""
    return ", ".join(names[:NAMED_CLASSES]) + more
