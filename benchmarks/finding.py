"""What a probe found."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """`passed`, `failed` (tried, and wrong), `none` (the tool itself refuses), or `declined` (said, and not tried)."""

    name: str
    state: str
    said: str
