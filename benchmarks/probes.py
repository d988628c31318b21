"""What tools are asked: our work and our checks, over the verbs that a tool's file gives.

A tool's `probe(job)` gives subjects by name; each subject below is a Protocol, and what it is asked stands under it. A
verb that a tool does not have is `Declined`; None is not asked. Values are drawn from the job's seed, so that an answer
cannot be known beforehand; what was handed over is deleted before it is asked for; a lookup is also tried where nothing
must be found. A check that breaks off has failed in everything that it has not said yet.
"""

from __future__ import annotations

import hashlib
import importlib.util
import random
import re
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks import interface, libraries, teamwork, tuning, vault, versioning, wheels
from benchmarks.contract import Declined, Probing, Refused, Unsupported
from benchmarks.finding import Finding, close

RUNS, STEPS, METRICS, PARAMETERS = 5, 100, 10, 20
BYTES = 1_000_000  # of an artefact, a version of a model, or what one task hands to the next
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
VERSIONS = ("1.0", "2.0")  # of a package, that two tasks need
RESOURCES = re.compile(r"(cpu|memory|mem|gpu|resources)(_|$)")
LONGEST = 500  # letters of what is said of a failure
TOLERANCE = 1e-12  # of a stored float: some databases keep fewer digits of a double


Series = Mapping[str, list[float]]  # metric to its values, step by step


class Tracker(Protocol):
    """Experiments, as the tool's own API stores and finds them."""

    def log(self, name: str, parameters: Mapping[str, str], series: Series, artefact: Path) -> str:
        """Store a run whole; returns its id."""
        ...

    def read(self, run: str) -> tuple[Mapping[str, str], Series, bytes]:
        """What was stored. Raises where there is no such run."""
        ...

    # Ids of runs whose last value of a metric is larger and whose parameter is this: metric, bound, parameter, value.
    search: Callable[[str, float, str, str], set[str]] | Declined | None
    delete: Callable[[str], None] | Declined | None


class Registry(Protocol):
    """Versions of a model by name."""

    def put(self, name: str, file: Path) -> str:
        """Register a file as a new version; returns the version."""
        ...

    def get(self, name: str, version: str) -> bytes:
        """The bytes of a version. Raises where there is none."""
        ...

    assign: Callable[[str, str, str], None] | Declined  # name, stage or alias, version
    assigned: Callable[[str, str], bytes] | Declined  # the bytes behind a name's stage or alias


class Versions(Protocol):
    """States of a data set."""

    def keep(self, content: bytes) -> str:
        """Store a state; returns its id."""
        ...

    def fetch(self, state: str) -> bytes:
        """The bytes of a state."""
        ...


class Lineage(Protocol):
    """From a registered model to the run that made it, and to the data set of that run."""

    def made(self, file: Path, data: str) -> tuple[str, str]:
        """Register a file that a run made from a data set of this name; returns the run's id and the version."""
        ...

    def origin(self, version: str) -> tuple[str, str]:
        """The id of the run that made a version, and its data set; empty where none did."""
        ...

    def alone(self, file: Path) -> str:
        """Register a file that no run made; returns the version."""
        ...


class Orchestrator(Protocol):
    """A pipeline of two tasks, run by the tool's own local executor."""

    def flow(self, content: bytes) -> tuple[str, int, int]:
        """One task hands `content` on, the next hashes it; returns its sha256 and the process ids of both."""
        ...

    retry: Callable[[Path], None] | Declined | None  # a task appends a line to the file and fails the first time


# Runs two tasks that each need another version of the package `wheels.NAME`, from a folder of wheels; gives the version
# and the prefix (`sys.prefix`) that each saw.
Isolator = Callable[[Path, Sequence[str]], list[tuple[str, str]]]


def track(one: Tracker, job: Probing) -> Iterator[Finding]:
    """A workload of five runs, read back whole; then found by a metric and a parameter, then deleted."""
    draw = random.Random(job.seed)
    logged = {}
    for number in range(RUNS):
        parameters = {f"p{index}": str(draw.random()) for index in range(PARAMETERS)}
        parameters["group"] = "odd" if number % 2 else "even"
        series = {f"m{index}": [draw.random() for _ in range(STEPS)] for index in range(METRICS)}
        series["m0"][-1] = float(number)
        content = draw.randbytes(BYTES)
        artefact = Path(job.scratch, f"artefact-{number}.bin")
        artefact.write_bytes(content)
        logged[one.log(f"run {number}", parameters, series, artefact)] = parameters, series, content
        artefact.unlink()
    wrong = [f"{run}: {fault}" for run, expected in logged.items() if (fault := unlike(one.read(run), *expected))]
    said = f"{RUNS} runs with {STEPS} steps of {METRICS} metrics, {PARAMETERS} parameters and an artefact"
    yield Finding("track", "failed" if wrong else "passed", f"{said}: {wrong[0] if wrong else 'read back equal'}")
    ids = list(logged)
    if isinstance(one.search, Declined):
        yield Finding("search", "declined", one.search.said)
    elif one.search:
        found, none = one.search("m0", 0.5, "group", "odd"), one.search("m0", float(RUNS), "group", "odd")
        right = found == {ids[1], ids[3]} and not none
        said = f"a filter on a metric and a parameter found {len(found)} runs of 2, and none where there are none"
        yield Finding("search", "passed" if right else "failed", said)
    if isinstance(one.delete, Declined):
        yield Finding("api", "declined", one.delete.said)
    elif one.delete:
        one.delete(ids[1])
        left = one.search("m0", 0.5, "group", "odd") if callable(one.search) else None
        gone = refuses(one.read, ids[1]) if left is None else left == {ids[3]}
        yield Finding("api", "passed" if gone else "failed", "runs were created, read, found and deleted by library")


def unlike(
    found: tuple[Mapping[str, str], Series, bytes], parameters: Mapping[str, str], series: Series, artefact: bytes
) -> str:
    """What differs between a stored run and what was logged; empty where nothing does."""
    stored, values, content = found
    if dict(stored) != dict(parameters):
        return "parameters differ"
    if values.keys() != series.keys():
        return f"metrics {sorted(values)}"
    for name, expected in series.items():
        if len(values[name]) != len(expected):
            return f"{name}: {len(values[name])} of {len(expected)} steps"
        if not close(values[name], expected, TOLERANCE):
            return f"{name}: other values"
    return "" if content == artefact else "the artefact differs"


def register(one: Registry, job: Probing) -> Iterator[Finding]:
    """Two versions by number, then a stage that moves from one to the other."""
    draw = random.Random(job.seed + 1)
    contents = [draw.randbytes(BYTES) for _ in range(2)]
    versions = []
    for number, content in enumerate(contents):
        file = Path(job.scratch, f"model-{number}.bin")
        file.write_bytes(content)
        versions.append(one.put("net", file))
        file.unlink()
    equal = [one.get("net", version) == content for version, content in zip(versions, contents, strict=True)]
    control = refuses(one.get, "net", "no-such-version")
    right = all(equal) and control
    said = f"two versions of {BYTES:,} bytes came back equal, an unknown one is an error"
    yield Finding("register", "passed" if right else "failed", said if right else f"equal: {equal}, control: {control}")
    if isinstance(one.assign, Declined) or isinstance(one.assigned, Declined):
        said = one.assign.said if isinstance(one.assign, Declined) else str(one.assigned)
        yield Finding("stage", "declined", said)
        yield Finding("promote", "declined", said)
        return
    one.assign("net", "staging", versions[0])
    staged = one.assigned("net", "staging") == contents[0]
    yield Finding("stage", "passed" if staged else "failed", "a stage, or alias, gives the bytes of its version")
    one.assign("net", "production", versions[0])
    before = one.assigned("net", "production")
    one.assign("net", "production", versions[1])
    after = one.assigned("net", "production")
    right = before == contents[0] and after == contents[1]
    yield Finding("promote", "passed" if right else "failed", "moved to another version, it gives the new bytes alone")


def version(one: Versions, job: Probing) -> Iterator[Finding]:
    """Two states of a data set, each fetched after the other was the newest."""
    draw = random.Random(job.seed + 2)
    contents = [draw.randbytes(BYTES) for _ in range(2)]
    states = [one.keep(content) for content in contents]
    right = [one.fetch(state) == content for state, content in zip(states, contents, strict=True)]
    said = f"two states of {BYTES:,} bytes by their ids: {sum(right)} equal"
    yield Finding("version", "passed" if all(right) else "failed", said)


def lineage(one: Lineage, job: Probing) -> Iterator[Finding]:
    """A version leads to its run and to the data of that; one that no run made leads to none."""
    draw = random.Random(job.seed + 3)
    file, data = Path(job.scratch, "made.bin"), f"data-{draw.randrange(10**9)}"
    file.write_bytes(draw.randbytes(1000))
    run, made = one.made(file, data)
    origin, other = one.origin(made), one.origin(one.alone(file))
    right = origin == (run, data) and not any(other)
    said = "a version leads to its run and its data set, and one that no run made to none"
    yield Finding("lineage", "passed" if right else "failed", said if right else f"{origin} and {other}")


def orchestrate(one: Orchestrator, job: Probing) -> Iterator[Finding]:
    """Data from one task to the next; a task that fails once and is tried again."""
    content = random.Random(job.seed + 4).randbytes(BYTES)
    digest, first, second = one.flow(content)
    right = digest == hashlib.sha256(content).hexdigest()
    where = "in one process" if first == second else "each in a process of its own"
    said = f"{BYTES:,} bytes from one task to the next, {where}: {'equal' if right else 'not equal'}"
    yield Finding("flow", "passed" if right else "failed", said)
    if isinstance(one.retry, Declined):
        yield Finding("retry", "declined", one.retry.said)
    if not callable(one.retry):
        return
    attempts = Path(job.scratch, "attempts.txt")
    ended = "" if not refuses(one.retry, attempts) else ", and the pipeline failed"
    count = len(attempts.read_text().splitlines())
    right = count == 2 and not ended
    yield Finding("retry", "passed" if right else "failed", f"a task that failed once ran {count} times{ended}")


def isolate(one: Isolator, job: Probing) -> Iterator[Finding]:
    """Tasks of one pipeline that need versions of one package that cannot both be installed."""
    folder = Path(job.scratch, "wheels")
    for version in VERSIONS:
        wheels.make(folder, version)
    found = one(folder, VERSIONS)
    versions, prefixes = [version for version, _ in found], {prefix for _, prefix in found}
    right = versions == list(VERSIONS) and len(prefixes) == len(found)
    said = f"two tasks that need {' and '.join(VERSIONS)} of a package saw {' and '.join(versions)}"
    yield Finding("isolate", "passed" if right else "failed", f"{said}, in {len(prefixes)} environments")


def parameters(one: tuple[str, Collection[str]], job: Probing) -> Iterator[Finding]:
    """What a task may ask for, by the names that the tool itself takes; whether it gets it is not shown."""
    where, names = one
    found = sorted(name for name in names if RESOURCES.match(name))
    if found:
        yield Finding(
            "resources", "passed", f"{where} takes {', '.join(found[:4])}; whether that is enforced is not shown"
        )
    else:
        said = f"none of the {len(names)} parameters of {where} asks for a CPU, memory or another resource"
        yield Finding("resources", "none", said)


def autolog(one: Callable[[Callable[[], None]], tuple[int, int, int]], job: Probing) -> Iterator[Finding]:
    """A fit before and after the tool was asked to record by itself: runs before, parameters and metrics after."""

    def fit() -> None:
        from sklearn.linear_model import LogisticRegression

        LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])

    before, kept, metrics = one(fit)
    right = not before and kept > 0 and metrics > 0
    said = f"a scikit-learn fit left {kept} parameters and {metrics} metrics by itself, and {before} runs before that"
    yield Finding("autolog", "passed" if right else "failed", said)


def dependencies(one: Callable[[Path, str], str], job: Probing) -> Iterator[Finding]:
    """A model that needs a package which the tool's interpreter lacks, and which its package alone asks for."""
    version, folder = f"1.{job.seed}", Path(job.scratch, "wheels")
    wheels.make(folder, version)
    lacked = importlib.util.find_spec(wheels.NAME) is None
    seen = one(folder, version)
    right = lacked and seen == version
    said = f"a model that asks for {wheels.NAME} {version}, which the interpreter lacked, saw {seen}"
    yield Finding("dependencies", "passed" if right else "failed", said)


def imported(one: Callable[[Path, list[list[float]]], list[float]], job: Probing) -> Iterator[Finding]:
    """A scikit-learn model that MLflow has saved answers as it did before, through the tool that took it over."""
    import mlflow.sklearn
    from sklearn.linear_model import LinearRegression

    draw, folder = random.Random(job.seed + 9), Path(job.scratch, "saved")
    rows = [[draw.random(), draw.random()] for _ in range(20)]
    model = LinearRegression().fit(rows, [2 * first - second for first, second in rows])
    mlflow.sklearn.save_model(model, str(folder), pip_requirements=[], serialization_format="cloudpickle")
    expected, found = model.predict(rows).tolist(), one(folder, rows)
    right = close(found, expected)
    said = f"a model that MLflow saved gives {len(expected)} rows as before: {'equal' if right else 'not equal'}"
    yield Finding("mlflow", "passed" if right else "failed", said)


def operations(one: Mapping[str, tuple[str, bool]], job: Probing) -> Iterator[Finding]:
    """What a vendor's installed client offers: it shows that an operation exists, never how well it works.

    One that is not found has failed: it may have another name today, which is no proof that there is none.
    """
    for name, (operation, there) in one.items():
        yield Finding(name, "passed" if there else "failed", f"{'there is' if there else 'not found:'} {operation}")


def refuses(call: Callable[..., Any], *arguments: Any) -> bool:
    """Whether the call raises: the control of a lookup. What it raises is the tool's own."""
    try:
        call(*arguments)
    except Exception:
        return True
    return False


# Subject to its check, and to the names of what that finds.
CHECKS: dict[str, tuple[Callable[[Any, Probing], Iterator[Finding]], tuple[str, ...]]] = {
    "track": (track, ("track", "search", "api")),
    "register": (register, ("register", "stage", "promote")),
    "version": (version, ("version",)),
    "lineage": (lineage, ("lineage",)),
    "orchestrate": (orchestrate, ("flow", "retry")),
    "isolate": (isolate, ("isolate",)),
    "versions": (versioning.check, ("versions",)),
    "secret": (vault.check, ("secret",)),
    "resources": (parameters, ("resources",)),
    "dependencies": (dependencies, ("dependencies",)),
    "autolog": (autolog, ("autolog",)),
    "mlflow": (imported, ("mlflow",)),
    "code": (teamwork.code, ("code",)),
    "shared": (teamwork.shared, ("shared",)),
    "events": (teamwork.events, ("events",)),
    "deploy": (teamwork.deployed, ("deploy",)),
    "ui": (interface.pages, ("ui",)),
    "access": (interface.gate, ("access",)),
    "operations": (operations, ()),
    "tune": (tuning.check, ("tune",)),
    "early": (tuning.early, ("early",)),
    "fit": (libraries.check, tuple(f"fit-{name}" for name in libraries.ALONE)),
}


def ask(name: str, subject: Any, job: Probing) -> Iterator[Finding]:
    """Everything about one subject; a check that breaks off leaves a failure for each finding that it still owed."""
    check, names = CHECKS[name]
    if isinstance(subject, Declined | Refused):
        state = "declined" if isinstance(subject, Declined) else "none"
        yield from (Finding(one, state, subject.said) for one in names)
        return
    said = set()
    try:
        for found in check(subject, job):
            said.add(found.name)
            yield found
    except Exception as error:
        traceback.print_exc()  # into the trial's log
        refused = isinstance(error, Unsupported)  # what the tool itself said when it was asked for the next one
        why = COLOURS.sub("", str(error) if refused else f"{type(error).__name__}: {error}")[:LONGEST]
        for one in [name for name in names if name not in said and owed(name, subject)]:
            yield Finding(one, "none" if refused else "failed", why)
            refused, why = False, f"not asked after: {why}" if refused else why


def owed(name: str, subject: Any) -> bool:
    """Whether a finding was still to come: not where the tool's file does not offer the verb."""
    if name.startswith("fit-"):
        return name.removeprefix("fit-") in subject
    verb = {"search": "search", "api": "delete", "retry": "retry"}.get(name)
    return verb is None or callable(getattr(subject, verb, None))
