"""A tool under test, as its file describes it: read as text, never imported.

The header is an inline script metadata block (PEP 723) with a `[tool.assay]` table of ours.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from assay.errors import ToolError, UsageError

CAPABILITIES = ("train", "serve", "infer", "probe")
DEVICES = ("cpu", "cuda")
LISTS = ("devices", "needs", "settings")  # of [tool.assay]

# The regular expression of PEP 723, "Reference Implementation".
HEADER = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


@dataclasses.dataclass(frozen=True, slots=True)
class Tool:
    """One file of a tools folder."""

    name: str  # the file's stem, the name in scenarios
    path: Path
    module: str  # as the worker imports it
    import_root: Path  # goes on PYTHONPATH beside the repository's root
    title: str
    homepage: str
    summary: str  # first line of the docstring
    devices: tuple[str, ...]
    needs: tuple[str, ...]  # programs of the system, such as "java>=17"
    settings: tuple[str, ...]  # that a variant may give it
    capabilities: tuple[str, ...]
    requires_python: str
    pins: tuple[str, ...] = ()  # names of the distributions that the header asks for


def read(path: Path, root: Path) -> Tool:
    """Describe the tool in `path`. Raises ToolError with every fault of the file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise ToolError(f"{path}: cannot be read: {fault}") from fault
    faults: list[str] = []
    header = read_header(text, faults)
    assay = header.get("tool", {}).get("assay", {})
    for place, key, table in (("header", "dependencies", header), *(("[tool.assay]", key, assay) for key in LISTS)):
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            faults.append(f"{place} {key}: write a list of texts")
            table[key] = []
    requires = header.get("requires-python", ">=3.11")
    try:
        SpecifierSet(requires)
    except (InvalidSpecifier, TypeError):
        faults.append(f'requires-python: {requires!r} is no version range, such as ">=3.11"')
    if header and not assay:
        faults.append("header: add a [tool.assay] table with title, homepage and devices")
    for key in ("title", "homepage"):
        if assay and not isinstance(assay.get(key), str):
            faults.append(f'[tool.assay]: add {key} = "..."')
    devices = assay.get("devices", ["cpu"])
    if unknown := [device for device in devices if device not in DEVICES]:
        faults.append(f"[tool.assay] devices: {', '.join(map(repr, unknown))} is none of {', '.join(DEVICES)}")
    if header and "exclude-newer" not in header.get("tool", {}).get("uv", {}):
        faults.append('[tool.uv]: add exclude-newer = "<date>T00:00:00Z"; with the pins it fixes the environment')
    faults += [
        f"dependencies: pin {dependency!r} exactly, with =="
        for dependency in header.get("dependencies", [])
        if "==" not in dependency
    ]
    for dependency in header.get("dependencies", []):
        try:
            Requirement(dependency)
        except InvalidRequirement as fault:
            faults.append(f"dependencies: {dependency!r}: {fault}")
    capabilities: tuple[str, ...] = ()
    summary = ""
    try:
        tree = ast.parse(text)
    except SyntaxError as fault:
        faults.append(f"line {fault.lineno}: {fault.msg}")
    else:
        summary = (ast.get_docstring(tree) or "").split("\n")[0]
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        capabilities = tuple(name for name in CAPABILITIES if name in defined)
        if not capabilities:
            faults.append(f"define at least one of the functions {', '.join(CAPABILITIES)}")
        if not summary:
            faults.append("add a docstring: its first line is shown in reports")
    if faults:
        raise ToolError("\n".join(f"{path}: {fault}" for fault in faults))
    folder = path.resolve().parent
    # A folder such as .assay/ is in the checkout and no part of a package.
    inside = folder.is_relative_to(root) and all(part.isidentifier() for part in folder.relative_to(root).parts)
    return Tool(
        name=path.stem,
        path=path,
        module=".".join((*folder.relative_to(root if inside else folder.parent).parts, path.stem)),
        import_root=root if inside else folder.parent,
        title=assay["title"],
        homepage=assay["homepage"],
        summary=summary,
        devices=tuple(devices),
        needs=tuple(assay.get("needs", ())),
        settings=tuple(assay.get("settings", ())),
        capabilities=capabilities,
        requires_python=requires,
        pins=tuple(canonicalize_name(Requirement(one).name) for one in header.get("dependencies", [])),
    )


def read_header(text: str, faults: list[str]) -> dict[str, Any]:
    """The header's TOML; faults are appended."""
    blocks = [match for match in HEADER.finditer(text) if match["type"] == "script"]
    if len(blocks) != 1:
        faults.append(f"found {len(blocks)} PEP 723 headers (# /// script ... # ///), expected one")
        return {}
    lines = (line[2:] if line.startswith("# ") else line[1:] for line in blocks[0]["content"].splitlines())
    try:
        return tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError as fault:
        faults.append(f"header: {fault}")
        return {}


def find(folders: Iterable[Path], root: Path) -> dict[str, Tool]:
    """Every tool of the folders by name; of equal names the later folder wins. Raises ToolError, UsageError."""
    tools: dict[str, Tool] = {}
    faults: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder of tools; give --tools a folder of one-file tools")
        for path in sorted(folder.glob("*.py")):
            if path.name.startswith("_"):
                continue
            try:
                tools[path.stem] = read(path, root)
            except ToolError as fault:
                faults.append(str(fault))
    if faults:
        raise ToolError("\n".join(faults))
    return tools
