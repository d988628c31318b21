"""What a probe found."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """`passed`, `failed` (tried, and wrong), `none` (the tool itself refuses), or `declined` (said, and not tried)."""

    name: str
    state: str
    said: str
    value: float | None = None  # what was measured, where something was


def close(found: Sequence[float], expected: Sequence[float], within: float = 1e-4) -> bool:
    """As many numbers, none of which differs by more; the default is that of golden rows (rule M35)."""
    pairs = zip(found, expected, strict=False)
    return len(found) == len(expected) and all(math.isclose(a, b, rel_tol=0.0, abs_tol=within) for a, b in pairs)
