"""A tool's environment: made by uv from its header before any clock starts, described by what was installed."""

from __future__ import annotations

import configparser
import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from assay import machine
from assay.errors import UsageError
from assay.tool import HEADER, Tool

TOGETHER = 2  # environments built at once; a compiling one already uses every core
BUILD_TIMEOUT_S = 3600.0
LAST_LINES = 15

# What is asked for, how its version is found, how to get it. Debian's names: the remedy is a hint, not a rule.
VERSION_OF = re.compile(r"(\d+(?:\.\d+)*)")
REMEDIES = {
    "java": "install a Java runtime (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME",
    "g++": "install a C++ compiler (Debian: apt-get install g++)",
    "make": "install make (Debian: apt-get install make)",
    "tensorflow_model_server": "install tensorflow-model-server from TensorFlow's apt repository, or put the binary of "
    "its container image on PATH",
}
# What a failed build's last lines mean: (pattern, remedy).
BUILD_SIGNS = (
    (
        r"No solution found|no wheels with a matching|not found in the package registry",
        "check the pins in the file's header against the index",
    ),
    (r"No interpreter found", "install the Python that the header's requires-python asks for"),
    (
        r"error: command .*(gcc|g\+\+)|CMake Error|fatal error: .*\.h",
        "install the compiler and headers that the build asks for",
    ),
    (
        r"dns error|Connection refused|failed to lookup|error sending request",
        "check the network, or give wheels with UV_FIND_LINKS",
    ),
    (r"No space left on device", "free disk space; environments are in .envs/"),
)

# pip's setting, uv's variable for the same.
PIP_TO_UV = {
    "find-links": "UV_FIND_LINKS",
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Package:
    name: str
    version: str
    license: str | None  # as its metadata says; None where it says nothing


@dataclasses.dataclass(frozen=True, slots=True)
class Environment:
    """What a tool runs on, or why it cannot."""

    tool: str
    python: Path | None  # None: the environment could not be made
    outcome: str  # ok, unsupported or environment
    error: str = ""
    remedy: str = ""
    python_version: str = ""
    packages: tuple[Package, ...] = ()
    build_s: float = 0.0
    size: int = 0  # bytes on disk

    @property
    def digest(self) -> str:
        """Of interpreter and packages: equal digests ran on equal software."""
        lines = [self.python_version, *(f"{package.name}=={package.version}" for package in self.packages)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def build_all(tools: Sequence[Tool], folder: Path, on_built: Callable[[Environment], None]) -> dict[str, Environment]:
    """Make every tool's environment, some at once; `on_built` is told of each as it ends."""
    with ThreadPoolExecutor(TOGETHER) as pool:
        running: set[subprocess.Popen[str]] = set()
        futures = [pool.submit(build, tool, folder, running) for tool in tools]
        found = {}
        try:
            for future in as_completed(futures):
                environment = future.result()
                found[environment.tool] = environment
                on_built(environment)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            raise
    return {tool.name: found[tool.name] for tool in tools}


def pinned(tool: Tool, packages: Sequence[Package], python: str, folder: Path) -> Tool:
    """The tool with a header of its own in `folder`, which asks for exactly these versions."""
    path = folder / "tools" / tool.path.name
    path.parent.mkdir(parents=True, exist_ok=True)
    # How to build and what not to isolate stays as the tool's file says.
    match = HEADER.search(tool.path.read_text())
    lines = match["content"].splitlines() if match else []
    tables = [line for index, line in enumerate(lines) if any(one.startswith("# [") for one in lines[: index + 1])]
    pins = [f'#     "{package.name}=={package.version}",' for package in packages]
    header = ["# /// script", f'# requires-python = "=={python}"', "# dependencies = [", *pins, "# ]", *tables, "# ///"]
    path.write_text("\n".join([*header, ""]))
    return dataclasses.replace(tool, path=path, requires_python=f"=={python}")


def build(tool: Tool, folder: Path, running: set[subprocess.Popen[str]]) -> Environment:
    """Make or update one environment under `folder`; a failure is a value, never an exception."""
    if missing := missing_needs(tool):
        needs = ", ".join(missing)
        return Environment(tool.name, None, "unsupported", f"needs {needs}", "; ".join(map(remedy, missing)))
    place = folder / tool.name
    started = time.monotonic()
    command = [
        uv(),
        "sync",
        "--script",
        str(tool.path),
        "--active",
        "--python",
        python_request(tool),
        "--no-progress",
        "--compile-bytecode",
    ]
    try:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**uv_environment(os.environ), "VIRTUAL_ENV": str(place)},
            start_new_session=True,
        )
    except OSError as fault:
        return Environment(tool.name, None, "environment", f"uv cannot be started: {fault}", "pip install uv")
    running.add(process)
    try:
        output, _ = process.communicate(timeout=BUILD_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output = f"{process.communicate()[0]}\nnot built within {BUILD_TIMEOUT_S:.0f} s"
    finally:
        running.discard(process)
    if process.returncode:
        lines = [line for line in output.splitlines() if line.strip()]
        advice = next((advice for sign, advice in BUILD_SIGNS if re.search(sign, output)), f"run: {' '.join(command)}")
        return Environment(tool.name, None, "environment", "\n".join(lines[-LAST_LINES:]), advice)
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return describe(tool.name, python, build_s=time.monotonic() - started, size=machine.folder_size(place))


def describe(tool: str, python: Path, build_s: float = 0.0, size: int = 0) -> Environment:
    """An interpreter that exists, with what is installed for it."""
    asked = subprocess.run(
        [python, "-c", "import json, sys; print(json.dumps([sys.version.split()[0], sys.path]))"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ.get("PATH", os.defpath)},
    )
    if asked.returncode:
        return Environment(tool, None, "environment", asked.stderr.strip()[-500:], f"check that {python} runs")
    version, path = json.loads(asked.stdout)
    return Environment(
        tool=tool,
        python=python,
        outcome="ok",
        python_version=version,
        packages=tuple(packages([entry for entry in path if entry])),
        build_s=build_s,
        size=size,
    )


def provisioned(tools: Sequence[Tool], python: Path) -> dict[str, Environment]:
    """The same, already provisioned interpreter for every tool. Raises UsageError where it does not run."""
    if not shutil.which(python):
        raise UsageError(f"--python {python}: no such interpreter")
    environment = describe("", Path(os.path.abspath(shutil.which(python) or python)))  # noqa: PTH100, resolve() would leave the virtual environment
    if environment.outcome != "ok":
        raise UsageError(f"--python {python}: {environment.error}")
    return {tool.name: dataclasses.replace(environment, tool=tool.name) for tool in tools}


def packages(path: Sequence[str]) -> Iterator[Package]:
    """Every distribution on a path, by name, read from its metadata on disk."""
    found: dict[str, Package] = {}
    for distribution in importlib.metadata.distributions(path=list(path)):
        metadata: Any = distribution.metadata
        name = re.sub(r"[-_.]+", "-", metadata["Name"] or "").lower()
        if name:
            found.setdefault(name, Package(name, distribution.version, license_of(metadata)))
    yield from (found[name] for name in sorted(found))


def license_of(metadata: Any) -> str | None:
    """The expression of PEP 639, else the classifier, else a license field short enough to be a name."""
    if expression := metadata.get("License-Expression"):
        return str(expression)
    for classifier in metadata.get_all("Classifier") or ():
        if classifier.startswith("License :: "):
            return str(classifier.split(" :: ")[-1])
    text = (metadata.get("License") or "").strip()
    return text if 0 < len(text) < 60 else None


def missing_needs(tool: Tool) -> list[str]:
    """The system needs of a tool that this machine does not meet."""
    return [need for need in tool.needs if not met(need)]


def remedy(need: str) -> str:
    """How to get a system need."""
    return REMEDIES.get(need_name(need), f"install {need}")


def need_name(need: str) -> str:
    return re.split(r"[<>=!~]", need)[0]


def met(need: str) -> bool:
    name = need_name(need)
    program = shutil.which(name)
    if name == "java" and "JAVA_HOME" in os.environ:
        program = shutil.which("java", path=f"{os.environ['JAVA_HOME']}/bin") or program
    if not program:
        return False
    wanted = need.removeprefix(name)
    if not wanted:
        return True
    asked = subprocess.run([program, "--version"], capture_output=True, text=True)
    # The first line may carry a distribution's own version after the program's.
    version = VERSION_OF.search((asked.stdout or asked.stderr).split("(")[0]) or VERSION_OF.search(asked.stdout)
    try:
        return version is not None and SpecifierSet(wanted).contains(version[1])
    except InvalidSpecifier:
        return False


def python_request(tool: Tool) -> str:
    """The Python to build with: the harness's own version where the tool allows it, so that tools share one."""
    own = ".".join(map(str, sys.version_info[:3]))
    if SpecifierSet(tool.requires_python).contains(own):
        return sys.executable
    return tool.requires_python


def uv() -> str:
    """uv's path: the one installed beside us first, so that a fresh machine needs nothing on PATH."""
    try:
        import uv as package

        return package.find_uv_bin()
    except (ImportError, FileNotFoundError):
        return shutil.which("uv") or "uv"


def uv_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Our environment with pip's index settings under uv's names, where uv's own are not set.

    uv reads none of pip's. The variables `PIP_*` go before pip's files, as in pip.
    """
    environment = {name: value for name, value in variables.items() if name != "PYTHONPATH"}
    files = pip_files(variables)
    for setting, name in PIP_TO_UV.items():
        value = variables.get("PIP_" + setting.upper().replace("-", "_")) or files.get(setting)
        if not value or name in variables:
            continue
        # A file: index that does not exist is skipped by pip, but is an error for uv.
        entries = [entry for entry in value.split() if not entry.startswith("file://") or Path(entry[7:]).exists()]
        if entries:
            # uv separates links by commas, indexes by spaces.
            environment[name] = ("," if name == "UV_FIND_LINKS" else " ").join(entries)
    if "UV_INDEX" in environment:
        # pip merges its indexes; uv would stop at the first that knows a package.
        environment.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return environment


def pip_files(variables: Mapping[str, str]) -> dict[str, str]:
    """pip's settings from its configuration files, later files win: the order of pip's documentation."""
    home = Path(variables.get("HOME", "/"))
    files = [
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        home / ".pip/pip.conf",
        Path(variables.get("XDG_CONFIG_HOME", home / ".config")) / "pip/pip.conf",
    ]
    if "PIP_CONFIG_FILE" in variables:
        files.append(Path(variables["PIP_CONFIG_FILE"]))
    parser = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(configparser.Error):
        parser.read([file for file in files if file.is_file()])
    found: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            found |= {name: value for name, value in parser.items(section) if name in PIP_TO_UV}
    return found
