"""What is shipped of the components' descriptions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wsolbench.tools import catalogue
from wsolbench.tools.shipped import catalogue_text

SHIPPED = Path("wsolbench/tools/catalogue.json")


def test_the_shipped_catalogue_is_that_of_the_present_code_and_params() -> None:
    assert SHIPPED.read_text(encoding="utf-8") == catalogue_text(), "run `make schema`"


def test_it_counts_for_its_own_code_and_arguments_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped, names = json.loads(catalogue._SHIPPED.read_text()), catalogue.own_facts("baseline")[0]
    assert catalogue.cached("baseline", names, lambda: "made") == shipped["baseline"]["found"]
    assert catalogue.cached("baseline", [*names, "another"], lambda: "made") == "made"
    monkeypatch.setattr(catalogue, "_code", lambda: "changed")
    assert catalogue.cached("baseline", names, lambda: "made") == "made"
    assert not list(tmp_path.iterdir())  # no repository, where anything could be kept
