"""What the metadata of installed distributions says: versions and licences, the latter as SPDX expressions. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

# Names of a licence in tables and in metadata that are no SPDX identifiers, in lower case.
LICENSES = {
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache software license 2.0": "Apache-2.0",
    "apache software license (apache 2.0)": "Apache-2.0",
    "bsd 3-clause": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "mit license": "MIT",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Installed:
    """A distribution of an environment that a stored run was measured in."""

    name: str
    version: str
    license: str | None
    tool: str
    python: str
    run: str


def installed(environments: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Installed]]:
    """By distribution and tool, as the newest run has them."""
    found: dict[str, dict[str, Installed]] = {}
    for row in sorted(environments, key=lambda row: str(row["run"])):
        for name, version, stated in row["packages"] or []:
            owners = found.setdefault(name, {})
            owners.pop(row["tool"], None)  # so that the newest comes last
            owners[row["tool"]] = Installed(name, version, stated, row["tool"], row["python"], row["run"])
    return found


def spdx(text: str) -> str | None:
    """A licence as an SPDX expression; None where the text names none."""
    try:
        return str(canonicalize_license_expression(LICENSES.get(text.lower().strip(), text)))
    except InvalidLicenseExpression:
        return None
