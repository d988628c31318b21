"""Pages from what was measured. The same parquet gives the same bytes."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import shutil
import statistics as plain
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay import measured, store
from assay import statistics as rules
from assay.document import (
    Code,
    Details,
    Heading,
    Items,
    Page,
    Paragraph,
    Part,
    Picture,
    Table,
    render_html,
    render_markdown,
)
from assay.errors import UsageError
from assay.figures import Figure, Palette, amount, dots, forest, interval_text, lines, repeats, save, scaling, stacked
from assay.journal import Journal, write_whole
from assay.measured import FIRST_STEP, METRICS, THROUGHPUT, Case, Metric, Question
from assay.method import RULES, failure_hint
from assay.selection import Layout
from assay.statistics import Comparison, Estimate


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A question on one device with what follows from it."""

    question: Question
    device: str
    comparisons: dict[int, dict[str, Comparison]]  # workers to label to throughput against the control tool
    floors: dict[int, tuple[Estimate | None, float]]  # workers to A/A ratio and noise floor
    speedups: dict[str, dict[int, Estimate]]  # label to workers to speed-up over the baseline
    overheads: dict[str, Estimate]  # label at one worker: step throughput lost against the baseline, as a ratio

    def estimate(self, case: Case, metric: Metric) -> Estimate | None:
        return rules.geometric(list(case.values(metric).values()))

    @property
    def cases(self) -> list[Case]:
        return [case for case in self.question.cases if case.device == self.device]


def write(runs: Sequence[str], output: Path, layout: Layout) -> list[str]:
    """Render the runs, by default each scenario's newest, into `output`; returns what in results was skipped.

    A run that is not sealed yet is read from its journal. Raises UsageError where there is nothing to show.
    """
    archive = store.survey(layout.results)
    unsealed = [run for run in runs if run not in archive.runs]
    if len(unsealed) > 1:
        raise UsageError(f"no run {', '.join(unsealed)} in {layout.results}; see assay list runs")
    journal = Journal.find(layout.runs, unsealed[0]) if unsealed else None
    with store.query(archive, journal) as connection:
        chosen = list(runs) or measured.newest(connection)
        questions = measured.questions(connection, chosen)
        if not questions:
            raise UsageError(f"{layout.results}: no runs to report; measure first: assay run --profile smoke")
        traces = {question.name: measured.quality_traces(connection, question) for question in questions}
        environments = measured.environments(connection, chosen)
    palette = Palette([case.tool for question in questions for case in question.cases])
    answers = [answer(question, device) for question in questions for device in question.devices]
    drawn = {id(one): draw(one, traces[one.question.name], palette) for one in answers}
    pages = [
        Page("index.html", "Answers", index_parts(answers, drawn, journal is not None)),
        *(
            Page(f"scenarios/{question.name}.html", question.text["title"], scenario_parts(question, answers, drawn))
            for question in questions
        ),
        Page("failures.html", "Failures", failure_parts(questions, environments)),
        Page("machine.html", "Machine", machine_parts(questions, environments)),
        Page("method.html", "Method", method_parts(questions)),
        Page("data.html", "Data", data_parts(chosen, archive.faults)),
    ]
    # Rendered beside the old report and put in its place whole, so that a reader never sees a mixture.
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for page in pages:
        path = partial / page.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render_html(page, pages), encoding="utf-8")
    save([figure for figures in drawn.values() for figure in figures.values()], partial / "figures")
    write_whole(partial / "REPORT.md", markdown(answers, drawn, questions, environments, journal is not None).encode())
    write_whole(partial / "summary.json", json.dumps(summary(answers), indent=1, sort_keys=True).encode())
    shutil.rmtree(output, ignore_errors=True)
    partial.rename(output)
    return archive.faults


def answer(question: Question, device: str) -> Answer:
    """Everything derived: comparisons, noise floors, speed-ups, overheads."""
    baseline = question.case(question.baseline, device, 1) if question.baseline else None
    floor_values = baseline.values(THROUGHPUT) if baseline else {}
    comparisons, floors, speedups = {}, {}, {}
    for workers in question.workers(device):
        cases = [case for case in question.cases if (case.device, case.workers) == (device, workers)]
        original = question.case(question.control, device, workers) if question.control else None
        twin = next((case for case in cases if case.control), None)
        if original and twin:
            floors[workers] = rules.noise_floor(twin.values(THROUGHPUT), original.values(THROUGHPUT))
        if original:
            comparisons[workers] = rules.compare(
                {case.label: case.values(THROUGHPUT) for case in cases if case is not original and not case.control},
                original.values(THROUGHPUT),
                floors.get(workers, (None, 0.0))[1],
                larger_is_faster=True,
                seed=question.run["seed"],
            )
        for case in cases:
            estimate = rules.geometric(rules.ratios(case.values(THROUGHPUT), floor_values))
            if estimate and not case.control:
                speedups.setdefault(case.label, {})[workers] = estimate
    overheads = {label: points[1] for label, points in speedups.items() if 1 in points and label != question.baseline}
    return Answer(question, device, comparisons, floors, speedups, overheads)


def draw(one: Answer, traces: Mapping[str, Any], palette: Palette) -> dict[str, Figure]:
    """The figures of an answer by kind; a kind without data is left out."""
    question, prefix = one.question, f"{one.question.name}-{one.device}"
    title = f"{question.text['title']}, {one.device}"
    ranked = sorted(
        ((case, estimate) for case in one.cases if (estimate := one.estimate(case, THROUGHPUT))),
        key=lambda pair: (-pair[0].workers, -pair[1].value),
    )
    failed = [(case.name, why(case)) for case in one.cases if not case.ok()]
    found = {
        "throughput": dots(
            f"{prefix}-throughput",
            f"Throughput by tool: {title}",
            "samples/s",
            [(case.name, case.tool, estimate, list(case.values(THROUGHPUT).values())) for case, estimate in ranked],
            failed,
            palette,
        )
    }
    shown = [case for case, _ in ranked if not case.control]
    if question.baseline and len(question.workers(one.device)) > 1 and one.speedups:
        tools = {case.label: case.tool for case in one.cases}
        cores = len(json.loads(question.run["machine"])["cpuset"]) if one.device == "cpu" else math.inf
        several = {label: points for label, points in one.speedups.items() if len(points) > 1}
        by_label = Palette([tools[label] for label in several])
        by_label.place = {label: palette.place[tools[label]] for label in several}
        if several:
            found["scaling"] = scaling(
                f"{prefix}-scaling", f"Scaling: {title}", several, question.baseline, by_label, int(min(cores, 1e6))
            )
    starts = [(case.name, start_parts(case)) for case in shown if start_parts(case)]
    if starts:
        found["start"] = stacked(f"{prefix}-start", f"Start-up: {title}", "seconds, median over trials", starts)
    memory = [(case.name, memory_parts(case)) for case in shown if memory_parts(case)]
    if memory:
        found["memory"] = stacked(
            f"{prefix}-memory", f"Peak memory by role: {title}", "MiB, median over trials", memory
        )
    own = {case.name: (case.tool, traces[case.name]) for case in shown if case.name in traces}
    if own:
        found["quality"] = lines(
            f"{prefix}-quality",
            f"Quality over time: {title}",
            ("seconds from the loop's start", "accuracy on held-out rows"),
            own,
            question.text.get("quality", {}).get("target"),
            palette,
        )
    for workers, comparison in one.comparisons.items():
        if any(item.ratio.low is not None for item in comparison.values()):
            tools = {case.label: case.tool for case in one.cases}
            rows = sorted(comparison.items(), key=lambda pair: -pair[1].ratio.value)
            found[f"difference-{workers}"] = forest(
                f"{prefix}-difference-{workers}",
                f"Difference from {question.control} at {workers} workers: {title}",
                [(label, tools[label], item) for label, item in rows],
                rules.MARGIN,
                one.floors.get(workers, (None, 0.0))[1],
                f"{question.control} ×{workers}",
                palette,
            )
    noise = {
        case.name: (
            case.tool,
            [(row["trial"] % 1_000_000, row["throughput"] / estimate.value) for row in case.ok() if row["throughput"]],
        )
        for case, estimate in ranked
    }
    if noise:
        found["noise"] = repeats(f"{prefix}-noise", f"Every trial: {title}", noise, palette)
    return found


def start_parts(case: Case) -> dict[str, float]:
    """Seconds from spawn to the first step done, by part: medians over trials."""
    rows = [row for row in case.ok() if row["first_step_ns"] is not None]
    if not rows:
        return {}

    def median(value: Any) -> float:
        return plain.median(value(row) for row in rows) / 1e9

    return {
        "import the tool": median(lambda row: row["import_ns"]),
        "launch ranks": median(lambda row: row["launch_ns"]),
        "load inputs and model": median(lambda row: row["load_ns"]),
        "prepare": median(lambda row: row["prepare_ns"]),
        "first step": max(
            0.0, median(lambda row: row["first_step_ns"] - row["launch_ns"] - row["load_ns"] - row["prepare_ns"])
        ),
    }


def memory_parts(case: Case) -> dict[str, float]:
    """MiB by role at the peak, by the method that was available; small roles are gathered."""
    column = "pss_by_role" if all(row["peak_pss"] for row in case.ok()) else "rss_by_role"
    found: dict[str, list[float]] = {}
    for row in case.ok():
        for role, size in measured.roles(row, column).items():
            name = "ranks" if role == "ranks" else ("JVM" if role == "java" else "everything else")
            found.setdefault(name, []).append(size / 2**20)
    parts: dict[str, float] = {}
    trials = len(case.ok())
    for name in ("ranks", "JVM", "everything else"):
        if name in found:
            parts[name] = sum(found[name]) / trials
    return parts


def why(case: Case) -> str:
    """Why a case has no figure, in one line."""
    counts = collections.Counter(row["outcome"] for row in case.rows)
    if not counts:
        return "not run yet"
    error = next((row["error"] for row in case.rows if row["error"]), "") or ""
    return f"{counts.most_common(1)[0][0]}: {error.splitlines()[0][:70] if error else ''}"


def number(estimate: Estimate | None) -> str:
    return "-" if estimate is None else amount(estimate.value)


def interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return "-"
    return f"{amount(estimate.low)} to {amount(estimate.high)}"


def sentences(one: Answer) -> list[str]:
    """The answer in plain words, with values, intervals and n."""
    question = one.question
    found = []
    for workers in reversed(question.workers(one.device)):
        ranked = sorted(
            (
                (estimate, case)
                for case in one.cases
                if case.workers == workers and not case.control and (estimate := one.estimate(case, THROUGHPUT))
            ),
            key=lambda pair: -pair[0].value,
        )
        if not ranked:
            found.append(f"At {workers} workers no tool gave a right answer that could be timed.")
            continue
        (best, first), (worst, last) = ranked[0], ranked[-1]
        word = f"At {workers} worker{'s' if workers > 1 else ''}"
        text = f"{word} the highest throughput was that of **{first.label}**, {interval_text(best, 'samples/s')}"
        if last is not first:
            text += f"; the lowest that of **{last.label}**, {interval_text(worst, 'samples/s')}"
        found.append(text + ".")
        judged = one.comparisons.get(workers, {})
        words: dict[str, list[str]] = {}
        for label, comparison in judged.items():
            words.setdefault(comparison.word, []).append(label)
        words.pop("no verdict", None)
        if words:
            parts = [f"{verdict}: {', '.join(sorted(labels))}" for verdict, labels in sorted(words.items())]
            found.append(f"Against {question.control} at {workers}: {'; '.join(parts)}.")
    starts = sorted(
        ((estimate, case) for case in one.cases if not case.control and (estimate := one.estimate(case, FIRST_STEP))),
        key=lambda pair: pair[0].value,
    )
    if starts:
        (low, quick), (high, slow) = starts[0], starts[-1]
        found.append(
            f"From the call to the first step done took {low.value:.3g} s with **{quick.name}** (n = {low.n}) and "
            f"{high.value:.3g} s with **{slow.name}** (n = {high.n})."
        )
    return found


def verdict_note(one: Answer) -> str | None:
    n = max((len(case.ok()) for case in one.cases), default=0)
    if n < rules.LEAST_BLOCKS:
        return f"{n} block{'s' if n != 1 else ''}: every trial is drawn, but no interval and no verdict is given below {rules.LEAST_BLOCKS}."
    return None


def alarms(one: Answer) -> list[str]:
    """What stands against the figures: the A/A control, noise repeats, wrong answers."""
    found = []
    for workers, (ratio, _) in one.floors.items():
        if ratio and ratio.low is not None and ratio.high is not None and not ratio.low <= 1 <= ratio.high:
            found.append(
                f"A/A control missed: {one.question.control} against itself at {workers} workers gave "
                f"{interval_text(ratio)}. Verdicts of this figure are not to be relied on; repeat the run."
            )
    invalid = [case.name for case in one.cases if any(row["outcome"] == "invalid" for row in case.rows)]
    if invalid:
        found.append(
            f"Trials of {', '.join(invalid)} were invalid; see [failures](failures.html). Their speed is not shown."
        )
    if one.question.run["dirty"]:
        found.append("Measured from a checkout with uncommitted changes.")
    return found


def provenance(question: Question) -> str:
    run, machine = question.run, json.loads(question.run["machine"])
    commit = (run["commit"] or "no commit")[:12]
    return (
        f"Run `{run['run']}`, profile {run['profile']}, seed {run['seed']}, commit `{commit}`, on {machine['cpu']} with "
        f"{len(machine['cpuset'])} cores and {machine['memory_bytes'] / 2**30:.0f} GiB."
    )


def reproduce(question: Question) -> str:
    run = question.run
    return f"nox -s bench -- {question.name} --profile {run['profile']} --seed {run['seed']}"


def case_table(one: Answer) -> Table:
    """All metrics of all cases: geometric means over blocks, with the throughput's interval and n."""
    present = [metric for metric in METRICS if any(case.values(metric) for case in one.cases)]
    rows = []
    for case in one.cases:
        estimates = {metric: one.estimate(case, metric) for metric in present}
        throughput = estimates.get(THROUGHPUT)
        rows.append(
            [
                case.label,
                str(case.workers),
                f"{len(case.ok())}/{len(case.rows)}",
                interval(throughput),
                *(number(estimates[metric]) for metric in present),
            ]
        )
    return Table(
        ["Tool", "Workers", "ok", "Throughput, 95 %", *(f"{metric.title} ({metric.unit})" for metric in present)],
        rows,
        "Geometric means over blocks. Intervals are unadjusted; n is the number of right trials.",
    )


def comparison_table(one: Answer) -> Table | None:
    rows = []
    tools = {label: comparison for workers in one.comparisons for label, comparison in one.comparisons[workers].items()}
    if not tools:
        return None
    for workers, comparisons in one.comparisons.items():
        base = one.question.case(one.question.control or "", one.device, workers)
        absolute = one.estimate(base, THROUGHPUT) if base else None
        for label, comparison in sorted(comparisons.items(), key=lambda pair: -pair[1].ratio.value):
            more = f", {comparison.more_blocks} more blocks would decide" if comparison.more_blocks else ""
            rows.append(
                [
                    label,
                    str(workers),
                    f"{comparison.ratio.value:.3f}",
                    interval(comparison.ratio),
                    str(comparison.ratio.n),
                    "-" if comparison.p is None else f"{comparison.p:.2g}",
                    "-" if comparison.p_equivalent is None else f"{comparison.p_equivalent:.2g}",
                    comparison.word + more,
                    number(absolute),
                ]
            )
    return Table(
        [
            "Tool",
            "Workers",
            "Ratio",
            "95 %",
            "n",
            "p",
            "p equivalent",
            "Verdict",
            f"{one.question.control} (samples/s)",
        ],
        rows,
        f"Throughput relative to {one.question.control} at the same number of workers, paired by block. "
        "p values are adjusted for the table (Holm).",
    )


def speedup_table(one: Answer) -> Table | None:
    if not one.speedups or not one.question.baseline:
        return None
    base = one.question.case(one.question.baseline, one.device, 1)
    absolute = one.estimate(base, THROUGHPUT) if base else None
    rows = [
        [
            label,
            str(workers),
            f"{estimate.value:.3f}",
            interval(estimate),
            f"{estimate.value / workers:.3f}",
            str(estimate.n),
        ]
        for label, points in sorted(one.speedups.items())
        for workers, estimate in sorted(points.items())
    ]
    return Table(
        ["Tool", "Workers", "Speed-up", "95 %", "Efficiency", "n"],
        rows,
        f"Throughput over that of {one.question.baseline} with one worker, which is {interval_text(absolute, 'samples/s')}."
        if absolute
        else "",
    )


CAPTIONS = {
    "throughput": "Mean and 95 % interval; every trial is a tick. Cases without a right answer are text.",
    "scaling": "Speed-up over the plain single process, and what is left of it per worker.",
    "start": "From the spawn of the process to the first step done. Environments were built before.",
    "memory": "Proportional set size of the whole process tree at its peak: shared pages are counted once.",
    "quality": "One trial a case. The clock starts when a rank enters the loop.",
    "noise": "Each trial against its case's mean; the control is the A/A twin.",
}


def picture_parts(one: Answer, figures: Mapping[str, Figure], kinds: Sequence[str]) -> list[Part]:
    found: list[Part] = []
    for kind in kinds:
        for name, figure in figures.items():
            if name.split("-")[0] == kind:
                floor = CAPTIONS.get(kind, "Paired ratios with 95 % intervals; grey is the equivalence zone.")
                found.append(Picture(figure, f"**{figure.title}.** {floor}"))
    return found


def index_parts(answers: Sequence[Answer], drawn: Mapping[int, Mapping[str, Figure]], going_on: bool) -> list[Part]:
    parts: list[Part] = []
    if going_on:
        parts.append(Paragraph("The run is still going on: figures are of the blocks finished so far.", "warning"))
    for one in answers:
        parts.append(Heading(f"{one.question.text['title']} ({one.device})"))
        parts.append(Paragraph(one.question.text["question"], "lead"))
        parts += [Paragraph(alarm, "warning") for alarm in alarms(one)]
        if note := verdict_note(one):
            parts.append(Paragraph(note))
        parts.append(Items(sentences(one)))
        kinds = ("throughput", "scaling") if "scaling" in drawn[id(one)] else ("throughput",)
        parts += picture_parts(one, drawn[id(one)], kinds)
        parts.append(
            Paragraph(f"{provenance(one.question)} [All figures and trials](scenarios/{one.question.name}.html).")
        )
    return parts


def scenario_parts(
    question: Question, answers: Sequence[Answer], drawn: Mapping[int, Mapping[str, Figure]]
) -> list[Part]:
    text, measure = question.text, question.text.get("measure", {})
    batch = f"global batch {text['batch']}" if "batch" in text else f"batch {text['batch_per_worker']} a worker"
    parts: list[Part] = [
        Paragraph(text["question"], "lead"),
        Paragraph(provenance(question)),
        Paragraph(
            f"Workload `{text['workload']}`, {batch}, plain SGD {text['optimizer']}. Inside a timed step: fetching the "
            "batch, forward, backward, gradient exchange, update. Outside it: making data, reading losses, evaluating, "
            "writing records, building environments."
        ),
        Code(
            "spawn -> import -> launch ranks -> load, prepare -> warm-up -> [ window ] -> teardown -> last process gone"
        ),
        Paragraph(
            f"Checked: the loss of every step within {text.get('check', {}).get('loss', {}).get('within', 1e-4)} of a "
            "single process that splits each batch into as many chunks; equal final weights on all ranks; settings "
            "read back as applied."
        ),
    ]
    if text.get("shows_not"):
        parts.append(Paragraph(f"What it does not show: {text['shows_not']}"))
    if question.repeats:
        parts.append(
            Paragraph(f"The noise gate rejected {question.repeats} trials; they were repeated in their block.")
        )
    for one in answers:
        if one.question is not question:
            continue
        parts.append(Heading(f"Results on {one.device}"))
        parts += [Paragraph(alarm.replace("(failures", "(../failures"), "warning") for alarm in alarms(one)]
        if note := verdict_note(one):
            parts.append(Paragraph(note))
        parts.append(Items(sentences(one)))
        order = ("throughput", "difference", "scaling", "start", "memory", "quality", "noise")
        parts += picture_parts(one, drawn[id(one)], order)
        parts.append(Heading("Numbers", 3))
        parts.append(case_table(one))
        parts += [table for table in (comparison_table(one), speedup_table(one)) if table]
        parts.append(noise_table(one))
        parts.append(Details("Every trial", [trial_table(one)]))
    parts += [
        Heading("Again"),
        Code(reproduce(question)),
        Details("The scenario's file", [Code(question.run["scenario_text"].rstrip())]),
    ]
    assert measure is not None
    return parts


def noise_table(one: Answer) -> Table:
    rows = []
    for workers, (ratio, floor) in sorted(one.floors.items()):
        case = one.question.case(one.question.control or "", one.device, workers)
        twin = one.question.case(f"{one.question.control} (control)", one.device, workers, control=True)
        pairs = rules.ratios(twin.values(THROUGHPUT), case.values(THROUGHPUT)) if case and twin else []
        finest = (
            f"{rules.resolution([math.log(pair) for pair in pairs]):.1%}" if len(pairs) >= rules.LEAST_BLOCKS else "-"
        )
        rows.append(
            [str(workers), number(ratio), interval(ratio), str(ratio.n if ratio else 0), f"{floor:.1%}", finest]
        )
    return Table(
        ["Workers", "A/A ratio", "95 %", "n", "Noise floor", "Smallest effect resolved"],
        rows,
        f"{one.question.control} against itself under a second name.",
    )


def trial_table(one: Answer) -> Table:
    rows = []
    for row in sorted((row for case in one.cases for row in case.rows), key=lambda row: row["trial"] % 1_000_000):
        rows.append(
            [
                str(row["trial"]),
                str(row["block"] + 1),
                row["label"],
                str(row["workers"]),
                f"{row['outcome']} {row['codes'] or ''}".strip(),
                f"{row['throughput']:,.1f}" if row["throughput"] and row["outcome"] == "ok" else "-",
                f"{row['first_step_s']:.2f}" if row["first_step_s"] else "-",
                f"{row['total_s']:.2f}" if row["total_s"] else "-",
                f"{row['loss_gap']:.1e}" if row["loss_gap"] is not None else "-",
                f"{row['cpu_s']:.1f}" if row["cpu_s"] is not None else "-",
                f"{row['kernel_drift']:+.1%}" if row["kernel_drift"] is not None else "-",
            ]
        )
    columns = ["Trial", "Block", "Tool", "Workers", "Outcome", "samples/s", "First step (s)", "Total (s)"]
    return Table([*columns, "Loss gap", "CPU (s)", "Kernel drift"], rows)


def failure_parts(questions: Sequence[Question], environments: Sequence[Mapping[str, Any]]) -> list[Part]:
    rows = [row for question in questions for case in question.cases for row in case.rows if row["outcome"] != "ok"]
    parts: list[Part] = []
    total = sum(len(case.rows) for question in questions for case in question.cases)
    if not rows:
        parts.append(Paragraph(f"None: all {total} trials are ok."))
    else:
        parts.append(
            Paragraph(f"{len(rows)} of {total} trials are not ok. What a machine lacks is never a tool's failure.")
        )
        counts = collections.Counter((row["outcome"], row["codes"] or "", row["phase"] or "") for row in rows)
        parts.append(
            Table(
                ["Outcome", "Codes", "Phase", "Trials"],
                [[*key, str(count)] for key, count in sorted(counts.items(), key=lambda pair: -pair[1])],
            )
        )
        groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
        for row in rows:
            first = (row["error"] or "").splitlines()[:1]
            groups.setdefault((row["scenario"], row["label"], row["device"], row["outcome"], *first), []).append(row)
        for group in groups.values():
            row = group[0]
            workers = ", ".join(sorted({str(one["workers"]) for one in group}))
            parts.append(
                Heading(f"{row['label']}: {row['outcome']} ({row['scenario']}, {row['device']}, workers {workers})", 3)
            )
            parts.append(
                Paragraph(
                    f"{len(group)} trials, ended in {row['phase']}, exit code {row['exit_code']}. "
                    f"{failure_hint(row['outcome'], row['error'] or '', row['codes'] or '')}"
                )
            )
            parts.append(Code("\n".join(filter(None, [row["error"], row["log_tail"]]))))
    survivors = collections.Counter(
        (row["label"], name)
        for question in questions
        for case in question.cases
        for row in case.rows
        for name in json.loads(row["survivors"] or "[]")
    )
    if survivors:
        parts.append(Heading("Survivors"))
        parts.append(
            Table(
                ["Tool", "Process", "Times"],
                [[label, name, str(count)] for (label, name), count in sorted(survivors.items())],
                "Processes that lived on two seconds after their trial's worker, and were ended.",
            )
        )
    return parts


def machine_parts(questions: Sequence[Question], environments: Sequence[Mapping[str, Any]]) -> list[Part]:
    parts: list[Part] = []
    seen = set()
    for question in questions:
        run = question.run
        if run["run"] in seen:
            continue
        seen.add(run["run"])
        parts.append(Heading(f"Run {run['run']}"))
        facts = json.loads(run["machine"])
        rows = [[name.replace("_", " "), "unknown" if value is None else str(value)] for name, value in facts.items()]
        parts.append(Table(["Fact", "Value"], rows))
        trials = [row for one in questions if one.run["run"] == run["run"] for case in one.cases for row in case.rows]
        probes = [row for row in trials if row["kernel_ns"] is not None]
        if probes:
            parts.append(
                Paragraph(
                    f"Noise over {len(probes)} trials: kernel {plain.median(row['kernel_ns'] for row in probes) / 1e6:.1f} ms, "
                    f"CV up to {max(row['kernel_cv'] for row in probes):.1%}, drift within a trial up to "
                    f"{max(abs(row['kernel_drift']) for row in probes):.1%}, CPU share down to "
                    f"{min(row['kernel_cpu_share'] for row in probes):.3f}. Gate: `{run['noise_gate']}`."
                )
            )
        cost = [
            row["sampler_cpu_s"] / row["wall_ns"] * 1e9 for row in trials if row["sampler_cpu_s"] and row["wall_ns"]
        ]
        if cost:
            parts.append(
                Paragraph(
                    f"The memory sampler used {plain.median(cost):.2%} of a core (median), {max(cost):.2%} at most."
                )
            )
        parts.append(thread_table(trials))
    parts.append(Heading("Environments"))
    parts.append(
        Table(
            ["Tool", "Outcome", "Python", "Build (s)", "Size (GiB)", "Packages", "Digest"],
            [
                [
                    row["tool"],
                    row["outcome"],
                    row["python"] or "-",
                    f"{row['build_s']:.1f}",
                    f"{row['size_bytes'] / 2**30:.2f}" if row["size_bytes"] else "-",
                    str(len(row["packages"] or [])),
                    (row["digest"] or "")[:12],
                ]
                for row in environments
            ],
            "Build time is that of this run: near zero where the environment stood already.",
        )
    )
    for row in environments:
        packages = [[cell or "-" for cell in package] for package in row["packages"] or []]
        if packages:
            parts.append(Details(f"Packages of {row['tool']}", [Table(["Package", "Version", "License"], packages)]))
    return parts


def thread_table(trials: Sequence[Mapping[str, Any]]) -> Table:
    """What ranks saw, one row a tool."""
    rows = {}
    for row in trials:
        facts = json.loads(row["facts"] or "[]")
        if facts and row["label"] not in rows:
            first = facts[0]
            variables = " ".join(
                f"{name}={value}" for name, value in first["variables"].items() if not name.startswith("PYTHON")
            )
            rows[row["label"]] = [
                row["label"],
                str(first["threads"]),
                str(first["interop_threads"]),
                str(first["affinity"]),
                f"`{variables}`" if variables else "-",
            ]
    return Table(
        ["Tool", "Threads", "Inter-op", "Affinity of rank 0", "Variables as the rank sees them"],
        [rows[label] for label in sorted(rows)],
    )


def method_parts(questions: Sequence[Question]) -> list[Part]:
    versions = sorted({str(question.run["method_version"]) for question in questions})
    return [
        Paragraph(
            f"The rules in force, method version {', '.join(versions)}. Rows of different versions are never mixed."
        ),
        Table(["Rule", "What it says"], [[name, text] for name, text in RULES]),
    ]


def data_parts(runs: Sequence[str], faults: Sequence[str]) -> list[Part]:
    parts: list[Part] = [
        Paragraph("Everything here was made from these files; samples are kept raw."),
        Table(
            ["Run", "Files"], [[run, f"`results/{{runs,environments,trials,samples}}/{run}.parquet`"] for run in runs]
        ),
        Code(
            'import pandas\ntrials = pandas.read_parquet("results/trials")\nsamples = pandas.read_parquet("results/samples")'
        ),
        Code(
            'duckdb -c "SELECT label, workers, median(samples / window_ns * 1e9) AS samples_per_s\n'
            "FROM 'results/trials/*.parquet' WHERE outcome = 'ok' AND kind = 'trial' GROUP BY ALL ORDER BY ALL\""
        ),
        *(
            Details(
                f"Columns of {name}",
                [Table(["Column", "Type"], [[field.name, str(field.type)] for field in schema])],
            )
            for name, schema in store.TABLES.items()
        ),
    ]
    if faults:
        parts += [Heading("Skipped"), Items(list(faults))]
    return parts


def markdown(
    answers: Sequence[Answer],
    drawn: Mapping[int, Mapping[str, Figure]],
    questions: Sequence[Question],
    environments: Sequence[Mapping[str, Any]],
    going_on: bool,
) -> str:
    parts: list[Part] = [Heading("assay report", 1)]
    if going_on:
        parts.append(Paragraph("The run is still going on: figures are of the blocks finished so far.", "warning"))
    for one in answers:
        parts.append(Heading(f"{one.question.text['title']} ({one.device})"))
        parts.append(Paragraph(one.question.text["question"]))
        parts += [Paragraph(alarm.replace("(failures.html)", "(#failures)"), "warning") for alarm in alarms(one)]
        if note := verdict_note(one):
            parts.append(Paragraph(note))
        parts.append(Items(sentences(one)))
        parts += picture_parts(
            one, drawn[id(one)], ("throughput", "difference", "scaling", "start", "memory", "quality")
        )
        parts.append(case_table(one))
        parts += [table for table in (comparison_table(one), speedup_table(one)) if table]
        parts.append(Paragraph(provenance(one.question)))
        parts.append(Code(reproduce(one.question)))
    failed = collections.Counter(
        (row["scenario"], row["label"], row["outcome"], row["codes"] or "")
        for question in questions
        for case in question.cases
        for row in case.rows
        if row["outcome"] != "ok"
    )
    parts.append(Heading("Failures"))
    if failed:
        parts.append(
            Table(
                ["Scenario", "Tool", "Outcome", "Codes", "Trials"],
                [[*key, str(count)] for key, count in sorted(failed.items())],
            )
        )
    else:
        parts.append(Paragraph("None."))
    return render_markdown(parts, "figures")


def summary(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """For other programs: an object a scenario and device."""
    found = []
    for one in answers:
        run = one.question.run
        found.append(
            {
                "scenario": one.question.name,
                "device": one.device,
                "run": run["run"],
                "commit": run["commit"],
                "profile": run["profile"],
                "method_version": run["method_version"],
                "cases": [
                    {
                        "tool": case.label,
                        "workers": case.workers,
                        "control": case.control,
                        "outcomes": dict(collections.Counter(row["outcome"] for row in case.rows)),
                        **{
                            metric.key: dataclasses.asdict(estimate)
                            for metric in METRICS
                            if (estimate := one.estimate(case, metric))
                        },
                    }
                    for case in one.cases
                ],
                "comparisons": [
                    {"tool": label, "base": one.question.control, "workers": workers, **dataclasses.asdict(comparison)}
                    for workers, comparisons in sorted(one.comparisons.items())
                    for label, comparison in sorted(comparisons.items())
                ],
                "noise_floor": {str(workers): floor for workers, (_, floor) in sorted(one.floors.items())},
            }
        )
    return found
