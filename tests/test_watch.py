"""A regression is believed when a rerun shows it: what is looked at, and what each outcome is called."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from assay import tool, watch
from assay.errors import UsageError
from assay.statistics import Comparison, Estimate, Pair
from assay.watch import Suspect
from tests.conftest import ROOT
from tests.test_compare import question


def suspect(commit: str, name: str = "torch_ddp") -> Suspect:
    return Suspect(name, (1,), "cpu", commit, (), "3.11.7")


def test_what_fell_is_suspected_and_noise_is_not() -> None:
    built = {name: {"packages": [["torch", "2", None]], "python": "3.11.7"} for name in ("base", "t")}
    fell = watch.suspicious(question("a", 1.0, 10), question("b", 0.9, 60), built)
    same = watch.suspicious(question("a", 1.0, 10), question("b", 1.0, 60), built)

    assert [one.tool for one in fell] == ["t"]
    assert (fell[0].workers, fell[0].commit, fell[0].packages[0].name) == ((1,), "a", "torch")
    assert same == []


def test_the_tool_of_then_is_a_tool_of_its_own(tmp_path: Path) -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    if not head:
        pytest.skip("not a git checkout")
    before = watch.earlier_tool(suspect(head), tmp_path / ".assay/tools", ROOT)

    assert (before.name, before.title, before.module) == (
        "torch_ddp_before",
        "torch_ddp before",
        "tools.torch_ddp_before",
    )
    with pytest.raises(UsageError, match="must be in this clone"):
        watch.earlier_tool(suspect("0" * 40), tmp_path / "tools", ROOT)


def test_a_folder_that_is_no_package_is_imported_from_beside_it(tmp_path: Path) -> None:
    path = tmp_path / ".assay/watch/tools/x.py"
    path.parent.mkdir(parents=True)
    path.write_text((ROOT / "benchmarks/tools/torch_ddp.py").read_text())
    one = tool.read(path, tmp_path)

    assert (one.module, one.import_root) == ("tools.x", path.parent.parent)


@pytest.mark.parametrize(
    ("word", "expected"),
    [("faster", "regression"), ("slower", "none"), ("undecided", "none"), ("no verdict", "not judged")],
)
def test_the_outcome_of_a_rerun(word: str, expected: str) -> None:
    comparison = Comparison(Estimate(1.1, 1.05, 1.15, 10), 0.01, 1.0, word, Pair({}, {}, None))

    assert watch.verdict(comparison)[0] == expected
    assert watch.verdict(None)[0] == "not judged"
