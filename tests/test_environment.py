"""pip's settings under uv's names, system needs, and failures as sentences."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from assay import environment, tool
from assay.errors import UsageError
from tests.conftest import ROOT, TOOLS


def test_pips_variables_become_uvs(tmp_path: Path) -> None:
    found = environment.uv_environment(
        {
            "HOME": str(tmp_path),
            "PIP_FIND_LINKS": "/wheels /more",
            "PIP_INDEX_URL": "https://a/simple",
            "PYTHONPATH": "x",
        }
    )

    assert found["UV_FIND_LINKS"] == "/wheels,/more"
    assert found["UV_DEFAULT_INDEX"] == "https://a/simple"
    assert "PYTHONPATH" not in found


def test_uvs_own_variables_go_first(tmp_path: Path) -> None:
    found = environment.uv_environment({"HOME": str(tmp_path), "PIP_FIND_LINKS": "/pips", "UV_FIND_LINKS": "/uvs"})

    assert found["UV_FIND_LINKS"] == "/uvs"


def test_pips_files_are_read_and_its_variables_go_before_them(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    index = "https://b/simple"
    config.write_text(f"[global]\nfind-links = /from-file\nextra-index-url = {index}\n")
    variables = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(config)}

    assert environment.uv_environment(variables)["UV_FIND_LINKS"] == "/from-file"
    assert environment.uv_environment(variables)["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert environment.uv_environment({**variables, "PIP_FIND_LINKS": "/var"})["UV_FIND_LINKS"] == "/var"


def test_a_missing_system_need_is_unsupported_with_its_remedy(tmp_path: Path) -> None:
    one = tool.read(TOOLS / "raises.py", ROOT)
    built = environment.build(dataclasses.replace(one, needs=("java>=99",)), tmp_path, set())

    assert (built.outcome, built.python) == ("unsupported", None)
    assert "java>=99" in built.error
    assert "JAVA_HOME" in built.remedy


def test_needs_are_met_by_name_and_version() -> None:
    assert environment.met("sh")
    assert not environment.met("no-such-program")
    assert not environment.met("g++>=99")


def test_packages_are_read_from_metadata(torch_python: Path) -> None:
    described = environment.describe("x", torch_python)
    found = {package.name: package for package in described.packages}

    assert found["torch"].version.startswith("2.13.0")
    assert found["numpy"].license
    assert len(described.digest) == 64


def test_an_interpreter_that_does_not_exist_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no such interpreter"):
        environment.provisioned([], Path("/no/such/python"))
