"""How figures went from run to run: one series a case and kind of machine, with change points and tool releases.

A change point is an alarm to look into and no verdict: runs of different days are not comparable (M71); `assay watch`
judges a change by running both sides in turn.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from assay import compare, environment, store
from assay.errors import UsageError
from assay.report.document import Heading, Paragraph, Part, Table, render_markdown
from assay.report.figures import amount
from assay.selection import Layout

LEAST_TRIALS = 3  # of a case in a run, for its median to be a point
LEAST_POINTS = 8  # below it no change can be told from noise
SCRIPT = Path(__file__).with_name("change_points.py")

# A point a run: the median of its right trials. Two kinds of machine are two series.
POINTS = """
SELECT t.scenario || '/' || t.label || '/' || t.device || '/' || t.workers AS case,
    t.run, r.machine, r.method_version, r.scenario_text, r.commit, any_value(t.tool) AS tool,
    count(*) AS n, median(samples / window_ns * 1e9) AS throughput
FROM trials AS t JOIN runs AS r ON r.run = t.run AND r.scenario = t.scenario
WHERE t.kind = 'trial' AND t.outcome = 'ok' AND NOT t.control AND t.window_ns IS NOT NULL AND r.profile <> 'smoke'
GROUP BY ALL
HAVING count(*) >= $least
ORDER BY 1, 2
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    run: str
    commit: str
    release: str  # packages of the tool's environment that are new or have another version than at the point before
    n: int
    throughput: float
    changed: bool = False  # the first of a new level


def series(scenario: str | None, place: Layout) -> dict[str, list[Point]]:
    """Points by case and machine, oldest first. Raises UsageError where no run has any."""
    from assay.measured import dicts

    with store.query(store.survey(place.results)) as connection:
        rows = dicts(connection, POINTS, {"least": LEAST_TRIALS})
        installed: dict[tuple[str, str], set[str]] = {}
        for row in dicts(connection, "SELECT * FROM environments WHERE package IS NOT NULL"):
            installed.setdefault((row["run"], row["tool"]), set()).add(f"{row['package']} {row['version']}")
    found: dict[str, list[Point]] = {}
    before: dict[str, set[str]] = {}
    for row in rows:
        if scenario and row["case"].split("/")[0] != scenario:
            continue
        facts = json.loads(row["machine"])
        # What forbids a comparison makes another series: other work, another machine, another method (M69).
        identity = compare.hardware(facts), row["method_version"], work(row["scenario_text"])
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:6]
        cores = len(facts.get("cpuset") or [])
        name = f"{row['case']} on {facts.get('cpu')}, {cores} cores ({digest})"
        packages = installed.get((row["run"], row["tool"]), set())
        new = sorted(packages - before.get(name, packages))
        before[name] = packages
        found.setdefault(name, []).append(
            Point(row["run"], row["commit"] or "", ", ".join(new), row["n"], row["throughput"])
        )
    if not found:
        raise UsageError(
            f"no run of {scenario or 'any scenario'} with {LEAST_TRIALS} right trials of a case is stored (throughput "
            "alone is followed, so servers are not)"
        )
    return found


def work(text: str) -> dict[str, Any]:
    """What of a scenario decides the work."""
    document = tomllib.loads(text)
    return {key: document.get(key) for key in compare.WORK}


def with_changes(found: dict[str, list[Point]]) -> dict[str, list[Point]]:
    """Mark the change points of the series that are long enough. Raises UsageError where Otava cannot be had."""
    long = {
        name: [point.throughput for point in points] for name, points in found.items() if len(points) >= LEAST_POINTS
    }
    if not long:
        return found
    done = subprocess.run(
        [environment.uv(), "run", "--quiet", "--no-project", "--script", str(SCRIPT)],
        input=json.dumps(long),
        capture_output=True,
        text=True,
        env=environment.uv_environment(os.environ),
    )
    if done.returncode:
        raise UsageError(f"change points need apache-otava: {done.stderr.strip()[-500:]}")
    changes: dict[str, list[int]] = json.loads(done.stdout)
    return {
        name: [dataclasses.replace(point, changed=index in changes.get(name, ())) for index, point in enumerate(points)]
        for name, points in found.items()
    }


def page(found: dict[str, list[Point]]) -> str:
    """The series as Markdown."""
    parts: list[Part] = [
        Paragraph(
            f"Median throughput (samples/s) of a run's right trials. Change points from {LEAST_POINTS} runs on; "
            "each is an alarm, no verdict: assay watch runs both sides in turn."
        )
    ]
    for name, points in found.items():
        columns = ["Run", "Commit", "n", "Median", "Since the first", "Level", "New packages"]
        parts += [Heading(name, 3), Table(columns, rows(points))]
    return render_markdown(parts, "figures")


def rows(points: list[Point]) -> list[list[str]]:
    first: Any = points[0].throughput
    return [
        [
            point.run,
            point.commit[:9],
            str(point.n),
            amount(point.throughput),
            f"{point.throughput / first - 1:+.1%}",
            "**new level**" if point.changed else "-",
            point.release or "-",
        ]
        for point in points
    ]
