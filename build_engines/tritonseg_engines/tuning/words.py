"""A report in words and tables: the sentences that every form of it has, and the Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tritonseg_engines.load_test.result import LoadResult
from tritonseg_engines.tuning.bottleneck import bottleneck, in_words, step_loads, unseen_ms
from tritonseg_engines.tuning.contest import Contestant
from tritonseg_engines.tuning.frontier import points
from tritonseg_engines.tuning.run import Tuned

TURNS_HEADER = ("configuration", "callers", "goodput, pictures/s", "p99, ms", "answers")
FRONTIER_HEADER = (
    "configuration", "pixels as the export's", "p99, ms", "pictures/s", "callers",
    "nothing beats it",
)  # fmt: skip
STEPS_HEADER = ("step", "processes", "queue, ms", "in", "compute", "out", "busy", "queue : compute")
ARRIVALS_HEADER = (
    "configuration", "arrivals/s", "goodput/s", "p99, ms", "answered", "refused", "failed",
)  # fmt: skip
FEW_ANSWERS = 100
"""Of fewer, the 99th percentile is the slowest."""


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
        f"{tuned.gain:.2f} times"
        if default.goodput_per_s
        else "where what is served today keeps the latency for none of"
    )
    return (
        f"Serve {best.candidate.label}: {best.goodput_per_s:.2f} pictures/s within "
        f"{tuned.options.latency_ms:g} ms, {over} the {default.typical.answered_per_s:.2f} of "
        f"today, measured in turns. {accuracy(best)}"
    )


def line_sentence(tuned: Tuned) -> str | None:
    """Return how long requests should be let wait; None if that is as it was built."""
    before, after = tuned.recommended.candidate.settings.queue_ms, tuned.advised.settings.queue_ms
    if before == after:
        return None
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
        f"{'picture' if len(tuned.options.pictures) == 1 else 'pictures'}, "
        f"{'as files' if tuned.options.transport == 'encoded' else 'as pixels'}, callers on this "
        f"machine; {len(tuned.measured)} configurations in {tuned.took_s / 60:.1f} minutes."
    )
    few = [turn for one in tuned.contestants for turn in one.turns if turn.answered < FEW_ANSWERS]
    if few:
        yield (
            f"{len(few)} of the turns have fewer than {FEW_ANSWERS} answers, so their p99 is the "
            "slowest answer; --max-minutes gives more."
        )
    yield from (curve.failure for curve in tuned.curves if curve.failure is not None)
    unstable = [turn for one in tuned.contestants for turn in one.turns if not turn.is_stable]
    if unstable:
        yield f"{len(unstable)} of the turns did not settle: something else disturbed the machine."


def shown(tuned: Tuned) -> list[tuple[str, Contestant]]:
    """Return what is served today and, if it is another, the recommendation, by name."""
    found = [("today", tuned.default)]
    return found if tuned.keeps_default else [*found, ("recommended", tuned.recommended)]


def turns_rows(tuned: Tuned) -> Iterator[tuple[str, ...]]:
    """Yield what came of the contest."""
    for one in tuned.contestants:
        marks = [name for name, other in shown(tuned) if other is one]
        yield (
            one.candidate.label + "".join(f" ({mark})" for mark in marks),
            f"{one.callers}",
            f"{one.goodput_per_s:.2f}",
            f"{one.p99_ms:.0f}",
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
            why = "not measured" if one.failure else "above the latency"
            yield (one.candidate.label, "", why, "", "", "")


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
    unseen = f"{unseen_ms(one.typical, loads):.1f}"
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
    for name, one in shown(tuned):
        parts += [f"## Where the time goes, {name}", _table(STEPS_HEADER, steps_rows(one))]
    parts += [
        "## Poisson arrivals",
        _table(ARRIVALS_HEADER, arrivals_rows(tuned)),
        "## How it was measured",
        *remarks(tuned),
    ]
    return "\n\n".join(parts) + "\n"


def _arrival(result: LoadResult) -> tuple[str, ...]:
    return (
        f"{result.sent / result.duration_s:.2f}",
        f"{result.goodput_per_s:.2f}",
        f"{result.p99_ms:.0f}",
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
    least_ms = min(one.least_p99_ms for one in tuned.measured)
    return (
        f"Nothing that was tried answers {asked}: the least p99 is {least_ms:.0f} ms. Allow more, "
        "or build in a faster precision or layout."
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(header) + " |", "|---" * len(header) + "|", *lines])
