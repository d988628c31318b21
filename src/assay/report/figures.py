"""Figures: numbers in, SVG and PNG out. The same numbers give the same bytes.

Okabe-Ito colours, one a tool on all pages, with a marker each; text stays text and takes the page's colour.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot
from matplotlib.ticker import LogLocator, NullLocator

from assay.served import SHAPE
from assay.statistics import Comparison, Estimate

# Okabe & Ito 2008, "Color Universal Design"; black and yellow left out, as one page theme or the other hides them.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8A6FDF")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#888888"
# In SVG replaced by `currentColor`, so that one figure suits a light and a dark page; dark enough for PNG on white.
INK = "#123456"

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "assay",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GREY,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}
matplotlib.rcParams.update(STYLE)  # type: ignore[arg-type]

# Inches. Margins are set by hand: a layout engine draws every figure twice more, most of a report's time.
LETTER = 0.078  # width of a letter of a tick label
LEGEND = 1.55


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """A drawn figure: inline SVG for pages, a PNG for Markdown."""

    name: str  # file stem, unique in a report
    title: str
    alt: str  # the figure in words, from the same numbers
    svg: str
    png: bytes


class Palette:
    """One colour and marker a label, the same on all pages; from the eighth on colours return with other markers."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.place = {label: index for index, label in enumerate(sorted(set(labels)))}

    def colour(self, label: str) -> str:
        index = self.place.get(label)
        return GREY if index is None else COLOURS[index % len(COLOURS)]

    def marker(self, label: str) -> str:
        index = self.place.get(label, 0)
        return MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]


def canvas(
    height: float, *, columns: int = 1, names: Sequence[str] = (), legend: str = "", width: float = 8
) -> tuple[Plot, list[Axes]]:
    """Axes with room for tick labels `names` on the left and a legend at the "right" or "top"; inches."""
    plot, axes = plt.subplots(1, columns, figsize=(width, height), squeeze=False)
    plot.subplots_adjust(
        left=(LETTER * max(map(len, names)) + 0.2 if names else 0.75) / width,
        right=1 - (LEGEND if legend == "right" else 0.2) / width,
        bottom=0.5 / height,
        top=1 - (0.4 if legend == "top" else 0.12) / height,
        wspace=0.28,
    )
    return plot, list(axes[0])


def logarithmic(axes: Axes, name: Literal["x", "y"]) -> None:
    """A logarithmic axis with ticks at 1, 2 and 5, also where it spans less than a decade."""
    axes.set(**{f"{name}scale": "log"})
    axis = axes.xaxis if name == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def legend_right(plot: Plot) -> None:
    plot.legend(loc="center right", bbox_to_anchor=(1, 0.5), fontsize=7)


def amount(value: float) -> str:
    """Four digits that count, never an exponent: `12,345`, `123.4`, `0.01234`."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def finish(plot: Plot, name: str, title: str, alt: str) -> Figure:
    svg, png = io.StringIO(), io.BytesIO()
    plot.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    plot.savefig(png, format="png", dpi=144, facecolor="white", metadata={"Software": None})
    plt.close(plot)
    return Figure(name, title, alt, inline(svg.getvalue(), name, alt), png.getvalue())


def inline(svg: str, name: str, alt: str) -> str:
    """An `svg` element for a page: no prologue, ids of its own, the page's text colour."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r'\b(id="|url\(#|xlink:href="#|href="#)', rf"\g<1>{name}-", body)
    body = body.replace(INK, "currentColor")
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'<svg ([^>]*?)height="[^"]*" ([^>]*?)width="[^"]*"', r"<svg \1\2", body)
    escaped = alt.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return body.replace("<svg ", f'<svg role="img" aria-label="{escaped}" ', 1).strip()


def bounds(estimate: Estimate) -> list[list[float]]:
    """Error-bar lengths; none where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return [[0.0], [0.0]]
    return [[estimate.value - estimate.low], [estimate.high - estimate.value]]


def dots(
    name: str,
    title: str,
    unit: str,
    rows: Sequence[tuple[str, str, Estimate, Sequence[float]]],
    failed: Sequence[tuple[str, str]],
    palette: Palette,
) -> Figure:
    """Rows of (case name, label, estimate, every trial), sorted by the caller; failed cases as text rows."""
    total = len(rows) + len(failed)
    plot, (axes,) = canvas(0.7 + 0.3 * max(total, 1), names=[row[0] for row in rows] + [row[0] for row in failed])
    for place, (_, label, estimate, values) in enumerate(rows):
        colour = palette.colour(label)
        axes.plot(values, [place] * len(values), "|", color=colour, alpha=0.6, markersize=9)
        axes.errorbar(
            [estimate.value],
            [place],
            xerr=bounds(estimate),
            fmt=palette.marker(label),
            color=colour,
            capsize=3,
            markersize=6,
        )
        axes.annotate(
            f"{amount(estimate.value)}  n={estimate.n}",
            (max([estimate.high or estimate.value, *values]), place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=INK,
        )
    for place, (_, reason) in enumerate(failed, len(rows)):
        axes.text(0.01, place, reason, transform=axes.get_yaxis_transform(), va="center", fontsize=9, color=INK)
    axes.set_yticks(range(total), [row[0] for row in rows] + [row[0] for row in failed])
    axes.set_ylim(total - 0.5, -0.5)
    axes.set_xlim(left=0, right=max((max([row[2].high or 0, *row[3]]) for row in rows), default=1) * 1.25)
    axes.set_xlabel(unit)
    axes.grid(axis="x")
    alt = f"{title}. " + "; ".join(f"{row[0]} {interval_text(row[2], unit)}" for row in rows)
    return finish(plot, name, title, alt + "".join(f"; {case}: {reason}" for case, reason in failed))


def scaling(
    name: str, title: str, series: Mapping[str, Mapping[int, Estimate]], baseline: str, palette: Palette, cores: int
) -> Figure:
    """Speed-up and efficiency against workers; `series` maps a label to workers to speed-up over the baseline."""
    plot, (speedup, efficiency) = canvas(3.4, columns=2, legend="right")
    counts = sorted({count for points in series.values() for count in points})
    speedup.plot(counts, counts, "--", color=GREY, label="ideal")
    efficiency.axhline(1, linestyle="--", color=GREY)
    spread = 0.05 / max(1, len(series))
    for index, (label, points) in enumerate(sorted(series.items())):
        shift = 1 + (index - len(series) / 2) * spread
        for axes, scale in ((speedup, False), (efficiency, True)):
            places = sorted(points)
            values = [points[count].value / (count if scale else 1) for count in places]
            low = [bounds(points[count])[0][0] / (count if scale else 1) for count in places]
            high = [bounds(points[count])[1][0] / (count if scale else 1) for count in places]
            axes.errorbar(
                [count * shift for count in places],
                values,
                yerr=[low, high],
                fmt=f"{palette.marker(label)}-",
                color=palette.colour(label),
                label=label if not scale else None,
                capsize=2,
                markersize=5,
                linewidth=1,
            )
    for axes, word in ((speedup, f"speed-up over {baseline}"), (efficiency, "efficiency")):
        axes.set_xticks(counts, [f"{count}{'*' if count > cores else ''}" for count in counts])
        axes.set_xlabel("workers" + (" (* more than cores)" if max(counts, default=0) > cores else ""))
        axes.set_ylabel(word)
        axes.set_ylim(bottom=0)
        axes.grid()
    legend_right(plot)
    alt = f"{title}. " + "; ".join(
        f"{label}: " + ", ".join(f"{interval_text(points[count])} at {count}" for count in sorted(points))
        for label, points in sorted(series.items())
    )
    return finish(plot, name, title, alt)


def stacked(name: str, title: str, unit: str, rows: Sequence[tuple[str, Mapping[str, float]]]) -> Figure:
    """Horizontal bars of parts; the parts' order is that of the first row that has them."""
    plot, (axes,) = canvas(0.95 + 0.28 * max(len(rows), 1), names=[row[0] for row in rows], legend="top")
    parts = list(dict.fromkeys(part for _, values in rows for part in values))
    left = [0.0] * len(rows)
    for index, part in enumerate(parts):
        values = [row.get(part, 0.0) for _, row in rows]
        colour = COLOURS[index] if index < len(COLOURS) else GREY
        axes.barh(range(len(rows)), values, left=left, color=colour, label=part, height=0.7)
        left = [start + value for start, value in zip(left, values, strict=True)]
    for place, total in enumerate(left):
        axes.annotate(
            amount(float(f"{total:.3g}")),
            (total, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(rows)), [case for case, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(right=max(left, default=1) * 1.1 or 1)
    axes.set_xlabel(unit)
    axes.grid(axis="x")
    plot.legend(loc="upper center", ncols=min(5, len(parts) or 1), fontsize=8)
    alt = f"{title}. " + "; ".join(
        f"{case}: " + ", ".join(f"{part} {value:.3g}" for part, value in values.items()) for case, values in rows
    )
    return finish(plot, name, title, f"{alt} ({unit})")


def lines(
    name: str,
    title: str,
    labels: tuple[str, str],
    series: Mapping[str, tuple[str, Sequence[tuple[float, float]]]],
    target: float | None,
    palette: Palette,
) -> Figure:
    """`series` maps a case name to its label and points; `labels` are those of the axes."""
    plot, (axes,) = canvas(3.6, legend="right")
    for case, (label, points) in series.items():
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            marker=palette.marker(label),
            linestyle="-" if case.endswith("×1") else "--",
            color=palette.colour(label),
            markersize=3,
            linewidth=1,
            label=case,
        )
    if target is not None:
        axes.axhline(target, linestyle=":", color=GREY, label=f"target {target}")
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.grid()
    legend_right(plot)
    ends = "; ".join(
        f"{case} ends at {points[-1][1]:.4g} after {points[-1][0]:.3g} s" for case, (_, points) in series.items()
    )
    return finish(plot, name, title, f"{title}. {ends}")


def forest(
    name: str,
    title: str,
    rows: Sequence[tuple[str, str, Comparison]],
    margin: float,
    floor: float | None,
    base: str,
    palette: Palette,
) -> Figure:
    """Paired ratios with the equivalence zone and the noise floor; rows of (case name, label, comparison)."""
    plot, (axes,) = canvas(0.7 + 0.3 * max(len(rows), 1), names=[row[0] for row in rows])
    axes.axvspan(1 / (1 + margin), 1 + margin, color=GREY, alpha=0.18, linewidth=0)
    axes.axvline(1, color=GREY, linewidth=1)
    for place, (_, label, comparison) in enumerate(rows):
        ratio = comparison.ratio
        axes.errorbar(
            [ratio.value],
            [place],
            xerr=bounds(ratio),
            fmt=palette.marker(label),
            color=palette.colour(label),
            capsize=3,
            markersize=6,
        )
        axes.annotate(
            comparison.word,
            (ratio.high or ratio.value, place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xmargin(0.25)
    known = "unknown" if floor is None else f"{floor:.1%}"
    axes.set_xlabel(f"throughput relative to {base} (grey: within {margin:.0%}; A/A floor {known})")
    axes.grid(axis="x")
    alt = f"{title}. " + "; ".join(f"{row[0]} {interval_text(row[2].ratio)}: {row[2].word}" for row in rows)
    return finish(plot, name, title, alt)


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


def repeats(
    name: str, title: str, series: Mapping[str, tuple[str, Sequence[tuple[int, float]]]], palette: Palette
) -> Figure:
    """Every trial in order of execution, relative to its case's geometric mean."""
    plot, (axes,) = canvas(3.2, legend="right")
    for case, (label, points) in series.items():
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            palette.marker(label),
            color=palette.colour(label),
            markersize=4,
            alpha=0.8,
            label=case,
        )
    axes.axhline(1, color=GREY, linewidth=1)
    spread = max((abs(y - 1) for _, points in series.values() for _, y in points), default=0)
    axes.set_ylim(1 - max(1.1 * spread, 0.02), 1 + max(1.1 * spread, 0.02))
    axes.set_xlabel("trial, in order of execution")
    axes.set_ylabel("throughput / the case's mean")
    axes.grid()
    legend_right(plot)
    everything = [y for _, points in series.values() for _, y in points]
    low, high = min(everything, default=1), max(everything, default=1)
    alt = f"{title}. {len(everything)} trials between {low:.3f} and {high:.3f} of their case's mean"
    return finish(plot, name, title, alt)


def interval_text(estimate: Estimate, unit: str = "") -> str:
    """As `12.3 samples/s [11.9, 12.8] (n = 10)`."""
    word = f" {unit}" if unit else ""
    if estimate.low is None or estimate.high is None:
        return f"{amount(estimate.value)}{word} (n = {estimate.n})"
    return f"{amount(estimate.value)}{word} [{amount(estimate.low)}, {amount(estimate.high)}] (n = {estimate.n})"


def save(figures: Sequence[Figure], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        (folder / f"{figure.name}.png").write_bytes(figure.png)
