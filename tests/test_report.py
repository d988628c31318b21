"""Pages from a real run: complete, self-contained, byte-stable, and without the speed of wrong answers."""

from __future__ import annotations

import hashlib
import html.parser
import json
import re
import shutil
from pathlib import Path

from tests.conftest import Assay

ROOT = Path(__file__).resolve().parents[1]
Rows = dict[str, dict[str, object]]


class Links(html.parser.HTMLParser):
    """Collects targets and what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if tag == "a" and name == "href" and value:
                self.links.append(value)
            elif name in ("src", "srcset") or (tag == "link" and name == "href"):
                self.fetched.append(f"{tag} {value}")


def test_every_local_link_leads_somewhere_and_nothing_is_fetched(rows: Rows, checkout: Path) -> None:
    pages = list((checkout / "reports/latest").rglob("*.html"))

    # Answers, six tables, three scenarios, ranking; failures, machine, method, data; a page a tool with a file.
    assert len([page for page in pages if page.parent.name != "tools"]) == 1 + 6 + 3 + 1 + 4
    for page in pages:
        parser = Links()
        parser.feed(page.read_text())
        assert parser.fetched == []
        for link in parser.links:
            assert "://" in link or (page.parent / link.split("#")[0]).exists(), f"{page}: {link}"
        assert page.stat().st_size < 1_500_000


def test_the_same_parquet_gives_the_same_bytes(rows: Rows, assay: Assay, checkout: Path) -> None:
    run = str(rows["clips"]["run"])
    for name in ("first", "second"):
        assert assay("report", "--run", run, "--output", f"reports/{name}", "--quiet").returncode == 0
    first, second = checkout / "reports/first", checkout / "reports/second"
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())

    assert len(files) > 10
    assert [(first / path).read_bytes() == (second / path).read_bytes() for path in files] == [True] * len(files)


def test_the_speed_of_a_wrong_answer_is_never_shown(rows: Rows, checkout: Path) -> None:
    summary = json.loads((checkout / "reports/latest/summary.json").read_text())
    cases = {case["tool"]: case for one in summary if one["scenario"] == "one" for case in one["cases"]}

    assert "throughput" in cases["single_process"]
    assert rows["clips"]["window_ns"]  # measured and stored
    assert "throughput" not in cases["clips"]  # and not reported
    failures = (checkout / "reports/latest/failures.html").read_text()
    assert "clips: invalid" in failures
    assert "signal 11" in failures.lower() or "sigsegv" in failures.lower()


def test_markdown_twin_has_tables_and_figures(rows: Rows, checkout: Path) -> None:
    folder = checkout / "reports/latest"
    text = (folder / "REPORT.md").read_text()

    assert len(text) < 60_000
    assert "| single_process |" in text
    for name in [line.split("](")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")]:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_the_front_says_what_it_rests_on_and_the_data_page_which_files(rows: Rows, checkout: Path) -> None:
    folder = checkout / "reports/latest"
    run = str(rows["single_process"]["run"])
    front = (folder / "REPORT.md").read_text().split("##")[0]
    digest = hashlib.sha256((checkout / f"results/trials/{run}.parquet").read_bytes()).hexdigest()

    assert re.search(
        r"Measured on [-\d]+: \d+ runs? at \d+ commits? of assay, on .+ Of \d+ trials \d+ were not ok", front
    )
    assert f"{digest}  results/trials/{run}.parquet" in (folder / "data.html").read_text()


def test_the_committed_report_is_short_enough_for_a_summary() -> None:
    assert (ROOT / "reports/latest/REPORT.md").stat().st_size < 60 * 1024


def test_corrupt_and_foreign_parquet_is_named_skipped_and_untouched(rows: Rows, assay: Assay, checkout: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    corrupt, foreign = checkout / "results/runs/corrupt.parquet", checkout / "results/runs/foreign.parquet"
    corrupt.write_bytes(b"PAR1 not really")
    pq.write_table(pa.table({"a": [1]}), foreign)
    whole = sorted((checkout / "results/trials").glob("*.parquet"))[0]
    cut = checkout / "results/trials/foreign.parquet"
    shutil.copy(whole, cut)
    before = {path: path.read_bytes() for path in (corrupt, foreign, cut)}
    try:
        done = assay("report", "--output", "reports/third")
        listed = assay("list", "runs")
    finally:
        for path in before:
            after = path.read_bytes()
            path.unlink()
            assert after == before[path]

    assert done.returncode == 0
    assert "corrupt.parquet: not a parquet file" in done.stderr
    assert "foreign.parquet: not written by assay" in done.stderr
    assert str(rows["clips"]["run"]) in listed.stdout


def test_without_results_there_is_one_clear_error(assay: Assay) -> None:
    done = assay("report", "--run", "20200101T000000Z-0000")

    assert done.returncode == 2
    assert done.stderr.startswith("assay: no run 20200101T000000Z-0000")
