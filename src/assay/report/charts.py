"""Charts of trials: dots with intervals, parts of a whole, courses over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.report.figures import (
    COLOURS,
    GREY,
    INK,
    Figure,
    Palette,
    amount,
    bounds,
    canvas,
    finish,
    interval_text,
    legend_right,
    logarithmic,
)
from assay.scaling import BEYOND, fit
from assay.statistics import Comparison, Estimate


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
        if model := fit({count: estimate.value for count, estimate in points.items()}, cores):
            reach = [model.largest * BEYOND * step / 50 for step in range(1, 51) if model.largest * BEYOND * step >= 50]
            speedup.plot(reach, [model.at(count) for count in reach], ":", color=palette.colour(label), linewidth=1)
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
    quantity: str,
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
            comparison.verdict,
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
    axes.set_xlabel(f"{quantity} relative to {base} (grey: within {margin:.0%}; A/A floor {known})")
    axes.grid(axis="x")
    alt = f"{title}. " + "; ".join(f"{row[0]} {interval_text(row[2].ratio)}: {row[2].verdict}" for row in rows)
    return finish(plot, name, title, alt)


def scatter(
    name: str, title: str, labels: tuple[str, str], points: Sequence[tuple[str, str, float, float]], palette: Palette
) -> Figure:
    """Points of (case name, tool, x, y), of which less x and more y is better: a line joins those that nothing beats.

    Points that another beats in both are hollow; `labels` are those of the axes.
    """
    plot, (axes,) = canvas(3.8)
    places = [(x, y) for _, _, x, y in points]
    front = sorted(one for one in places if not any(x <= one[0] and y >= one[1] and (x, y) != one for x, y in places))
    axes.plot([x for x, _ in front], [y for _, y in front], "-", color=GREY, linewidth=1)
    for case, tool, x, y in points:
        fill = None if (x, y) in front else "none"
        axes.plot([x], [y], palette.marker(tool), color=palette.colour(tool), markerfacecolor=fill, markersize=7)
        axes.annotate(case, (x, y), xytext=(6, 4), textcoords="offset points", fontsize=8)
    logarithmic(axes, "x")
    axes.set_xmargin(0.15)
    axes.set_ylim(0, 1.1 * max((y for _, y in places), default=1.0))  # room for the highest point's name
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.grid()
    words = "; ".join(f"{case} {amount(y)} {labels[1]} with {amount(x)} {labels[0]}" for case, _, x, y in points)
    return finish(plot, name, title, f"{title}. {words}")


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
