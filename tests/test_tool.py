"""The contract of every tool's file, read without importing it. A failure is a sentence to its author."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay import template, tool
from assay.errors import ToolError, UsageError
from tests.conftest import ROOT

FILES = sorted(path for path in (ROOT / "benchmarks/tools").glob("*.py") if not path.name.startswith("_"))
STANDARD = set(sys.stdlib_module_names) | {"benchmarks", "__future__"}


def top_level_imports(path: Path) -> set[str]:
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def check_contract(path: Path, root: Path) -> None:
    one = tool.read(path, root)
    text = path.read_text()

    assert one.title, "give [tool.assay] a title"
    assert one.capabilities, "define one of the capability functions"
    for forbidden in ("perf_counter", "time.time(", "monotonic("):
        assert forbidden not in text, f"{forbidden}: the clock is assay's, a tool cannot time itself"
    if "train" in one.capabilities:
        assert "job.run(" in text, "ranks call job.run(rank, ...): it is the loop that is measured"
    if {"serve", "infer"} & set(one.capabilities) and one.name != "endpoint":
        same = "predictor(" in text or "job.model" in text
        assert same, "what is served is job.predictor(), or the weights in job.model: the same model for every tool"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_setting_that_the_header_lists_is_read(path: Path) -> None:
    text = path.read_text()
    helpers = {"v2_url(job)": "contract.py", ".predictor()": "model.py"}
    shared = "".join((ROOT / f"benchmarks/{file}").read_text() for call, file in helpers.items() if call in text)

    for setting in tool.read(path, ROOT).settings:
        body = (text.split("# ///")[-1] + shared).replace("'", '"')
        assert f'"{setting}"' in body, f"{setting} is listed and never read"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_tools_file_keeps_the_contract(path: Path) -> None:
    check_contract(path, ROOT)


TOOLS = {
    "train": "dask deepspeed horovod ray single_process spark tensorflow torch_ddp",
    "serve": "azureml bentoml deepspeed endpoint fastapi kserve litserve mlflow mlserver ray sagemaker "
    "tensorflow_serving torchserve triton",
    "infer": "dask deepspeed ray single_process spark",
    "probe": "airflow aws azure bentoml dask deepspeed dvc flyte google horovod kedro kserve kubeflow metaflow "
    "ml_metadata mlflow prefect ray spark tensorflow torch_ddp torchserve",
}


@pytest.mark.parametrize("capability", TOOLS)
def test_all_tools_are_there(capability: str) -> None:
    found = [path.stem for path in FILES if capability in tool.read(path, ROOT).capabilities]

    assert set(TOOLS[capability].split()) <= set(found)


def test_the_inside_imports_only_the_standard_library() -> None:
    for path in (ROOT / "benchmarks").rglob("*.py"):
        if path.parent.name == "tools":
            continue  # imported in its own environment alone
        assert top_level_imports(path) <= STANDARD, path


def test_the_outside_imports_no_tool() -> None:
    for path in (ROOT / "src/assay").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                assert not {name.split(".")[0] for name in names} & {"benchmarks", "torch", "ray", "dask", "pyspark"}, (
                    path
                )


@pytest.mark.parametrize("capability", TOOLS)
def test_a_new_tool_keeps_the_contract_and_says_what_to_fill_in(tmp_path: Path, capability: str) -> None:
    path = template.write("my_tool", tmp_path, capability)

    check_contract(path, ROOT)
    assert path.read_text().count("<") >= 4
    assert tool.read(path, ROOT).capabilities == (capability,)
    with pytest.raises(UsageError, match="exists already"):
        template.write("my_tool", tmp_path)
    with pytest.raises(UsageError, match="cannot name a tool"):
        template.write("my-tool", tmp_path)


def test_every_fault_of_a_file_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(
        '# /// script\n# dependencies = ["torch"]\n# [tool.assay]\n# title = "x"\n# devices = ["tpu"]\n# ///\n'
        '"""Doc."""\n'
    )
    with pytest.raises(ToolError) as caught:
        tool.read(path, ROOT)

    message = str(caught.value)
    assert all(word in message for word in ("homepage", "'tpu'", "exclude-newer", "pin 'torch'", "at least one"))


def test_a_header_that_is_missing_or_not_toml_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "none.py"
    path.write_text('"""Doc."""\ndef train(job): ...\n')
    with pytest.raises(ToolError, match="found 0 PEP 723 headers"):
        tool.read(path, ROOT)
    path.write_text('# /// script\n# dependencies = [\n# ///\n"""Doc."""\ndef train(job): ...\n')
    with pytest.raises(ToolError, match="header: "):
        tool.read(path, ROOT)


def test_the_contract_stands_on_a_bare_python() -> None:
    code = "import benchmarks.contract, benchmarks.worker, sys; assert 'numpy' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )

    assert done.returncode == 0, done.stderr
