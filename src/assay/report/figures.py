"""Figures: numbers in, SVG and PNG out. The same numbers give the same bytes.

Okabe-Ito colours, one a tool on all pages, with a marker each; text stays text and takes the page's colour.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot
from matplotlib.ticker import LogLocator, NullLocator

from assay.statistics import Estimate

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
    """Four digits that count: `12,345`, `123.4`, `0.01234`."""
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
