"""The report in Chromium: readable by an accessibility checker's rules, on a phone, and its filter by what it hides."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH (Debian: apt-get install chromium)")

PAGES = ("index.html", "training.html", "ranking.html", "tools/single_process.html", "failures.html", "method.html")
CHECK = """
axe.run(document, { runOnly: ["wcag2a", "wcag2aa"] }).then((found) => tell(found.violations.map((one) =>
  `${one.id}: ${one.nodes.slice(0, 2).map((node) => node.html.slice(0, 120)).join(" | ")}`)));
"""
FILTER = """
const form = document.querySelector(".filter");
const count = () => [...document.querySelectorAll(".matrix tbody tr")].filter((row) => !row.hidden).length;
const before = count();
form.elements[0].value = "scalable training";
form.dispatchEvent(new Event("input"));
const named = count();
form.elements[0].value = "nothing has this";
form.dispatchEvent(new Event("input"));
tell([form.hidden, before, named, count()]);
"""
OPENED = """
location.hash = "license-ray";
setTimeout(() => tell(document.querySelector("#license-ray details").open), 200);
"""
WIDTH = "tell([document.documentElement.scrollWidth, innerWidth]);"


def run(page: Path, folder: Path, script: str, *, theme: str = "light", width: int = 1200) -> Any:
    """What `script` tells when the page has been loaded with it."""
    axe = files("axe_core_python").joinpath("axe.min.js").read_text()
    tell = "const tell = (value) => { document.body.setAttribute('data-told', JSON.stringify(value)); };"
    text = page.read_text().replace("<html ", f'<html data-theme="{theme}" ', 1)
    copy = folder / "page.html"
    copy.write_text(text.replace("</body>", f"<script>{axe}</script><script>{tell}{script}</script></body>"))
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    command += ["--virtual-time-budget=30000", "--dump-dom", copy.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    told = re.search(r'data-told="([^"]*)"', shown)
    assert told, shown[-500:]
    return json.loads(html.unescape(told[1]))


@pytest.fixture(scope="session")
def report(rows: dict[str, dict[str, object]], checkout: Path) -> Path:
    return checkout / "reports/latest"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_pages_keep_the_rules_of_wcag(report: Path, tmp_path: Path, page: str, theme: str) -> None:
    assert run(report / page, tmp_path, CHECK, theme=theme) == []


def test_the_filter_hides_rows_that_do_not_fit(report: Path, tmp_path: Path) -> None:
    hidden, before, named, none = run(report / "training.html", tmp_path, FILTER)

    assert (hidden, before, named, none) == (False, 8, 1, 0)


def test_a_link_to_a_cell_opens_it(report: Path, tmp_path: Path) -> None:
    assert run(report / "training.html", tmp_path, OPENED) is True


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_a_phone(report: Path, tmp_path: Path, page: str) -> None:
    scrolled, shown = run(report / page, tmp_path, WIDTH, width=500)

    assert scrolled <= shown
