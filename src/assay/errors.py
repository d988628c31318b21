"""The errors that a user can mend. Each names the place and the remedy; the CLI prints it and nothing else.

AssayError
├── UsageError      a flag, a name or a file that cannot be used       exit code 2
├── ScenarioError   faults in a scenario file, all of them at once     exit code 2
├── ToolError       faults in a tool's file or header, all at once     exit code 2
├── ClaimsError     faults in a published table or its evidence        exit code 2
└── StoreError      a parquet or journal that cannot be used           exit code 3
"""

from __future__ import annotations


class AssayError(Exception):
    """An error with a message for the user."""

    exit_code = 1


class UsageError(AssayError):
    """A flag, a name or a path that cannot be used."""

    exit_code = 2


class ScenarioError(AssayError):
    """Every fault found in a scenario file, a line each."""

    exit_code = 2


class ToolError(AssayError):
    """Every fault found in a tool's file, a line each."""

    exit_code = 2


class ClaimsError(AssayError):
    """Every fault found in a published table or in the file that says how it is backed."""

    exit_code = 2


class StoreError(AssayError):
    """A stored file that is corrupt, foreign or of another schema."""

    exit_code = 3
