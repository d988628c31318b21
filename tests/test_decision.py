"""Decision records: the form of MADR 4, people's words kept, and a check that fails once the evidence flipped."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pytest

from assay import backing, claims, decision
from assay.backing import Backed
from assay.badge import Found
from assay.errors import UsageError
from assay.report import decisions
from assay.report.document import Items, render_html
from tests.test_claims import folder, known

TODAY = datetime.date(2026, 11, 26)


def backed(tmp_path: Path, ray: float = 1.6) -> Backed:
    place = tmp_path / "tables"
    if not place.exists():
        place.mkdir()
        folder(place)
    return backing.back(claims.load(place / "training", {}), known(ray=ray))


def test_a_record_has_the_headings_of_madr_in_their_order(tmp_path: Path) -> None:
    (place,) = decision.write([backed(tmp_path)], [], tmp_path / "decisions", TODAY)
    text = place.read_text()
    headings = [line for line in text.splitlines() if line.startswith("#")]

    assert place.name == "0001-training.md"
    assert text.startswith("---\nstatus: proposed\ndate: 2026-11-26\ndecision-makers:\nconsulted:\ninformed:\n---\n")
    assert headings == [
        "# Training",
        "## Context and Problem Statement",
        "## Decision Drivers",
        "## Considered Options",
        "## Decision Outcome",
        "### Consequences",
        "### Confirmation",
        "## Pros and Cons of the Options",
        "### Ray",
        "### Dask",
        "### Far",
        "## More Information",
    ]
    bullets = text.split("## Pros and Cons")[1].split("## More")[0]
    assert all(
        line.startswith(("- Good, because", "- Neutral, because", "- Bad, because"))
        for line in bullets.splitlines()
        if line.startswith("-")
    )
    assert "- Good, because Scalable training is ✗ contradicted" in bullets  # published as No, and it scales


def test_people_keep_their_words_and_evidence_is_renewed(tmp_path: Path) -> None:
    place = decision.write([backed(tmp_path)], [], tmp_path / "decisions", TODAY)[0]
    text = place.read_text()
    text = text.replace("status: proposed", "status: accepted").replace(
        "None is chosen yet: assay fills in the evidence, people decide.", "Chosen option: Ray.\n\nIt fits."
    )
    place.write_text(text)
    decision.write([backed(tmp_path, ray=1.0)], [], tmp_path / "decisions", TODAY)
    renewed = place.read_text()

    assert "status: accepted" in renewed
    assert "Chosen option: Ray.\n\nIt fits." in renewed
    assert "- Bad, because Scalable training is ✗ contradicted" in renewed


def test_a_check_names_what_flipped_and_what_expired(tmp_path: Path) -> None:
    records = tmp_path / "decisions"
    before = backed(tmp_path)
    decision.write([before], [], records, TODAY)

    assert decision.check([before], ["training"], records, TODAY) == []
    (flipped,) = decision.check([backed(tmp_path, ray=1.0)], ["training"], records, TODAY)
    assert "Ray: Scalable training: was confirmed" in flipped
    assert "is contradicted" in flipped
    expired = decision.check([before], [], records, TODAY + datetime.timedelta(days=200))
    assert any("225 days old" in line for line in expired)


@pytest.mark.parametrize(("published", "weight"), [("Yes", "Bad"), ("No", "Neutral"), ("n/a", "Neutral")])
def test_a_failure_speaks_against_a_tool_only_where_a_yes_was_published(
    tmp_path: Path, published: str, weight: str
) -> None:
    cell = next(iter(backed(tmp_path).cells.values()))
    failed = dataclasses.replace(cell, published=published, found=Found("failed", "No network here."))

    assert decision.weight(failed) == weight


def test_what_cannot_be_checked_says_how_to_mend_it(tmp_path: Path) -> None:
    one, records = backed(tmp_path), tmp_path / "decisions"

    with pytest.raises(UsageError, match="write it: assay decide training"):
        decision.check([one], ["training"], records, TODAY)
    with pytest.raises(UsageError, match="no table nowhere; there are training"):
        decision.write([one], ["nowhere"], records, TODAY)
    (place,) = decision.write([one], [], records, TODAY)
    place.write_text(place.read_text().replace("<!-- evidence", "<!-- gone"))
    with pytest.raises(UsageError, match=r"evidence: .* is gone"):
        decision.check([one], [], records, TODAY)


def test_a_record_is_a_page_of_the_report(tmp_path: Path) -> None:
    decision.write([backed(tmp_path)], [], tmp_path / "decisions", TODAY)
    (page,) = decisions.pages(tmp_path / "decisions")
    html = render_html(page, [page])

    assert page.path == "decisions/0001-training.html"
    assert any(isinstance(part, Items) for part in page.parts)
    assert '<a href="../training.html#scalable-training-ray">evidence</a>' in html
    assert "<!-- people" not in html
