"""What is known of a published cell: its badge, and a verdict where there is one."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

from assay.claims import Verdict, claims, qualified
from assay.facts import Installed
from assay.measured import Question
from assay.report.answer import Answer
from assay.served import Served
from assay.tool import Tool

# Badge to symbol: never colour alone.
BADGES = {
    "confirmed": "✓",
    "contradicted": "✗",
    "unclear": "?",
    "fact": "§",
    "live": "●",
    "measured": "#",
    "failed": "!",
    "blocked": "⊘",
    "skipped": "»",
    "old": "◷",
    "not measured": "○",
    "judgement": "✎",
    "not measurable": "∅",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What is known of a cell: badge, verdict where there is one, and what a reader needs to check it."""

    badge: str  # of BADGES
    said: str
    verdict: Verdict = ""
    scenario: str = ""  # whose page has the figure
    run: str = ""
    trials: tuple[int, ...] = ()
    command: str = ""  # that measures it again, or for the first time
    added: str = ""  # said beside it, deciding nothing
    others: tuple[Found, ...] = ()  # further proofs that it rests on
    holds: bool | None = None  # whether the tool has it, whatever was published; None: not known

    @property
    def runs(self) -> list[str]:
        """All that it rests on, the oldest first."""
        return sorted({one.run for one in (self, *self.others)} - {""})

    @property
    def word(self) -> str:
        return self.verdict or self.badge


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """Everything that badges are made of."""

    questions: Mapping[str, Question]
    answers: Mapping[str, Answer]  # of scenarios that train or infer, on CPU where they ran there
    served: Mapping[str, Served]  # of scenarios that serve
    installed: Mapping[str, Mapping[str, Installed]]  # by distribution and tool, the newest last
    tools: Mapping[str, Tool]
    releases: Mapping[str, datetime.date]  # day by name==version
    today: datetime.date


def verdict(published: str, holds: bool, shows: str | None = None) -> tuple[Verdict, str]:
    """Of a cell that says yes or no, and what is said of the rest where it says more than was shown."""
    claimed = claims(published)
    if shows is not None and shows != published:
        return "", f" Shown for {shows} alone; what else the cell says is not measured." if published else ""
    if shows is not None:
        return ("confirmed" if holds else "contradicted"), ""
    if claimed is None:
        return "", ""
    if holds and qualified(published):
        return "", " What the cell says beside Yes is not measured."
    return ("confirmed" if claimed == holds else "contradicted"), ""
