"""Randomised complete blocks: every case once a block, in an order drawn from the seed."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest
from scipy import stats

from assay import plan, scenario, tool
from assay.errors import UsageError
from tests.conftest import ROOT
from tests.test_scenario import GOOD, WORKLOADS

TOOLS = tool.find([ROOT / "benchmarks/tools"], ROOT)


@pytest.fixture
def question(tmp_path: Path) -> scenario.Scenario:
    path = tmp_path / "one.toml"
    text = GOOD.replace('["torch_ddp"]', '["torch_ddp", "dask", "slow-dask"]')
    text += 'baseline = "single_process"\ncontrol = "torch_ddp"\nblocks = 3\n'
    path.write_text(text + '[variants.slow-dask]\ntool = "dask"\nsettings = { malloc_trim = "unset" }\n')
    return scenario.load(path, WORKLOADS)


def test_a_block_holds_every_case_once_with_baseline_and_twin(question: scenario.Scenario) -> None:
    trials = plan.plan([question], TOOLS, seed=1)
    names = [trial.case.name for trial in trials if trial.block == 0]

    assert len(trials) == 3 * 9
    assert sorted(names) == sorted(
        [
            "one/single_process/cpu/1",
            *(
                f"one/{label}/cpu/{n}"
                for label in ("torch_ddp", "torch_ddp (control)", "dask", "slow-dask")
                for n in (1, 2)
            ),
        ]
    )
    assert [trial.index for trial in trials] == list(range(27))


def test_m12_the_same_seed_gives_the_same_plan_and_another_seed_another(question: scenario.Scenario) -> None:
    assert plan.plan([question], TOOLS, seed=1) == plan.plan([question], TOOLS, seed=1)
    assert plan.plan([question], TOOLS, seed=1) != plan.plan([question], TOOLS, seed=2)


def test_m12_every_case_is_equally_often_in_every_position(question: scenario.Scenario) -> None:
    one = plan.profiled(question, "quick", blocks=1)
    counts: collections.Counter[tuple[str, int]] = collections.Counter()
    for seed in range(1000):
        counts.update((trial.case.name, trial.position) for trial in plan.plan([one], TOOLS, seed))

    assert len(counts) == 81
    assert stats.chisquare(list(counts.values())).pvalue > 0.001


def test_a_variant_is_a_case_with_settings_of_its_own(question: scenario.Scenario) -> None:
    variant = next(case for case in plan.cases(question, TOOLS) if case.label == "slow-dask")

    assert (variant.tool, variant.settings) == ("dask", {"malloc_trim": "unset"})


def test_a_setting_that_no_tool_reads_is_refused(question: scenario.Scenario) -> None:
    variants = {"slow-dask": scenario.Variant(tool="dask", settings={"maloc_trim": "unset"})}

    with pytest.raises(UsageError, match=r"variants.slow-dask.settings: dask reads no 'maloc_trim'.*malloc_trim"):
        plan.cases(question.model_copy(update={"variants": variants}), TOOLS)


def test_profiles_set_the_blocks(question: scenario.Scenario) -> None:
    blocks = {profile: plan.profiled(question, profile).measure.blocks for profile in plan.PROFILES}

    assert blocks == {"smoke": 1, "quick": 3, "standard": 3, "full": 10}


def test_every_unknown_tool_is_named(question: scenario.Scenario) -> None:
    matrix = question.matrix.model_copy(update={"tools": ["torch_ddp", "rai", "dusk"]})
    with pytest.raises(UsageError, match=r"(?s)no tool 'rai'.*no tool 'dusk'"):
        plan.cases(question.model_copy(update={"matrix": matrix}), TOOLS)


def test_select_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match="no scenario 'x', 'y'; there are a, b"):
        plan.select(["a", "b"], ["x", "a", "y"], "scenario")
