"""A report in words and tables: the sentences that every form of it has, and the Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from tritonseg_engines.load_test.result import LoadResult
from tritonseg_engines.tuning.bottleneck import bottleneck, in_words, step_loads, unseen_ms
from tritonseg_engines.tuning.contest import ROUNDS, Contestant
from tritonseg_engines.tuning.frontier import points
from tritonseg_engines.tuning.told import FEW_ANSWERS, figures, found, milliseconds, shortfall
from tritonseg_engines.tuning.tuned import Tuned

TURNS_HEADER = ("configuration", "callers", "goodput, pictures/s", "p99, ms", "answers")
FRONTIER_HEADER = (
    "configuration", "pixels as the export's", "p99, ms", "pictures/s", "callers",
    "nothing beats it",
)  # fmt: skip
STEPS_HEADER = ("step", "processes", "queue, ms", "in", "compute", "out", "busy", "queue : compute")
ARRIVALS_HEADER = (
    "configuration", "arrivals/s", "goodput/s", "p99, ms", "answered", "refused", "failed",
)  # fmt: skip


def verdict(tuned: Tuned) -> str:
    """Return what to do, in one sentence or two."""
    default, best = tuned.default, tuned.recommended
    if not best.goodput_per_s:
        return _nothing_in_time(tuned)
    if tuned.keeps_default:
        return (
            f"Keep what is served today: {default.candidate.label} answers "
            f"{default.goodput_per_s:.2f} pictures/s within {tuned.options.latency_ms:g} ms, and "
            f"none of {len(tuned.measured) - 1} others that were tried is better by 3 %."
        )
    over = (
        f"{tuned.gain:.2f} times the {default.goodput_per_s:.2f} of today, measured in turns"
        if default.goodput_per_s
        else f"which today's does not keep: {default.candidate.label}, {figures(default.typical)}"
    )
    return (
        f"Serve {best.candidate.label}: {best.goodput_per_s:.2f} pictures/s within "
        f"{tuned.options.latency_ms:g} ms, {over}{_hasty(tuned)}. {accuracy(best)}"
    )


def _hasty(tuned: Tuned) -> str:
    rounds = len(tuned.default.turns)
    return "" if rounds == ROUNDS else f" (of {ROUNDS} rounds there was time for {rounds})"


def line_sentence(tuned: Tuned) -> str | None:
    """Return how long requests should be let wait, or why not; None if that is as it was built."""
    before, after = tuned.recommended.candidate.settings.queue_ms, tuned.advised.settings.queue_ms
    if before == after:
        return tuned.advice.refused
    instead = f"{before}" if before else "as long as there is room"
    return (
        f"Let requests wait {after} ms at most, and not {instead}: who waits longer is not "
        f"answered within {tuned.options.latency_ms:g} ms, and is better refused at once."
    )


def accuracy(one: Contestant) -> str:
    """Return what the gate measured of the build."""
    found = one.candidate.variant.accuracy
    drop = found.miou_drop_points
    lost = "" if drop is None else f", {abs(drop):.2f} points of mIoU {_which(drop)}"
    return (
        f"When it was built, {found.equal_pixels:.3%} of the pixels had the export's class{lost} "
        f"({found.pictures})."
    )


def _which(drop: float) -> str:
    return "gained" if drop < 0 else "lost"


def bottleneck_sentence(tuned: Tuned, one: Contestant) -> str:
    """Return what holds a configuration up."""
    loads = step_loads(one.candidate, one.typical)
    if not loads:
        return (
            f"{one.candidate.variant.model} keeps its own line, so Triton does not count how long "
            "requests wait and how long they are worked on"
        )
    return in_words(
        bottleneck(loads),
        one.typical,
        cores=tuned.options.cores,
        on_cpu=one.candidate.variant.on_cpu,
    )


def remarks(tuned: Tuned) -> Iterator[str]:
    """Yield what a reader must know to believe the figures."""
    yield (
        f"Measured by {tuned.measured_by} with {len(tuned.options.pictures)} "
        f"{'picture' if len(tuned.options.pictures) == 1 else 'pictures'}{_of(tuned)}, "
        f"{'as files' if tuned.options.transport == 'encoded' else 'as pixels'}, callers on this "
        f"machine; {len(tuned.measured)} configurations in {tuned.took_s / 60:.1f} minutes."
    )
    if len(tuned.default.turns) < ROUNDS:
        yield f"There was no time for {ROUNDS} rounds of turns; --max-minutes gives more."
    few = [turn for one in tuned.contestants for turn in one.turns if turn.answered < FEW_ANSWERS]
    if few:
        yield (
            f"{len(few)} {'turn has' if len(few) == 1 else 'turns have'} fewer than {FEW_ANSWERS} "
            "answers, so the p99 is the slowest answer; --max-minutes gives more."
        )
    if not tuned.curves:
        yield "There was no time for arrivals that do not wait; --max-minutes gives more."
    yield from tuned.dropped
    yield from (curve.failure for curve in tuned.curves if curve.failure is not None)
    for one in tuned.contestants:
        yield from _said_of(one.candidate.label, "turns", one.turns)
    for curve in tuned.curves:
        yield from _said_of(curve.label, "rates of arrivals", curve.results)


def _of(tuned: Tuned) -> str:
    named = tuned.options.named_pictures
    return f" of {named}" if named > len(tuned.options.pictures) else ""


def _said_of(label: str, what: str, results: Sequence[LoadResult]) -> Iterator[str]:
    """Yield the remarks of the first result that has some, and how many have."""
    remarked = [one for one in results if one.remarks]
    if remarked:
        first = "; ".join(remarked[0].remarks)
        yield f"{label}, {len(remarked)} of {len(results)} {what}: {first}."


def shown(tuned: Tuned) -> list[tuple[str, Contestant]]:
    """Return what is served today and, if it is another, the recommendation, by name."""
    found = [("today", tuned.default)]
    return found if tuned.keeps_default else [*found, ("recommended", tuned.recommended)]


def seen(tuned: Tuned) -> list[tuple[str, Contestant]]:
    """Return those of them of whose steps Triton tells."""
    return [(name, one) for name, one in shown(tuned) if step_loads(one.candidate, one.typical)]


def turns_rows(tuned: Tuned) -> Iterator[tuple[str, ...]]:
    """Yield what came of the contest."""
    for one in tuned.contestants:
        marks = [name for name, other in shown(tuned) if other is one]
        yield (
            one.candidate.label + "".join(f" ({mark})" for mark in marks),
            f"{one.callers}",
            f"{one.goodput_per_s:.2f}",
            _ms(one.p99_ms),
            f"{sum(turn.answered for turn in one.turns)}",
        )


def frontier_rows(tuned: Tuned) -> Iterator[tuple[str, ...]]:
    """Yield what was tried, most goodput first."""
    for point in points(tuned.measured):
        yield (
            point.label,
            f"{point.equal_pixels:.3%}",
            f"{point.p99_ms:.0f}",
            f"{point.goodput_per_s:.2f}",
            f"{point.callers}",
            "yes" if point.on_frontier else "",
        )
    for one in tuned.measured:
        if one.best is None:
            yield (one.candidate.label, "", shortfall(one), "", "", "")


def steps_rows(one: Contestant) -> Iterator[tuple[str, ...]]:
    """Yield where a request's time goes."""
    loads = step_loads(one.candidate, one.typical)
    for load in loads:
        times = load.times
        yield (
            times.model,
            f"{load.instances}",
            *(
                f"{ms:.1f}"
                for ms in (times.queue_ms, times.input_ms, times.infer_ms, times.output_ms)
            ),
            f"{load.busy:.0%}",
            f"{load.queue_to_compute:.2f}",
        )
    unseen = f"{unseen_ms(one.typical, loads):.1f}" if one.typical.answered else "-"
    yield ("line in the first step, and the way", "", unseen, "", "", "", "", "")


def arrivals_rows(tuned: Tuned) -> Iterator[tuple[str, ...]]:
    """Yield what came of Poisson arrivals."""
    for curve in tuned.curves:
        for result in curve.results:
            yield (curve.label, *_arrival(result))


def markdown_report(tuned: Tuned) -> str:
    """Return the report as Markdown."""
    parts = [
        f"# {tuned.variants[0].model}: most pictures within {tuned.options.latency_ms:g} ms",
        verdict(tuned),
        *([] if (line := line_sentence(tuned)) is None else [line]),
        *(f"{name.capitalize()}: {bottleneck_sentence(tuned, one)}." for name, one in shown(tuned)),
        "## In turns",
        _table(TURNS_HEADER, turns_rows(tuned)),
        "## All that was tried",
        _table(FRONTIER_HEADER, frontier_rows(tuned)),
    ]
    for name, one in seen(tuned):
        parts += [f"## Where the time goes, {name}", _table(STEPS_HEADER, steps_rows(one))]
    if tuned.curves:
        parts += ["## Poisson arrivals", _table(ARRIVALS_HEADER, arrivals_rows(tuned))]
    parts += ["## How it was measured", *remarks(tuned)]
    return "\n\n".join(parts) + "\n"


def _arrival(result: LoadResult) -> tuple[str, ...]:
    return (
        f"{result.sent / result.duration_s:.2f}",
        f"{result.goodput_per_s:.2f}",
        _ms(result.p99_ms),
        f"{result.answered}",
        f"{result.refused}",
        f"{result.failed}",
    )


def _nothing_in_time(tuned: Tuned) -> str:
    asked = f"99 of 100 pictures within {tuned.options.latency_ms:g} ms"
    if any(one.goodput_per_s for one in tuned.measured):
        return (
            f"What answered {asked} in the search did not when it was measured again, in turns: "
            "the latency is too close to what there is, or something else disturbed the machine. "
            "Tune again, or allow more."
        )
    least = min(tuned.measured, key=lambda one: one.least_p99_ms)
    if least.least_p99_ms <= tuned.options.latency_ms or not math.isfinite(least.least_p99_ms):
        return f"Nothing that was tried answers {asked}: {found(least)}."
    return (
        f"Nothing that was tried answers {asked}: the least p99 is {least.least_p99_ms:.0f} ms. "
        "Allow more, or build in a faster precision or layout."
    )


def _ms(value_ms: float) -> str:
    return milliseconds(value_ms).removesuffix(" ms")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(header) + " |", "|---" * len(header) + "|", *lines])
