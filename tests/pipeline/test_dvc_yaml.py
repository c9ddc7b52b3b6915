"""``dvc.yaml`` keeps the promises that CONTRIBUTING makes about what depends on what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

STAGES: dict[str, Any] = {
    name: block.get("do", block)
    for name, block in YAML(typ="safe").load(Path("dvc.yaml").read_text())["stages"].items()
}
RECIPES = "data/recipes/"


@pytest.mark.parametrize("stage", sorted({*STAGES} - {"resolve", "look"}))
def test_a_stage_depends_on_its_recipe_and_on_no_parameter(stage: str) -> None:
    recipe, *others = STAGES[stage]["deps"]
    run = STAGES[stage]["cmd"].split()[2:]
    assert recipe == f"{RECIPES}{stage.partition('_')[0]}/{run[0] if run else 'all'}.json"
    assert not any(dep.startswith(RECIPES) for dep in others)
    assert "params" not in STAGES[stage]


@pytest.mark.parametrize("stage", ["resolve", "look"])
def test_what_may_change_unnoticed_is_asked_for_each_time(stage: str) -> None:
    assert STAGES[stage]["always_changed"] is True
    assert "params" not in STAGES[stage]


def test_every_stage_waits_for_the_one_that_checks_all_keys() -> None:
    """DVC puts keys into command lines as they are; where `resolve` fails, it runs nothing that depends on it."""
    for name, stage in STAGES.items():
        assert (name == "resolve") != any(dep.startswith(RECIPES) for dep in stage.get("deps", ())), name
    assert "${" not in STAGES["resolve"]["cmd"]
    assert STAGES["resolve"]["outs"] == [{RECIPES.rstrip("/"): {"persist": True}}]


def test_training_depends_on_the_index_and_not_on_the_truth() -> None:
    data = [dep for dep in STAGES["train"]["deps"] if dep.startswith("data/${item.track}")]
    assert data == ["data/${item.track}/index.parquet"]
