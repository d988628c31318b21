"""What each page holds: answers to parts of a document."""

from __future__ import annotations

import collections
import json
import statistics as plain
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay import schema
from assay.cost import Prices
from assay.measured import Question
from assay.report.answer import Answer, alarms, provenance, reproduce, sentences, verdict_note
from assay.report.document import Code, Details, Heading, Items, Paragraph, Part, Picture, Table, render_markdown
from assay.report.figures import Figure
from assay.report.method import RULES, failure_hint
from assay.report.tables import (
    case_table,
    comparison_table,
    cost_table,
    noise_table,
    speedup_table,
    thread_table,
    trial_table,
)

RECORD = "a record in the rank"  # as overhead/test_overhead.py names it
MOST_RULER = 0.01  # of the shortest step (M75)
CAPTIONS = {
    "throughput": "Mean and 95 % interval; every trial is a tick. Cases without a right answer are text.",
    "scaling": "Speed-up over the plain single process, and what is left of it per worker.",
    "start": "From the spawn of the process to the first step done. Environments were built before.",
    "memory": "The whole process tree at its peak: proportional set size, which counts shared pages once, where the "
    "system tells it; else resident size.",
    "trade": "Mean throughput and peak memory. The line joins what nothing beats in both; the rest is hollow.",
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
    question: Question,
    answers: Sequence[Answer],
    drawn: Mapping[int, Mapping[str, Figure]],
    prices: Prices | None = None,
) -> list[Part]:
    text = question.text
    parts: list[Part] = [
        Paragraph(text["question"], "lead"),
        Paragraph(provenance(question)),
        *(inference_method(text) if question.infers else training_method(text)),
    ]
    if text.get("shows_not"):
        parts.append(Paragraph(f"What it does not show: {text['shows_not']}"))
    if question.rejected:
        parts.append(
            Paragraph(
                f"The noise gate rejected {question.rejected} attempts; each was repeated in its block, at most twice."
            )
        )
    for one in answers:
        if one.question is not question:
            continue
        parts.append(Heading(f"Results on {one.device}"))
        parts += [Paragraph(alarm.replace("(failures", "(../failures"), "warning") for alarm in alarms(one)]
        if note := verdict_note(one):
            parts.append(Paragraph(note))
        parts.append(Items(sentences(one)))
        order = ("throughput", "difference", "scaling", "start", "memory", "trade", "quality", "noise")
        parts += picture_parts(one, drawn[id(one)], order)
        parts.append(Heading("Numbers", 3))
        parts.append(case_table(one))
        tables = comparison_table(one), speedup_table(one), cost_table(one, prices)
        parts += [table for table in tables if table]
        parts.append(noise_table(one))
        parts.append(Details("Every trial", [trial_table(one)]))
    parts += [
        Heading("Again"),
        Code(reproduce(question)),
        Details("The scenario's file", [Code(question.run["scenario_text"].rstrip())]),
    ]
    return parts


def training_method(text: Mapping[str, Any]) -> list[Part]:
    """What is inside and outside the clock, and how answers are checked."""
    batch = f"global batch {text['batch']}" if "batch" in text else f"batch {text['batch_per_worker']} a worker"
    within = text.get("check", {}).get("loss", {}).get("within", 1e-4)
    return [
        Paragraph(
            f"Workload `{text['workload']}`, {batch}, plain SGD {text['optimizer']}. Inside a timed step: fetching the "
            "batch, forward, backward, gradient exchange, update. Outside it: making data, reading losses, evaluating, "
            "writing records, building environments."
        ),
        Code(
            "spawn -> import -> launch ranks -> load, prepare -> warm-up -> [ window ] -> teardown -> last process gone"
        ),
        Paragraph(
            f"Checked: the loss of every step within {within} of a single process that splits each batch into as many "
            "chunks; equal final weights on all ranks; settings read back as applied."
        ),
    ]


def inference_method(text: Mapping[str, Any]) -> list[Part]:
    infer = text["infer"]
    return [
        Paragraph(
            f"Workload `{text['workload']}`, {infer.get('rows', 200_000):,} rows in {infer.get('parts', 8)} parquet "
            f"files, {infer.get('batch', 8192):,} rows a call of the model. Inside a pass: reading, predicting and "
            "writing parquet. Throughput is of the median warm pass; the first, cold one stands in the start-up."
        ),
        Code("spawn -> import -> start -> cold pass -> [ warm passes ] -> stop -> last process gone"),
        Paragraph("Checked: every row of every pass against its golden prediction, in any order."),
    ]


def failure_parts(questions: Sequence[Question]) -> list[Part]:
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
        parts += failure_groups(questions)
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


def failure_groups(questions: Sequence[Question], tool: str | None = None) -> list[Part]:
    """What ended alike, of one tool or of all: a heading, what to do about it, the log's last useful lines."""
    parts: list[Part] = []
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    rows = [row for question in questions for case in question.cases for row in case.rows]
    for row in rows:
        if row["outcome"] != "ok" and tool in (None, row["tool"]):
            first = (row["error"] or "").splitlines()[:1]
            groups.setdefault((row["scenario"], row["label"], row["device"], row["outcome"], *first), []).append(row)
    for group in groups.values():
        shown = group[0]
        workers = ", ".join(sorted({str(one["workers"]) for one in group}))
        where = f"{shown['scenario']}, {shown['device']}, workers {workers}"
        parts.append(Heading(f"{shown['label']}: {shown['outcome']} ({where})", 3))
        parts.append(
            Paragraph(
                f"{len(group)} trials, ended in {shown['phase']}, exit code {shown['exit_code']}. "
                f"{failure_hint(shown['outcome'], shown['codes'] or '')}"
            )
        )
        parts.append(Code("\n".join(filter(None, [shown["error"], shown["log_tail"]]))))
    return parts


def ruler_parts(ruler: Mapping[str, Any] | None, questions: Sequence[Question]) -> list[Part]:
    """What the harness itself costs, as it was measured last, and its share of the smallest step shown."""
    parts: list[Part] = [Heading("The instrument's own error")]
    if ruler is None:
        return [*parts, Paragraph("Not measured on this machine: `nox -s overhead` measures it into `results/`.")]
    rows = [
        [
            row["what"],
            f"{row['value']:.4g} {row['unit']}",
            "none" if row["target"] is None else f"{row['target']:g}",
            "met" if row["met"] else "missed",
        ]
        for row in ruler["rows"]
    ]
    parts.append(
        Table(
            ["What", "Measured", "Target, at most", ""],
            rows,
            f"`nox -s overhead` on {ruler['date']}, commit `{(ruler['commit'] or 'none')[:12]}`, on {ruler['cpu']}.",
        )
    )
    record = next((row["value"] for row in ruler["rows"] if row["what"] == RECORD), None)
    steps = [
        (row["step_ms"], case.name, question.name)
        for question in questions
        for case in question.cases
        for row in case.ok()
        if row["step_ms"]
    ]
    if record and steps:
        shortest, case, scenario = min(steps)
        share = record / 1e3 / shortest
        word = "below" if share <= MOST_RULER else "ABOVE"
        parts.append(
            Paragraph(
                f"A record costs {share:.2g} of the shortest step shown ({shortest:.3g} ms, {case} in {scenario}), "
                f"{word} the limit of {MOST_RULER:.0%}.",
                "" if share <= MOST_RULER else "warning",
            )
        )
    return parts


def machine_parts(
    questions: Sequence[Question], environments: Sequence[Mapping[str, Any]], ruler: Mapping[str, Any] | None = None
) -> list[Part]:
    parts: list[Part] = ruler_parts(ruler, questions)
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
                    f"Noise over {len(probes)} trials: kernel "
                    f"{plain.median(row['kernel_ns'] for row in probes) / 1e6:.1f} ms, "
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
        methods = {row["cpu_energy_method"] for row in trials} | {row["gpu_energy_method"] for row in trials}
        if methods - {None}:
            parts.append(Paragraph(f"Energy: {'; '.join(sorted(methods - {None}))}."))
        if (threads := thread_table(trials)).rows:
            parts.append(threads)
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
    # Tools that were given the same interpreter share a list.
    together: dict[str, list[Mapping[str, Any]]] = {}
    for row in environments:
        if row["packages"]:
            together.setdefault(row["digest"], []).append(row)
    for alike in together.values():
        packages = [[cell or "-" for cell in package] for package in alike[0]["packages"]]
        names = ", ".join(dict.fromkeys(row["tool"] for row in alike))
        parts.append(Details(f"Packages of {names}", [Table(["Package", "Version", "License"], packages)]))
    return parts


def method_parts(questions: Sequence[Question]) -> list[Part]:
    versions = sorted({str(question.run["method_version"]) for question in questions})
    return [
        Paragraph(
            f"The rules in force, method version {', '.join(versions)}. Rows of different versions are never mixed."
        ),
        Table(["Rule", "What it says"], [[name, text] for name, text in RULES]),
    ]


def data_parts(faults: Sequence[str], digests: Mapping[str, str]) -> list[Part]:
    """`digests` are of every file that the report was made of, by path below the results folder."""
    runs = sorted({Path(path).stem for path in digests})
    parts: list[Part] = [
        Paragraph("Everything here was made from these files; samples and requests are kept raw."),
        Table(["Run", "Files"], [[run, f"`results/*/{run}.parquet`"] for run in runs]),
        Details(
            f"SHA-256 of {len(digests)} files",
            [Code("\n".join(f"{digest}  results/{path}" for path, digest in digests.items()))],
        ),
        Code(
            "import pandas\n"
            'trials = pandas.read_parquet("results/trials")\n'
            'samples = pandas.read_parquet("results/samples")'
        ),
        Code('import polars\ntrials = polars.scan_parquet("results/trials/*.parquet").collect()'),
        Code(
            'duckdb -c "SELECT label, workers, median(samples / window_ns * 1e9) AS samples_per_s\n'
            "FROM 'results/trials/*.parquet' WHERE outcome = 'ok' AND kind = 'trial' GROUP BY ALL ORDER BY ALL\""
        ),
        *(
            Details(
                f"Columns of {name}",
                [Table(["Column", "Type"], [[field.name, str(field.type)] for field in columns])],
            )
            for name, columns in schema.TABLES.items()
        ),
    ]
    if faults:
        parts += [Heading("Skipped"), Items(list(faults))]
    return parts


def markdown(
    front: Sequence[Part],
    answers: Sequence[Answer],
    drawn: Mapping[int, Mapping[str, Figure]],
    sections: Sequence[Part],
    questions: Sequence[Question],
    going_on: bool,
) -> str:
    """The Markdown twin; `front` is of the published tables, `sections` of other capabilities than training."""
    parts: list[Part] = [Heading("assay report", 1)]
    if going_on:
        parts.append(Paragraph("The run is still going on: figures are of the blocks finished so far.", "warning"))
    parts += front
    for one in answers:
        parts.append(Heading(f"{one.question.text['title']} ({one.device})"))
        parts.append(Paragraph(one.question.text["question"]))
        parts += [Paragraph(alarm.replace("(failures.html)", "(#failures)"), "warning") for alarm in alarms(one)]
        if note := verdict_note(one):
            parts.append(Paragraph(note))
        parts.append(Items(sentences(one)))
        parts += picture_parts(one, drawn[id(one)], ("throughput", "scaling", "start"))
        parts.append(case_table(one))
        parts += [table for table in (comparison_table(one), speedup_table(one)) if table]
        parts.append(Paragraph(provenance(one.question)))
        parts.append(Code(reproduce(one.question)))
    parts += sections
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
