"""Charts of requests: latency against load and by quantile, and what a search tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.ticker import NullLocator

from assay.report.figures import GREY, INK, Figure, Palette, canvas, finish, legend_right, logarithmic
from assay.served import SHAPE


def curves(
    name: str,
    title: str,
    panels: Sequence[tuple[str, Mapping[str, tuple[str, Sequence[tuple[float, float, bool]]]]]],
    bound: float | None,
    palette: Palette,
) -> Figure:
    """Latency against the offered rate, both logarithmic: a panel a quantile, a line a label.

    A series is its tool and points of (rate, value, whether the server fell behind); `bound` is that of the SLO.
    """
    plot, axes = canvas(3.6, columns=len(panels), legend="right")
    words = []
    for index, (axis, (word, series)) in enumerate(zip(axes, panels, strict=True)):
        for label, (tool, points) in series.items():
            colour = palette.colour(tool)
            axis.plot(
                [rate for rate, _, _ in points],
                [value for _, value, _ in points],
                marker=palette.marker(tool),
                color=colour,
                markersize=4,
                linewidth=1,
                label=label if not index else None,
            )
            behind = [(rate, value) for rate, value, late in points if late]
            axis.plot([x for x, _ in behind], [y for _, y in behind], "x", color=colour, markersize=10)
            words.append(
                f"{label} {word.split(' (')[0]}: "
                + ", ".join(f"{value:.3g} at {rate:g}{' fell behind' if late else ''}" for rate, value, late in points)
            )
        rates = sorted({rate for _, points in series.values() for rate, _, _ in points})
        axis.set_xscale("log")
        logarithmic(axis, "y")
        axis.set_xticks(rates, [f"{rate:g}" for rate in rates])
        axis.xaxis.set_minor_locator(NullLocator())
        if bound:
            axis.axhline(bound, linestyle=":", color=GREY)
        axis.set_xlabel("offered, requests/s")
        axis.set_ylabel(word)
        axis.grid()
    legend_right(plot)
    return finish(plot, name, title, f"{title}. " + "; ".join(words))


def votes(
    name: str,
    title: str,
    rows: Sequence[tuple[str, str, Sequence[tuple[float, bool]], Sequence[tuple[float | None, float | None]]]],
    palette: Palette,
) -> Figure:
    """A search for the largest rate: rows of (case, tool, loads as (rate, passed), brackets of the trials)."""
    plot, (axes,) = canvas(0.95 + 0.3 * max(len(rows), 1), names=[row[0] for row in rows])
    words = []
    for place, (case, tool, loads, brackets) in enumerate(rows):
        colour = palette.colour(tool)
        axes.plot([rate for rate, passed in loads if passed], [place] * sum(p for _, p in loads), "o", color=colour)
        missed = [rate for rate, passed in loads if not passed]
        axes.plot(missed, [place] * len(missed), "x", color=colour)
        for low, high in brackets:
            if low and high:
                axes.plot([low, high], [place - 0.25] * 2, "-", color=INK, linewidth=2)
        words.append(f"{case} " + ", ".join(f"[{low or 'none'}, {high or 'none'}]" for low, high in brackets))
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    logarithmic(axes, "x")
    axes.set_xlabel("offered, requests/s; dot: within the bound, cross: not, bar: the bracket of a trial")
    axes.grid(axis="x")
    return finish(plot, name, title, f"{title}. " + "; ".join(words))


def nines(
    name: str, title: str, series: Mapping[str, tuple[str, int, Sequence[float], Sequence[float]]], palette: Palette
) -> Figure:
    """Distribution on an axis of nines: a series is its tool, n, and ms at the probabilities of `served.SHAPE`."""
    plot, (axes,) = canvas(3.8, legend="right")
    words = []
    for label, (tool, count, responses, services) in series.items():
        # What fewer than five requests say about a tail is not drawn.
        places = [place for place, share in enumerate(SHAPE) if (1 - share) * count >= 5]
        heights = [1 / (1 - SHAPE[place]) for place in places]
        colour = palette.colour(tool)
        axes.plot([responses[place] for place in places], heights, color=colour, label=f"{label} (n={count:,})")
        axes.plot([services[place] for place in places], heights, "--", color=colour, linewidth=0.8)
        if places:
            last = places[-1]
            words.append(f"{label} {responses[last]:.3g} ms at {SHAPE[last]:.4g} (n = {count})")
    logarithmic(axes, "x")
    axes.set_yscale("log")
    axes.set_yticks([1, 2, 10, 100, 1000], ["0", "50 %", "90 %", "99 %", "99.9 %"])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("ms; solid: response, dashed: service")
    axes.set_ylabel("share of requests answered within")
    axes.grid()
    legend_right(plot)
    return finish(plot, name, title, f"{title}. " + "; ".join(words))
