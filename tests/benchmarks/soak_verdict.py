"""What a soak may find, and whether it found that."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from held import QUANTITIES
from open_loop import OVERLOAD, p99
from recovery import FULL_SPEED, WINDOW_S, full_speed_after_s
from results import markdown_table
from soak_overload import MASK, RECOVERY_S, SETTLING, Soaked

from tritonseg import OverloadedError

MOST_LATER: Final = 3.0
"""Times as late as one caller's, at the slowest hundredth."""
MOST_GROWTH: Final = 0.02
"""Along the line, in the rest of the load: of 500 MiB and 50,000 requests 200 bytes each."""
MOST_ABOVE: Final = 0.05
"""Of the largest sample above the value at first."""
RECOVERED_WITHIN_S: Final = 5.0

_OTHERS_MOVE: Final = ("pss_mib",)
"""What depends on who else on the machine maps the same libraries is shown, and held to nothing."""
_REFUSAL: Final = OverloadedError.__name__


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One line of the table; `is_kept` is None where nothing is asked."""

    what: str
    found: str
    limit: str = ""
    is_kept: bool | None = None


def figures(soaked: Soaked) -> list[Figure]:
    """Hold a soak against its limits."""
    return [
        _capacity(soaked),
        _lateness(soaked),
        *_refusals(soaked),
        _wrong(soaked),
        Figure(
            what="resident memory of who asks, before and after, MiB",
            found=" to ".join(f"{one:.0f}" for one in soaked.asking_mib),
        ),
        *(_flat(what, name, soaked) for what, name in QUANTITIES.items()),
        _recovery(soaked),
    ]


def _capacity(soaked: Soaked) -> Figure:
    goodput = len(soaked.outcome.answered_ms) / soaked.outcome.took_s
    return Figure(
        what="capacity, asked, answered, a second",
        found=f"{soaked.before_per_s:.2f}, {OVERLOAD * soaked.before_per_s:.2f}, {goodput:.2f} "
        f"({goodput / soaked.before_per_s:.3f} of the capacity)",
    )


def _lateness(soaked: Soaked) -> Figure:
    idle_ms, answered_ms = soaked.idle_ms, soaked.outcome.answered_ms
    ratio = p99(answered_ms) / p99(idle_ms)
    return Figure(
        what="p99 of what was answered, to that of one caller before",
        found=f"{p99(answered_ms):.0f} to {p99(idle_ms):.0f} ms, **{ratio:.2f}** (medians "
        f"{statistics.median(answered_ms):.0f} to {statistics.median(idle_ms):.0f} ms)",
        limit=f"{MOST_LATER:g}",
        is_kept=ratio <= MOST_LATER,
    )


def _refusals(soaked: Soaked) -> list[Figure]:
    outcome, called = soaked.outcome, soaked.called
    refused = len(outcome.refused_ms)
    asked = refused + len(outcome.answered_ms) + outcome.others.total()
    unexpected = called.total() - called[MASK] - called[_REFUSAL]
    return [
        Figure(
            what="refused",
            found=f"{refused} of {asked}: {_counted(outcome.refusals)}",
            limit="one reason",
            is_kept=len(outcome.refusals) == 1,
        ),
        Figure(
            what="neither answered nor refused",
            found=_counted(outcome.others + soaked.after.others),
            limit="0",
            is_kept=not outcome.others and not soaked.after.others,
        ),
        Figure(
            what="what the client got, without retries",
            found=_counted(called),
            limit=f"masks and {_REFUSAL}",
            is_kept=unexpected == 0 and called[_REFUSAL] > 0,
        ),
    ]


def _wrong(soaked: Soaked) -> Figure:
    wrong = soaked.outcome.wrong + soaked.after.wrong
    held = len(soaked.outcome.answered_ms) + len(soaked.after.ends_s)
    return Figure(
        what="wrong masks", found=f"{wrong} of {held}", limit="0", is_kept=wrong == 0 and held > 0
    )


def _flat(what: str, name: str, soaked: Soaked) -> Figure:
    course = soaked.courses[name]
    above, is_held = course.most / course.at_first - 1, name not in _OTHERS_MOVE
    first_minutes = SETTLING * soaked.seconds / 60
    return Figure(
        what=f"{what}: after {first_minutes:.3g} minutes, most from then on, slope",
        found=f"{course.at_first:.1f}, {course.most:.1f} ({above:+.1%}), {course.per_hour:+.1f} an "
        f"hour ({course.grew:+.1%} in {course.lasted_s / 60:.3g} minutes)",
        limit=f"{MOST_ABOVE:+.0%}, {MOST_GROWTH:+.0%}" if is_held else "",
        is_kept=(above <= MOST_ABOVE and course.grew <= MOST_GROWTH) if is_held else None,
    )


def _recovery(soaked: Soaked) -> Figure:
    after_s = full_speed_after_s(soaked.after.ends_s, soaked.before_per_s)
    ends_s = soaked.after.ends_s
    rate = len(ends_s) / (ends_s[-1] if ends_s else RECOVERY_S) / soaked.before_per_s
    found = "never" if after_s is None else f"**{after_s:.1f} s**"
    return Figure(
        what=f"four callers at {FULL_SPEED:g} of the capacity in {WINDOW_S:g} s, after the load",
        found=f"{found} ({rate:.3f} of it in all, {soaked.after.refused} refused; slowest window "
        f"before the load {soaked.slowest_window:.3f})",
        limit=f"{RECOVERED_WITHIN_S:g} s",
        is_kept=after_s is not None and after_s <= RECOVERED_WITHIN_S,
    )


def _counted(reasons: Counter[str]) -> str:
    return "; ".join(f"{count} {reason}" for reason, count in reasons.most_common(5)) or "0"


def is_kept(found: Sequence[Figure]) -> bool:
    """Return whether every limit is."""
    return all(figure.is_kept is not False for figure in found)


def table(found: Sequence[Figure]) -> str:
    """Return the table, in Markdown, and the verdict below it."""
    words = {None: "", True: "yes", False: "**no**"}
    rows = [[one.what, one.found, one.limit, words[one.is_kept]] for one in found]
    missed = [one.what for one in found if one.is_kept is False]
    verdict = f"Missed: {'; '.join(missed)}." if missed else "All limits kept."
    return f"{markdown_table(['what', 'found', 'limit', 'kept'], rows)}\n\n{verdict}"


def row(soaked: Soaked, found: Sequence[Figure]) -> dict[str, Any]:
    """Return what is kept of a soak in a JSON file."""
    outcome = soaked.outcome
    return {
        "seconds": soaked.seconds,
        "capacity_per_s": soaked.before_per_s,
        "goodput_per_s": len(outcome.answered_ms) / outcome.took_s,
        "answered": len(outcome.answered_ms),
        "refusals": dict(outcome.refusals),
        "others": dict(outcome.others),
        "wrong": outcome.wrong,
        "client": dict(soaked.called),
        "alone_p99_ms": p99(soaked.idle_ms),
        "answered_p99_ms": p99(outcome.answered_ms),
        "refused_p99_ms": p99(outcome.refused_ms or [0.0]),
        "asking_mib": soaked.asking_mib,
        "held": {name: asdict(course) for name, course in soaked.courses.items()},
        "after_ends_s": list(soaked.after.ends_s),
        "after_refused": soaked.after.refused,
        "full_speed_after_s": full_speed_after_s(soaked.after.ends_s, soaked.before_per_s),
        "figures": [asdict(figure) for figure in found],
    }
