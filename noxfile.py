"""The front door: `nox -l` lists what there is, and everything after `--` is passed on."""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHON_FILES = ["src", "benchmarks", "tests", "noxfile.py"]


def install(session: nox.Session, group: str | None = None, *, project: bool = True) -> None:
    """The project, editable, with a dependency group; compiled, so that no trial pays for it."""
    packages = [*nox.project.dependency_groups(PROJECT, group)] if group else []
    if project:
        packages += ["-e", "."]
    session.install(*packages, env={"UV_COMPILE_BYTECODE": "1", **pip_settings()})


def pip_settings() -> dict[str, str]:
    """pip's index settings under uv's names, as `assay.environment` passes them on for tools."""
    names = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX"}
    return {ours: os.environ[pips] for pips, ours in names.items() if pips in os.environ and ours not in os.environ}


@nox.session
def bench(session: nox.Session) -> None:
    """Measure and report: the same as `assay run`; profile quick unless told otherwise."""
    install(session)
    session.run("assay", "run", *session.posargs)


@nox.session
def smoke(session: nox.Session) -> None:
    """One tiny real trial of every tool; fails where one that can run here is not ok."""
    install(session)
    session.run("assay", "run", "--profile", "smoke", "--no-report", *session.posargs)


@nox.session
def report(session: nox.Session) -> None:
    """Render reports/latest from results/."""
    install(session)
    session.run("assay", "report", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The harness, through real processes."""
    install(session, "tests")
    session.run("pytest", *session.posargs)


@nox.session
def clusters(session: nox.Session) -> None:
    """Attach to clusters of Ray, Dask, Spark and torchrun that are started here."""
    install(session, "tests")
    session.run("pytest", "-m", "clusters", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: rules and format."""
    install(session, "lint", project=False)
    session.run("ruff", "check", *PYTHON_FILES)
    session.run("ruff", "format", "--check", *PYTHON_FILES)


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict."""
    install(session, "types")
    session.run("mypy", *session.posargs)


@nox.session
def overhead(session: nox.Session) -> None:
    """The harness's own speed and size, by pytest-benchmark."""
    install(session, "overhead")
    Path(".benchmarks").mkdir(exist_ok=True)
    session.run("pytest", "overhead", "-p", "no:cacheprovider", *session.posargs)
