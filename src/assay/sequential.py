"""When a campaign with adaptive blocks may stop: at few looks, each of which judges at a share of the level.

With k looks at level alpha / k, the chance that any of them is wrong is at most alpha (Bonferroni), however much the
looks depend on each other. `python -m assay.sequential FOLDER SCENARIO` is a look at a run that is going on, in a
process of its own: what it needs would leave the engine larger for the trials to come.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.statistics import Comparison

MOST_LOOKS = 6


def looks(least: int, most: int) -> list[int]:
    """Numbers of blocks after which to look: `least`, `most`, and at most four between them, evenly spread."""
    steps = min(MOST_LOOKS, most - least + 1)
    if steps == 1:
        return [most]
    return sorted({round(least + step * (most - least) / (steps - 1)) for step in range(steps)})


def level(blocks: Mapping[str, int] | None) -> float:
    """At which comparisons are judged; `blocks` are `min` and `max` where they are adaptive."""
    from assay.statistics import ALPHA  # and with it scipy, which the engine has no use for

    return ALPHA / len(looks(blocks["min"], blocks["max"])) if blocks else ALPHA


def decided(comparisons: Iterable[Comparison]) -> bool:
    """Whether there are comparisons and each is settled."""
    found = list(comparisons)
    return bool(found) and all(one.settled for one in found)


class Stops:
    """Which scenarios of a run have enough blocks, asked before each block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: dict[tuple[str, int], bool] = {}  # scenario and block to whether it is not needed

    def known(self, scenario: str, block: int) -> bool:
        return (scenario, block) in self.answers

    def enough(self, scenario: str, least: int, most: int, block: int) -> bool:
        """Whether `block` (from 0) is not needed: at some look before it everything was decided."""
        if not self.known(scenario, block):
            before = any(stopped for (name, _), stopped in self.answers.items() if name == scenario)
            self.answers[scenario, block] = before or (block in looks(least, most) and self.look(scenario))
        return self.answers[scenario, block]

    def look(self, scenario: str) -> bool:
        command = [sys.executable, "-m", "assay.sequential", str(self.folder), scenario]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip() == "decided"


def main() -> None:
    from assay import measured, served, store
    from assay.journal import Journal
    from assay.report.answer import answer
    from assay.report.serving.answer import differences

    journal, scenario = Journal(Path(sys.argv[1])), sys.argv[2]
    with store.query(None, journal) as connection:
        question = next(one for one in measured.questions(connection, [journal.run]) if one.name == scenario)
        if question.serves:
            found = list(differences(served.served(connection, question), 0.99).values())
        else:
            found = [
                comparison
                for device in question.devices
                for comparisons in answer(question, device).comparisons.values()
                for comparison in comparisons.values()
            ]
    print("decided" if decided(found) else "undecided")


if __name__ == "__main__":
    main()
