"""What tools are asked: each check passes a tool that does it, and fails one that only seems to."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression

from benchmarks import libraries, probes, wheels
from benchmarks.contract import Declined, Probing, Refused
from benchmarks.probes import Finding
from tests.conftest import TOOLS, Assay


@pytest.fixture
def job(tmp_path: Path) -> Probing:
    return Probing(scratch=str(tmp_path), seed=1, host="127.0.0.1", ports=(1, 2))


class Memory:
    """Keeps everything in dictionaries, and rightly."""

    retry: Any

    def __init__(self) -> None:
        self.runs: dict[str, Any] = {}
        self.versions: list[bytes] = []
        self.stages: dict[str, str] = {}
        self.origins: dict[str, tuple[str, str]] = {}

    def log(self, name: str, parameters: Mapping[str, str], series: Any, artefact: Path) -> str:
        self.runs[name] = dict(parameters), {key: list(values) for key, values in series.items()}, artefact.read_bytes()
        return name

    def read(self, run: str) -> Any:
        return self.runs[run]

    def search(self, metric: str, above: float, parameter: str, value: str) -> set[str]:
        return {
            name
            for name, (parameters, series, _) in self.runs.items()
            if series[metric][-1] > above and parameters[parameter] == value
        }

    def delete(self, run: str) -> None:
        del self.runs[run]

    def put(self, name: str, file: Path) -> str:
        self.versions.append(file.read_bytes())
        return str(len(self.versions) - 1)

    def get(self, name: str, version: str) -> bytes:
        return self.versions[int(version)]

    def assign(self, name: str, stage: str, version: str) -> None:
        self.stages[stage] = version

    def assigned(self, name: str, stage: str) -> bytes:
        return self.get(name, self.stages[stage])

    def keep(self, content: bytes) -> str:
        self.versions.append(content)
        return str(len(self.versions) - 1)

    def fetch(self, state: str) -> bytes:
        return self.versions[int(state)]

    def made(self, file: Path, data: str) -> tuple[str, str]:
        version = self.put("made", file)
        self.origins[version] = "run", data
        return "run", version

    def alone(self, file: Path) -> str:
        return self.put("made", file)

    def origin(self, version: str) -> tuple[str, str]:
        return self.origins.get(version, ("", ""))

    def flow(self, content: bytes) -> tuple[str, int, int]:
        return hashlib.sha256(content).hexdigest(), os.getpid(), os.getpid()


class Persistent(Memory):
    def retry(self, attempts: Path) -> None:
        attempts.write_text("attempt\nattempt\n")


class Careless(Memory):
    """Loses the last step, the older state, the run of a version, a bit of what tasks hand on, and the second try."""

    def log(self, name: str, parameters: Mapping[str, str], series: Any, artefact: Path) -> str:
        return super().log(name, parameters, {key: values[:-1] for key, values in series.items()}, artefact)

    def fetch(self, state: str) -> bytes:
        return self.versions[-1]

    def get(self, name: str, version: str) -> bytes:
        return self.versions[-1]

    def origin(self, version: str) -> tuple[str, str]:
        return "run", "data"

    def flow(self, content: bytes) -> tuple[str, int, int]:
        return super().flow(content[:-1])

    def retry(self, attempts: Path) -> None:
        attempts.write_text("attempt\n")
        raise RuntimeError("the first attempt fails")


def states(name: str, subject: Any, job: Probing) -> dict[str, str]:
    return {one.name: one.state for one in probes.ask(name, subject, job)}


def test_a_tool_that_does_it_passes(job: Probing) -> None:
    assert states("track", Memory(), job) == {"track": "passed", "search": "passed", "api": "passed"}
    assert states("register", Memory(), job) == {"register": "passed", "stage": "passed", "promote": "passed"}
    assert states("version", Memory(), job) == {"version": "passed"}
    assert states("lineage", Memory(), job) == {"lineage": "passed"}
    assert states("orchestrate", Persistent(), job) == {"flow": "passed", "retry": "passed"}


def test_a_tool_that_only_seems_to_fails(job: Probing) -> None:
    assert states("track", Careless(), job)["track"] == "failed"
    assert states("register", Careless(), job) == {"register": "failed", "stage": "failed", "promote": "failed"}
    assert states("version", Careless(), job) == {"version": "failed"}
    assert states("lineage", Careless(), job) == {"lineage": "failed"}
    assert states("orchestrate", Careless(), job) == {"flow": "failed", "retry": "failed"}


class Pointer(Memory):
    """Remembers where a file was, and reads it there when it is asked."""

    places: list[Path]

    def put(self, name: str, file: Path) -> str:
        self.places = [*getattr(self, "places", []), file]
        return str(len(self.places) - 1)

    def get(self, name: str, version: str) -> bytes:
        return self.places[int(version)].read_bytes()


class Breaks(Memory):
    """Registers rightly, and breaks over its stages; searches break, too."""

    def assign(self, name: str, stage: str, version: str) -> None:
        raise RuntimeError("no stages today")

    def search(self, metric: str, above: float, parameter: str, value: str) -> set[str]:
        raise RuntimeError("no index")


def test_a_registry_that_only_remembers_where_a_file_was_fails(job: Probing) -> None:
    assert states("register", Pointer(), job) == dict.fromkeys(("register", "stage", "promote"), "failed")


def test_a_check_that_breaks_off_has_failed_in_what_it_still_owed(job: Probing) -> None:
    assert states("register", Breaks(), job) == {"register": "passed", "stage": "failed", "promote": "failed"}
    assert states("track", Breaks(), job) == {"track": "passed", "search": "failed", "api": "failed"}


def test_what_is_declined_is_said_and_what_is_not_asked_is_nothing(job: Probing) -> None:
    one = Memory()
    one.retry = Declined("there are no retries")
    other = Memory()
    other.retry = None

    assert list(probes.orchestrate(one, job))[1] == Finding("retry", "declined", "there are no retries")
    assert states("orchestrate", other, job) == {"flow": "passed"}


def test_operations_say_what_exists(job: Probing) -> None:
    found = list(probes.operations({"a": ("Create", True), "b": ("Delete", False)}, job))

    said = [("passed", "there is Create"), ("failed", "not found: Delete")]
    assert [(one.state, one.said) for one in found] == said


def test_a_trial_keeps_what_was_found_and_one_subjects_fault_leaves_the_others(assay: Assay, checkout: Path) -> None:
    done = assay("run", "asked", "--profile", "smoke", "--scenarios", "faults", "--tools", str(TOOLS), "--no-report")
    rows = pq.read_table(checkout / "results/trials").to_pylist()
    (row,) = (row for row in rows if row["scenario"] == "asked")
    found = {one["name"]: (one["state"], one["said"]) for one in json.loads(row["findings"])}

    assert done.returncode == 0, done.stderr
    assert row["outcome"] == "ok"
    assert found["version"] == ("passed", "two states of 1,000,000 bytes by their ids: 2 equal")
    assert found["lineage"] == ("declined", "nothing is written down")
    assert found["flow"] == ("failed", "RuntimeError: no executor")
    assert assay("report", "--run", str(row["run"]), "--output", "reports/asked", "--quiet").returncode == 0
    assert "nothing is written down" in (checkout / "reports/asked/scenarios/asked.html").read_text()
    summary = (checkout / "reports/asked/REPORT.md").read_text()
    (told,) = (line.split("|")[2:] for line in summary.splitlines() if line.startswith("| answers | "))
    assert [name in cell for name, cell in zip(("version", "flow", "", "lineage"), told, strict=False)] == [True] * 4


def test_a_scenario_names_what_is_asked(assay: Assay, checkout: Path) -> None:
    text = (TOOLS.parent / "scenarios/asked.toml").read_text()
    for name, subject in (("named", "version"), ("unknown", "virsion")):
        (checkout / name).mkdir()
        (checkout / name / f"{name}.toml").write_text(text.replace("[matrix]", f'subjects = ["{subject}"]\n[matrix]'))
        assay("run", name, "--profile", "smoke", "--scenarios", name, "--tools", str(TOOLS), "--no-report")
    rows = {row["scenario"]: row for row in pq.read_table(checkout / "results/trials").to_pylist()}

    assert [one["name"] for one in json.loads(rows["named"]["findings"])] == ["version"]
    assert rows["unknown"]["outcome"] != "ok"
    assert "there is no subject virsion; there are track, register" in rows["unknown"]["error"]


def seen(folder: Path, version: str) -> tuple[str, str]:
    """Version and place of the wheel when it is imported from itself."""
    wheel = folder / f"{wheels.NAME}-{version}-py3-none-any.whl"
    code = f"import {wheels.NAME} as one; print(one.version, one.__file__.split('/{wheels.NAME}.py')[0])"
    told = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(wheel)}, capture_output=True, text=True)
    first, second = told.stdout.split()
    return first, second


def test_tasks_are_isolated_where_each_sees_its_own_version(job: Probing) -> None:
    def isolated(folder: Path, versions: Sequence[str]) -> list[tuple[str, str]]:
        return [seen(folder, version) for version in versions]

    def shared(folder: Path, versions: Sequence[str]) -> list[tuple[str, str]]:
        return [seen(folder, versions[0]) for _ in versions]

    assert [one.state for one in probes.ask("isolate", isolated, job)] == ["passed"]
    assert [one.state for one in probes.ask("isolate", shared, job)] == ["failed"]


def test_a_package_brings_what_it_asks_for(job: Probing) -> None:
    (right,) = probes.ask("dependencies", lambda folder, version: seen(folder, version)[0], job)
    (wrong,) = probes.ask("dependencies", lambda folder, version: "0.9", job)
    (refused,) = probes.ask("dependencies", Refused("there is no such command"), job)

    assert (right.state, wrong.state) == ("passed", "failed")
    assert (refused.state, refused.said) == ("none", "there is no such command")


@pytest.mark.parametrize(
    ("names", "state"),
    [
        (["name", "cpu_limit"], "passed"),
        (["resources"], "passed"),
        (["name", "cache_result_in_memory"], "none"),
        ([], "none"),
    ],
)
def test_parameters_that_ask_for_resources_are_told_from_others(job: Probing, names: list[str], state: str) -> None:
    assert [one.state for one in probes.ask("resources", ("a task", names), job)] == [state]


def test_a_fit_that_leaves_nothing_was_not_recorded(job: Probing) -> None:
    def recorded(fit: Callable[[], None]) -> tuple[int, int, int]:
        fit()
        return 0, 3, 1

    assert [one.state for one in probes.ask("autolog", recorded, job)] == ["passed"]
    assert [one.state for one in probes.ask("autolog", lambda fit: (0, 0, 0), job)] == ["failed"]
    assert [one.state for one in probes.ask("autolog", lambda fit: (1, 3, 1), job)] == ["failed"]


def test_another_library_is_fitted_through_a_tool_and_not_past_it(job: Probing) -> None:
    def fit(rows: Any, labels: Any, asked: Any, notes: str) -> Any:
        return LogisticRegression(max_iter=200).fit(rows, labels).predict(asked)

    def through(rows: Any, labels: Any, asked: Any, notes: str) -> Any:
        for _ in range(2):  # as two workers would
            subprocess.run([sys.executable, "-c", f"from benchmarks import libraries; libraries.note({notes!r})"])
        return libraries.scikit_learn(f"{notes}/..").fit(rows, labels).predict(asked)

    def past(rows: Any, labels: Any, asked: Any, notes: str) -> Any:
        return libraries.scikit_learn(notes).set_params(n_jobs=1).fit(rows, labels).predict(asked)

    for number, (one, state) in enumerate([(through, "passed"), (past, "failed"), (fit, "failed")]):
        own = dataclasses.replace(job, scratch=f"{job.scratch}/{number}")
        Path(own.scratch).mkdir()
        (found,) = probes.ask("fit", {"scikit-learn": one}, own)

        assert (found.name, found.state) == ("fit-scikit-learn", state), found.said


SEARCH = """
import dataclasses, json, sys
from concurrent.futures import ThreadPoolExecutor
from benchmarks import probes, tuning
from benchmarks.contract import Probing

tuning.RATES, tuning.STEPS = (0.01, 0.1), 20


class Threads:
    def search(self, points, slots):
        with ThreadPoolExecutor({"serial": 1, "greedy": 2 * slots}.get(KIND, slots)) as pool:
            losses = list(pool.map(tuning.objective, points if KIND != "partial" else points[:2]))
        best = losses.index(min(losses))
        return points[best if KIND != "worst" else losses.index(max(losses))]["number"]


KIND = sys.argv[1]
(found,) = probes.ask("tune", Threads(), Probing(scratch=sys.argv[2], seed=1, host="", ports=()))
notes = [{"began": at, "ended": at + 2.0} for at in (10.0, 10.5, 12.0, 12.5)]
print(json.dumps([found.state, found.said, found.value, tuning.rate(notes)]))
"""


@pytest.mark.parametrize(
    ("kind", "state", "said"),
    [
        ("right", "passed", "4 points, each evaluated, the best as one by one"),
        ("worst", "failed", "is not the best"),
        ("serial", "failed", "2 slots: 1 evaluations at most ran at the same time"),
        ("greedy", "failed", "evaluations at most ran at the same time"),
        ("partial", "failed", "2 of 4 points were evaluated"),
    ],
)
def test_a_search_finds_the_best_of_all_points_and_two_at_once(
    torch_python: Path, job: Probing, kind: str, state: str, said: str
) -> None:
    done = subprocess.run(
        [torch_python, "-c", SEARCH, kind, job.scratch],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)

    assert found[0] == state, found
    assert said in found[1]
    assert found[2] is None if state == "failed" else f"{found[2]:.2f} times as many a second as with one" in found[1]
    assert found[3] == 4 / 4.5  # four points from 10.0 to 14.5 s
