"""What the pages of a served question hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay import statistics as rules
from assay.report import probed
from assay.report.answer import provenance, reproduce
from assay.report.document import Code, Details, Heading, Items, Paragraph, Part, Picture
from assay.report.figures import Figure
from assay.report.serving.answer import alarms, sentences, server_cores
from assay.report.serving.tables import load_table, server_table, trial_table
from assay.served import Served

KINDS = ("latency", "difference", "search", "shape", "start", "memory", "cost", "offline", "trade", "batches")


CAPTIONS = {
    "latency": "Response time from the scheduled moment, against the rate offered; means over trials. A cross: the "
    "server fell behind. Loads that were not valid are left out.",
    "shape": "All requests of all trials at one rate. Response (solid) begins at the scheduled moment, service "
    "(dashed) when the request was sent.",
    "start": "From the tool's call to the first correct prediction. Packaging and environments were made before.",
    "memory": "Proportional set size of the server's processes: idle before the first load, and what loads added.",
    "cost": "CPU of all processes of the server in a window; the client's is not in it.",
    "search": "Each load that was tried, and per trial the bracket: highest rate that passed, lowest that did not.",
    "difference": "Paired ratios with 95 % intervals, below 1 faster; grey is the equivalence zone.",
    "trade": "The most that came back, and the memory held then. The line joins what nothing beats in both.",
    "batches": "Calls of the model by the rows they were given, counted where the model is, for all servers alike.",
    "offline": "Requests in flight at all times: the most that came back.",
}


def picture_parts(drawn: Mapping[str, Figure], kinds: Sequence[str]) -> list[Part]:
    return [Picture(drawn[kind], f"**{drawn[kind].title}.** {CAPTIONS[kind]}") for kind in kinds if kind in drawn]


def note(one: Served) -> list[Part]:
    n = max((len(case.ok()) for case in one.cases), default=0)
    if n >= rules.LEAST_BLOCKS:
        return []
    return [Paragraph(f"{n} block{'s' if n != 1 else ''}: below {rules.LEAST_BLOCKS} there is no interval.")]


def asks(one: Served) -> bool:
    """Whether what the servers offer beside answers is the question, and not how fast they are."""
    return bool(one.question.text["load"].get("probes"))


def index_parts(one: Served, drawn: Mapping[str, Figure]) -> list[Part]:
    if asks(one):
        return probed.index_parts(one.question)
    return [
        Heading(one.question.text["title"]),
        Paragraph(one.question.text["question"], "lead"),
        *(Paragraph(alarm, "warning") for alarm in alarms(one)),
        *note(one),
        Items(sentences(one)),
        *picture_parts(drawn, ("latency", "start")),
        Paragraph(f"{provenance(one.question)} [All figures and trials](scenarios/{one.question.name}.html)."),
    ]


def scenario_parts(one: Served, drawn: Mapping[str, Figure]) -> list[Part]:
    question = one.question
    text, load = question.text, question.text["load"]
    return [
        Paragraph(text["question"], "lead"),
        Paragraph(provenance(question)),
        Paragraph(
            f"Workload `{text['workload']}`, {load.get('rows', 1)} rows a request, {load.get('arrivals', 'poisson')} "
            "arrivals from a schedule that is the same for every tool of a block. The server has "
            f"{server_cores(one)}, the load generator another. Sending never waits for a response; a response time "
            "begins at the scheduled moment."
        ),
        Code("spawn -> import -> package -> launch -> [ first right answer ] -> idle -> loads, rising -> stop -> gone"),
        Paragraph("Checked: every response against the golden prediction of its own rows, absolute tolerance 1e-4."),
        *([Paragraph(f"What it does not show: {text['shows_not']}")] if text.get("shows_not") else []),
        *(Paragraph(alarm.replace("(failures", "(../failures"), "warning") for alarm in alarms(one)),
        *note(one),
        *([probed.finding_table(question)] if asks(one) else []),
        Items(sentences(one)),
        *picture_parts(drawn, KINDS),
        Heading("Numbers", 3),
        load_table(one),
        server_table(one),
        Details("Every trial", [trial_table(one)]),
        Heading("Again"),
        Code(reproduce(question)),
        Details("The scenario's file", [Code(question.run["scenario_text"].rstrip())]),
    ]


def markdown_parts(one: Served, drawn: Mapping[str, Figure]) -> list[Part]:
    if asks(one):
        return [*probed.index_parts(one.question), Code(reproduce(one.question))]
    return [
        Heading(one.question.text["title"]),
        Paragraph(one.question.text["question"]),
        *(Paragraph(alarm.replace("(failures.html)", "(#failures)"), "warning") for alarm in alarms(one)),
        *note(one),
        Items(sentences(one)),
        *picture_parts(drawn, ("latency", "start")),
        load_table(one),
        server_table(one),
        Paragraph(provenance(one.question)),
        Code(reproduce(one.question)),
    ]
