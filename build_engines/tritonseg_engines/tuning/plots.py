"""The report's plots, as SVG that stands in the page."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from tritonseg_engines.tuning.bottleneck import StepLoad, step_loads
from tritonseg_engines.tuning.candidate import Measured
from tritonseg_engines.tuning.contest import Contestant
from tritonseg_engines.tuning.frontier import Point
from tritonseg_engines.tuning.open_loop import Arrivals

SIZE_IN: Final = (5.2, 3.3)
"""Inches, so small that its letters can be read where a phone scales it down."""
SETTINGS: Final[Any] = {"svg.fonttype": "none", "font.size": 10.0, "svg.hashsalt": "tritonseg"}
COLORS: Final = {"queue": "#c9c9c9", "input": "#8fb8de", "compute": "#2f6db5", "output": "#7a5aa6"}
TODAY, RECOMMENDED, OTHER = "#c0504d", "#2a8a57", "#bbbbbb"


def latency_against_throughput(
    measured: Sequence[Measured], today: Measured, recommended: Measured, latency_ms: float
) -> str:
    """Return every configuration's curve over numbers of callers."""

    def draw(axes: Axes) -> None:
        for one in measured:
            color, width, label = OTHER, 1.0, None
            if one is today:
                color, width, label = TODAY, 2.2, "as served today"
            elif one is recommended:
                color, width, label = RECOMMENDED, 2.2, "recommended"
            results = one.by_callers.values()
            axes.plot(
                [result.answered_per_s for result in results],
                [result.p99_ms for result in results],
                marker="o", markersize=3, color=color, linewidth=width, label=label,
                zorder=1 if label is None else 2,
            )  # fmt: skip
        axes.axhline(latency_ms, color="#444444", linestyle="--", linewidth=1)
        axes.annotate(f"{latency_ms:g} ms", (0, latency_ms), xytext=(2, 3),
                      textcoords="offset points", fontsize=9)  # fmt: skip
        axes.set(xlabel="pictures a second", ylabel="p99, ms", xlim=(0, None), yscale="log")
        axes.yaxis.set_major_formatter(LogFormatter())  # 600, and not 6 times 10 to the 2
        axes.yaxis.set_minor_formatter(LogFormatter())
        axes.legend(frameon=False)

    return _svg("Latency against throughput, more callers from point to point", draw)


def step_stack(contestants: Sequence[tuple[str, Contestant]]) -> str:
    """Return where a request's time goes, step by step, for each contestant."""

    def draw(axes: Axes) -> None:
        rows = [(label, load) for label, one in contestants for load in _loads(one)]
        left = [0.0] * len(rows)
        names = [f"{_step_name(load)}\n{label}" for label, load in rows]
        for part, color in COLORS.items():
            values = [_part_ms(load, part) for _, load in rows]
            axes.barh(names, values, left=left, color=color, label=part)
            left = [start + value for start, value in zip(left, values, strict=True)]
        axes.invert_yaxis()
        axes.set(xlabel="ms of a request")
        axes.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.4, 1.0))

    return _svg(None, draw)


def queue_to_compute(contestants: Sequence[tuple[str, Contestant]]) -> str:
    """Return how long requests wait for each step, over how long it works on them."""

    def draw(axes: Axes) -> None:
        for offset, (label, one) in enumerate(contestants):
            loads = _loads(one)
            color = TODAY if label == "today" else RECOMMENDED
            at = [index + 0.35 * offset for index in range(len(loads))]
            axes.bar(at, [load.queue_to_compute for load in loads], 0.33, color=color, label=label)
            axes.set_xticks(at, [_step_name(load) for load in loads])
        axes.axhline(1, color="#444444", linestyle="--", linewidth=1)
        axes.set(ylabel="queue : compute")
        axes.legend(frameon=False)

    return _svg("Waiting over computing, by step", draw)


def arrivals_against_goodput(curves: Sequence[Arrivals]) -> str:
    """Return what arrives against what is answered within the latency."""

    def draw(axes: Axes) -> None:
        for curve, color in zip(curves, (TODAY, RECOMMENDED), strict=False):
            rates = [one.sent / one.duration_s for one in curve.results]
            goodput = [one.goodput_per_s for one in curve.results]
            axes.plot(rates, goodput, marker="o", markersize=4, color=color, label=curve.label)
        most = max(one.sent / one.duration_s for curve in curves for one in curve.results)
        axes.plot([0, most], [0, most], color="#999999", linestyle=":", linewidth=1)
        axes.set(xlabel="arrivals a second (Poisson)", ylabel="answered within the latency, 1/s",
                 xlim=(0, None), ylim=(0, None))  # fmt: skip
        axes.legend(frameon=False, fontsize=8)

    return _svg("Arrivals against goodput", draw)


def accuracy_against_goodput(points: Sequence[Point]) -> str:
    """Return the frontier: what nothing beats is filled."""

    def draw(axes: Axes) -> None:
        for point in points:
            axes.scatter(
                [point.goodput_per_s], [100 * point.equal_pixels], s=28, zorder=2,
                facecolors=RECOMMENDED if point.on_frontier else "none", edgecolors="#555555",
            )  # fmt: skip
        least = min(100 * point.equal_pixels for point in points)
        margin = max(0.1, 0.1 * (100 - least))
        axes.set(xlabel="goodput, pictures a second", ylabel="% of pixels as the export's",
                 xlim=(0, None), ylim=(least - margin, 100 + margin / 2))  # fmt: skip
        axes.ticklabel_format(useOffset=False)

    return _svg("Accuracy against goodput; filled: nothing beats it", draw)


def _loads(one: Contestant) -> list[StepLoad]:
    return step_loads(one.candidate, one.typical)


def _step_name(load: StepLoad) -> str:
    """Return what tells a step from the others: "argmax" of "street_argmax"."""
    return load.setting.removesuffix("_instances")


def _part_ms(load: StepLoad, part: str) -> float:
    times = load.times
    return {
        "queue": times.queue_ms,
        "input": times.input_ms,
        "compute": times.infer_ms,
        "output": times.output_ms,
    }[part]


def _svg(title: str | None, draw: Callable[[Axes], None]) -> str:
    """Return a drawing as an SVG element, without the parts of a file of its own."""
    import matplotlib as mpl

    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=SIZE_IN, layout="constrained")
        axes = figure.add_subplot()
        if title is not None:
            axes.set_title(title, fontsize=10, loc="left")
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return f"<div class=wide>{text[text.index('<svg') :]}</div>"
