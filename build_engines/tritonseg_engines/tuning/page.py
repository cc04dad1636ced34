"""The report as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator

from tritonseg_engines.html_page import heading, page, paragraph, table
from tritonseg_engines.tuning import plots, words
from tritonseg_engines.tuning.frontier import points
from tritonseg_engines.tuning.tuned import Tuned


def html_report(tuned: Tuned) -> str:
    """Return the page, with its plots in it."""
    title = f"{tuned.variants[0].model}: most pictures within {tuned.options.latency_ms:g} ms"
    return page(title, _parts(tuned))


def _parts(tuned: Tuned) -> Iterator[str]:
    css_class = "verdict passed" if tuned.recommended.goodput_per_s else "verdict refused"
    yield paragraph(words.verdict(tuned), css_class)
    if (line := words.line_sentence(tuned)) is not None:
        yield paragraph(line)
    for name, one in words.shown(tuned):
        yield paragraph(f"{name.capitalize()}: {words.bottleneck_sentence(tuned, one)}.")
    yield table("In turns", words.TURNS_HEADER, words.turns_rows(tuned))
    yield from _searched(tuned)
    seen = words.seen(tuned)
    if seen:
        yield heading("Where the time goes")
        yield plots.step_stack(seen)
        yield plots.queue_to_compute(seen)
    for name, one in seen:
        yield table(name.capitalize(), words.STEPS_HEADER, words.steps_rows(one))
    if tuned.curves:
        yield heading("When requests do not wait for answers")
        yield plots.arrivals_against_goodput(tuned.curves)
        yield table("Poisson arrivals", words.ARRIVALS_HEADER, words.arrivals_rows(tuned))
    yield heading("How it was measured")
    yield from (paragraph(remark) for remark in words.remarks(tuned))


def _searched(tuned: Tuned) -> Iterator[str]:
    yield heading("All that was tried")
    by_candidate = {one.candidate.label: one for one in tuned.measured}
    today = by_candidate[tuned.default.candidate.label]
    recommended = by_candidate[tuned.recommended.candidate.label]
    yield plots.latency_against_throughput(
        tuned.measured, today, recommended, tuned.options.latency_ms
    )
    found = points(tuned.measured)
    if found:
        yield plots.accuracy_against_goodput(found)
    yield table("Most goodput first", words.FRONTIER_HEADER, words.frontier_rows(tuned))
