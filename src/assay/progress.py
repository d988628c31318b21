"""What runs now, how far, and when it ends: one line that is redrawn on a terminal, plain lines elsewhere.

It draws when a phase begins or a trial ends, never in between: nothing is drawn while a window is measured.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from assay.environment import Environment
    from assay.journal import Entry
    from assay.plan import Trial

FIRST_GUESS_S = 20.0  # of a trial before any has ended


class Progress:
    """State of a run for people. `trials` is the whole plan."""

    def __init__(
        self, trials: Sequence[Trial], stream: TextIO = sys.stderr, guesses: dict[str, float] | None = None
    ) -> None:
        self.trials = trials
        self.stream = stream
        self.live = stream.isatty()
        self.walls: dict[str, list[float]] = {}  # by case
        self.guesses = guesses or {}  # by case, from earlier runs
        self.finished: set[str] = set()
        self.current = ""

    def say(self, line: str) -> None:
        """A line that stays."""
        self.stream.write(("\r\x1b[K" if self.live else "") + line + "\n")
        self.stream.flush()

    def environment(self, built: Environment) -> None:
        if built.outcome == "ok":
            self.say(f"  {built.tool}: ready after {built.build_s:.0f} s, {built.size / 2**30:.1f} GiB")
        else:
            first = built.error.strip().splitlines()[-1] if built.error.strip() else ""
            self.say(f"  {built.tool}: {built.outcome}: {first}; {built.remedy}")

    def resume(self, done: Sequence[Entry]) -> None:
        for entry in done:
            self.note(entry)
        if done:
            self.say(f"resuming: {len(self.finished)} of {len(self.trials)} trials are finished")

    def note(self, entry: Entry) -> None:
        if entry.wall_s:
            self.walls.setdefault(entry.case, []).append(entry.wall_s)
        if not entry.name.startswith("reference"):
            self.finished.add(entry.name.split(".")[0])

    def stop(self, scenario: str) -> None:
        """What is left of a scenario will not be run."""
        self.trials = [one for one in self.trials if one.case.scenario != scenario or str(one.index) in self.finished]

    def begin(self, trial: Trial, attempt: int) -> None:
        case = trial.case
        again = f", repeat {attempt}" if attempt else ""
        self.current = (
            f"[{len(self.finished) + 1}/{len(self.trials)}] {case.scenario} block {trial.block + 1}: "
            f"{case.label} x{case.workers} {case.device}{again}"
        )
        self.phase("launch")

    def phase(self, name: str) -> None:
        if self.live and self.current and name != "measure":
            self.stream.write(f"\r\x1b[K{self.current} {name}, {self.left()} left")
            self.stream.flush()

    def end(self, trial: Trial, entry: Entry, row: dict[str, Any]) -> None:
        self.note(entry)
        if entry.throughput:
            result = f"{entry.throughput:,.0f} samples/s"
        elif entry.outcome == "ok" and row.get("ready_ns"):
            result = f"first right answer after {row['ready_ns'] / 1e9:.1f} s"
        else:
            reason = (row.get("error") or "").strip().splitlines()
            result = f"{entry.outcome}: {reason[0][:120] if reason else ''}"
        self.say(f"{self.current}: {result} ({entry.wall_s:.1f} s; {self.left()} left)")

    def left(self) -> str:
        """Time left, by what each case took so far."""
        return duration(sum(self.expected(trial) for trial in self.trials if str(trial.index) not in self.finished))

    def expected(self, trial: Trial) -> float:
        """Seconds a trial of this case takes: its own, an earlier run's, the average of others, or a guess."""
        case = trial.case.name
        if case in self.walls:
            return statistics.median(self.walls[case])
        if case in self.guesses:
            return self.guesses[case]
        others = [wall for walls in self.walls.values() for wall in walls]
        return statistics.mean(others) if others else FIRST_GUESS_S

    def close(self) -> None:
        if self.live:
            self.stream.write("\r\x1b[K")
            self.stream.flush()


def duration(seconds: float) -> str:
    """As `1:02:03` or `2:03`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
