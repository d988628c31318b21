"""What was finished survives, and what was not never happened."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay import store
from assay.errors import StoreError, UsageError
from assay.journal import Entry, Journal

HEADER = {
    "run": "20260101T000000Z-0000",
    "scenarios": [{"scenario": "one", "scenario_text": "", "scenario_digest": ""}],
}
ENTRY = Entry("0", "one/torch_ddp/cpu/1", "ok", 1.5, 10.0)


def test_entries_come_back_in_order_and_a_line_is_below_a_kilobyte(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, HEADER)
    entries = [
        Entry(str(index), "one/torch_ddp (control)/cpu/128", "invalid NOISE", 123.456789, 1e6 / 3) for index in range(9)
    ]
    for entry in entries:
        journal.append(entry)

    assert list(journal.entries()) == entries
    assert (journal.folder / "journal.jsonl").stat().st_size < 9 * 1000


@given(cut=st.integers(1, 60))
@settings(max_examples=20, deadline=None)
def test_a_line_cut_at_any_byte_is_passed_over_and_mended(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    journal = Journal.create(tmp_path_factory.mktemp("runs"), HEADER)
    journal.append(ENTRY)
    path = journal.folder / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:cut])

    assert list(journal.entries()) == [ENTRY]
    journal.mend()
    journal.append(ENTRY)
    assert list(journal.entries()) == [ENTRY, ENTRY]


def test_a_foreign_line_is_named(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, HEADER)
    (journal.folder / "journal.jsonl").write_text("hello\n")
    with pytest.raises(StoreError, match=r"journal.jsonl:1: not a journal line"):
        list(journal.entries())


def test_without_runs_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run to resume"):
        Journal.find(tmp_path, None)


@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
@settings(max_examples=20, deadline=None)
def test_samples_come_back_from_journal_and_seal_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("seal")
    journal = Journal.create(folder, HEADER)
    for number in (0, 1):
        with store.TrialFile(journal.path(str(number)), number) as file:
            file.add(0, "step_time", "ns", "measure", 5, list(range(len(values))), values)
            file.add(1, f"loss{number}", "1", "train", 0, [], values)
            file.finish({"run": journal.run, "trial": number, "kind": "trial", "outcome": "ok"})
        journal.append(Entry(str(number), "c", "ok", 1.0))
    store.seal(journal, folder / "results", "now")
    samples = pq.read_table(folder / f"results/samples/{journal.run}.parquet").to_pylist()

    assert [row["value"] for row in samples] == values * 4
    assert [row["metric"] for row in samples[:: len(values)]] == ["step_time", "loss0", "step_time", "loss1"]
    assert [row["at_ns"] for row in samples[: len(values)]] == list(range(len(values)))
    assert store.survey(folder / "results").runs == [journal.run]
    assert store.survey(folder / "results").faults == []


def test_a_trial_that_was_not_finished_leaves_no_file(tmp_path: Path) -> None:
    with store.TrialFile(tmp_path / "0.parquet", 0) as file:
        file.add(0, "step_time", "ns", "measure", 0, [1], [1.0])

    assert list(tmp_path.iterdir()) == []
