"""The page of the ranking: gates, scores, and how much they depend on the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.measured import METRICS, Question
from assay.ranking import DRAWS, ROBUST, ClaimGate, Criterion, Figure, FigureGate, Ranking, Values
from assay.report.document import Heading, Items, Paragraph, Part, Table
from assay.served import QUANTILES, Served
from assay.statistics import LEAST_BLOCKS


def values_of(figure: Figure, questions: Mapping[str, Question], offered: Mapping[str, Served]) -> Values:
    """A figure's trial values by tool, of cases without settings of their own; empty for what no run has."""
    question = questions.get(figure.scenario)
    if question is None:
        return {}
    found: dict[str, Sequence[float]] = {}
    for case in question.cases:
        if case.control or case.label != case.tool or figure.workers not in (None, case.workers):
            continue
        served = offered.get(figure.scenario)
        if served is None:
            metric = next((one for one in METRICS if one.key == figure.metric), None)
            values = list(case.values(metric).values()) if metric else []
        else:
            loads = served.at(case, "server", figure.rate)
            if figure.rate and any(load.saturated for load in loads):
                continue  # it fell behind at that rate: no latency there, and no gate passed
            quantiles = {f"p{100 * quantile:.0f}_ms": quantile for quantile in QUANTILES}
            if figure.metric in quantiles and figure.rate:
                values = list(served.blocks(case, figure.rate, quantiles[figure.metric]).values())
            elif figure.metric == "cpu_per_1000_s":
                values = [load.cpu_per_1000 for load in loads if load.cpu_per_1000]
            elif figure.metric == "ready_s":
                values = [row["ready_ns"] / 1e9 for row in case.ok() if row["ready_ns"]]
            elif figure.metric == "idle_mib":
                values = [idle for row in case.ok() if (idle := served.memory.get(row["trial"], (None, None))[0])]
            else:
                values = []
        if values:
            found[case.tool] = values
    return found


def ranking_parts(rankings: Mapping[str, Ranking]) -> list[Part]:
    """A section a component that has a `moscow.toml`."""
    parts: list[Part] = [
        Paragraph(
            "What must, should, could and will not be is said in `scenarios/<component>/moscow.toml`; these are the "
            "defaults, and yours will differ. A score is the weighed mean of log ratios to the best tool, so 0 is best "
            "in everything.",
            "lead",
        )
    ]
    for title, one in rankings.items():
        parts += [Heading(title), *component_parts(one)]
    return parts


def component_parts(one: Ranking) -> list[Part]:
    if one.winner:
        best = max(one.scores, key=lambda score: score.ranks[0])
        answer = f"**{one.winner}** is first with probability {best.ranks[0]:.0%}."
    elif one.scores and one.fewest < LEAST_BLOCKS:
        few = f"some figures rest on {one.fewest} trials; below {LEAST_BLOCKS} there is no verdict"
        answer = f"**No winner yet**: {few}."
    elif one.scores:
        answer = f"**No robust winner**: no tool is first in {ROBUST:.0%} of the draws."
    else:
        answer = "No tool passes every gate."
    parts: list[Part] = [
        Paragraph(answer),
        Heading("Must: gates", 3),
        Table(
            ["Tool", *map(gate_title, one.moscow.must)],
            [[tool, *(f"{state}: {why}" for _, state, why in states)] for tool, states in sorted(one.gates.items())],
            "Passed, missed or unknown, with the badge of the tool's cell or its figure. Unknown is not a pass.",
        ),
    ]
    if one.scores:
        parts += [
            Heading("Should and could: scores", 3),
            Table(
                ["Tool", "Score", "Missing at worst", "Missing at best", *map(weighed, one.moscow.criteria)],
                [
                    [
                        score.tool,
                        f"{score.score:.3f}",
                        f"{score.low:.3f}",
                        f"{score.high:.3f}",
                        *("missing" if value is None else f"{value:.3f}" for value in score.contributions),
                    ]
                    for score in one.scores
                ],
                "The contributions sum to the score; a missing figure counts as the mean of the others.",
            ),
            Table(
                ["Tool", *(f"Place {place + 1}" for place in range(len(one.scores)))],
                [[score.tool, *(f"{value:.0%}" for value in score.ranks)] for score in one.scores],
                f"Probability of each place in {DRAWS:,} draws of weights (Dirichlet around those given) and of trials "
                "(resampled).",
            ),
            Table(
                ["Criterion", "First with half its weight", "With half more"],
                [list(row) for row in one.winners],
                "Each weight 50 % smaller and larger.",
            ),
            Paragraph(
                f"Smallest change that makes another first: {one.flip}."
                if one.flip
                else "No change of a single weight makes another tool the first."
            ),
        ]
    if one.moscow.wont:
        parts.append(Items([f"Will not count: {wont.claim}, since {wont.reason}." for wont in one.moscow.wont]))
    return parts


def gate_title(gate: ClaimGate | FigureGate) -> str:
    return f"{gate.claim} ({' or '.join(gate.allowed)})" if isinstance(gate, ClaimGate) else gate.name


def weighed(criterion: Criterion) -> str:
    return f"{criterion.name} (weight {criterion.weight:g})"
