"""Experiments of DVC's, which run in a copy of the checkout: what is queued is what is run and recorded."""

from __future__ import annotations

import json

import pytest

from tests.pipeline.conftest import Pipeline, git_repository
from tests.pipeline.test_pipeline import TRACK, wait_until

pytestmark = pytest.mark.slow

METRICS = f"results/metrics/{TRACK}/{TRACK}-cam-0.json"
RECIPE = f"data/recipes/train/{TRACK}-cam-0.json"


def test_a_queued_experiment_has_its_change_in_recipe_and_numbers_and_leaves_the_workspace_alone(
    pipeline: Pipeline,
) -> None:
    pipeline.edit_params(methods={"cam": {}}, run__methods=["cam"])
    git_repository(pipeline.root)
    pipeline.run("wsolbench", "launch")
    pipeline.run("git", "add", "--all")
    pipeline.run("git", "commit", "--quiet", "--message", "results")
    recipe, metrics = (pipeline.root / name for name in (RECIPE, METRICS))
    before, numbers = json.loads(recipe.read_text()), metrics.read_text()
    pipeline.run("dvc", "exp", "run", "--queue", "--name", "lower", "-S", f"tracks.{TRACK}.lr=0.001")
    pipeline.run("dvc", "queue", "start")  # comes back when the worker is done, which holds its standard streams
    wait_until(lambda: bool({"Success", "Failed"} & set(pipeline.run("dvc", "queue", "status").stdout.split())), 1800)
    pipeline.run("dvc", "queue", "stop")
    assert (json.loads(recipe.read_text()), metrics.read_text()) == (before, numbers)
    pipeline.run("dvc", "exp", "apply", "lower")
    before["run"]["track"]["lr"] = 0.001
    assert json.loads(recipe.read_text()) == before
    assert json.loads(metrics.read_text()) != json.loads(numbers)
    assert pipeline.repro() == []
