"""``dvc.yaml`` keeps the promises that CONTRIBUTING makes about what depends on what."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

STAGES = YAML(typ="safe").load(Path("dvc.yaml").read_text())["stages"]
# What builds a data set's class from the settings imports what prepares one; the others only ask it where images are,
# whose digests the index holds.
PREPARING = {
    f"wsolbench.data.{name}" for name in ("prepare", "truth_policy", "sources", "tables", "unpack", "download")
}
PREPARING |= {f"wsolbench.data.{name}" for name in ("choe_files", "folders", "inspection")}
# Imported by a stage without changing what it writes.
HARMLESS = {
    "prepare": {"wsolbench.data.download"},  # what it fetches is checked against what the data set's file says
    "train": {"wsolbench.scoremaps"},  # writes arrays as they are; normalisation belongs to evaluate
    "photographs": PREPARING | {"wsolbench.data.masks"},
    "evaluate": PREPARING,
}
# Where things are and how they get there, not what they are: in no stage.
NOWHERE = {
    "wsolbench.errors",
    "wsolbench.files",
    "wsolbench.keys",
    "wsolbench.layout",
    "wsolbench.progress",
    "wsolbench.registry",
}
NOWHERE |= {"wsolbench.run_folder", "wsolbench.recipe", "wsolbench.schema", "wsolbench.settings"}


def imported(module: str) -> set[str]:
    """All modules of the package that a module imports, directly or not."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = source_of(name)
        if name in found or path is None:
            continue
        found.add(name)
        for node in ast.walk(without_types(ast.parse(path.read_text()))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wsolbench"):
                waiting += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def without_types(tree: ast.Module) -> ast.Module:
    """Leave out what is imported for annotations only."""
    typing = [node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    tree.body = [node for node in tree.body if node not in typing]
    return tree


def source_of(module: str) -> Path | None:
    stem = Path(*module.split("."))
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


def covered(module: str, dependencies: list[str]) -> bool:
    path = source_of(module)
    return any(path == Path(dep) or Path(dep) in path.parents for dep in dependencies)


@pytest.mark.parametrize(
    ("stage", "entry"),
    [
        ("prepare", "wsolbench.data.prepare"),
        ("weights", "wsolbench.data.pretrained"),
        ("selection", "wsolbench.data.index"),
        ("train", "wsolbench.engine.trainer"),
        ("evaluate", "wsolbench.metrics.evaluate"),
        ("costs", "wsolbench.costs"),
        ("baseline", "wsolbench.baselines.stage"),
        ("photographs", "wsolbench.gallery.stage"),
        ("report", "wsolbench.report.build"),
        ("summary", "wsolbench.report.build"),
        ("page", "wsolbench.report.page"),
    ],
)
def test_a_stage_depends_on_all_code_that_it_runs(stage: str, entry: str) -> None:
    dependencies = [dep for dep in STAGES[stage]["deps"] if dep.startswith("wsolbench")]
    packages = {"wsolbench", "wsolbench.data", "wsolbench.backbones", "wsolbench.gallery"}  # docstrings only
    needed = imported(entry) - NOWHERE - HARMLESS.get(stage, set()) - packages
    assert {module for module in needed if not covered(module, dependencies)} == set()


@pytest.mark.parametrize("stage", ["train", "prepare", "weights", "selection"])
def test_editing_a_metric_or_the_report_retrains_nothing(stage: str) -> None:
    for dependency in STAGES[stage]["deps"]:
        assert not dependency.startswith(("wsolbench/metrics", "wsolbench/report", "results"))
        assert dependency != "wsolbench"


def test_training_depends_on_the_index_and_not_on_the_truth() -> None:
    data = [dep for dep in STAGES["train"]["deps"] if dep.startswith("data/${item.track}")]
    assert data == ["data/${item.track}/index.parquet"]


def test_a_run_depends_on_its_own_method_only() -> None:
    assert [dep for dep in STAGES["train"]["deps"] if dep.startswith("methods")] == ["methods/${item.method}.py"]
    assert "methods.${item.method}" in STAGES["train"]["params"]
