"""Each run depends on what it reads of the settings, and on the code that it really runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.conftest import Pipeline
from wsolbench.launch.code import ELSEWHERE, code_digest, code_of

TRACK = "shapes-convnet"
# What reads the command's arguments and params.yaml, and hands both over; what it makes of them stands in the recipe.
COMMAND_LINE = {
    *(f"wsolbench.{name}" for name in ("cli", "runs.startup")),
    *(f"wsolbench.config.{name}" for name in ("distributions", "keys", "outside")),
    *(
        "wsolbench.tools",
        *(f"wsolbench.tools.{name}" for name in ("arguments", "commands", "launching", "new", "searching", "stages")),
    ),
}
RUNS = [f"{stage} {TRACK}" for stage in ("prepare", "weights")]
RUNS += [f"{stage} {TRACK}-{name}-0" for stage in ("train", "evaluate") for name in ("adl", "cam")]
RUNS += [f"baseline {TRACK}-{name}-0" for name in ("centre_gaussian", "mask_supervised")]
RUNS += [f"{stage} {TRACK}" for stage in ("costs", "photographs", "report")]  # each after what it needs
STAGES = {run: run.replace(" ", "/") for run in RUNS} | {name: f"{name}/all" for name in ("summary", "page")}
EMPTY = {
    ".".join(path.parent.parts)
    for path in Path("wsolbench").rglob("__init__.py")
    if code_digest(path.read_text(encoding="utf-8")) == code_digest("")
} | {"wsolbench.datasets", "wsolbench.methods"}
# Every process, those that a stage starts included, appends the modules that it has loaded when it ends.
RECORDER = """
import atexit, os, sys
def record():
    names = [name for name in sys.modules if name.partition(".")[0] == "wsolbench"]
    with open(os.environ["LOADED"], "a") as stream:
        stream.write("".join(f"{name}\\n" for name in names))
atexit.register(record)
"""


def recipe(root: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "data" / "recipes" / f"{name}.json").read_text())
    return found


@pytest.mark.slow
def test_a_recipe_names_all_code_that_its_stage_loads(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.edit_params(run__baselines=["centre_gaussian"], run__seeded_baselines=["mask_supervised"])
    (tmp_path / "sitecustomize.py").write_text(RECORDER)
    # The data set's class is asked where the images are, whose digests the index holds.
    only_asked = {*code_of(["wsolbench.acquire.building", "wsolbench.acquire.policy", "wsolbench.datasets.shapes"])}
    pipeline.run("wsolbench", "resolve")
    unnamed = {}
    for command, name in STAGES.items():
        loaded = tmp_path / name.replace("/", "-")
        path = f"{pipeline.root}{os.pathsep}{tmp_path}"
        pipeline.run("env", f"PYTHONPATH={path}", f"LOADED={loaded}", "wsolbench", *command.split())
        named = {*recipe(pipeline.root, name)["code"], *ELSEWHERE, *COMMAND_LINE, *EMPTY}
        found = {*loaded.read_text().splitlines()} - named - (set() if command.startswith("prepare") else only_asked)
        assert "wsolbench.cli" in loaded.read_text()
        unnamed[command] = found
    assert {command: found for command, found in unnamed.items() if found} == {}


def test_what_is_left_out_of_the_digests_is_no_more_than_this() -> None:
    assert {*ELSEWHERE} == {
        *("wsolbench.errors", "wsolbench.runs.progress"),  # printing
        *(
            "wsolbench.config.settings",
            "wsolbench.config.schema",
            "wsolbench.config.ranges",
            "wsolbench.config.recipe",
            "wsolbench.config.registry",
            "wsolbench.config.run",
        ),  # through the recipe
        "wsolbench.config.paths",  # through dependencies and outputs
        "wsolbench.acquire.building",  # through the index
        *("wsolbench.results.metrics", "wsolbench.results.schema"),  # names and checks of numbers
    }


@pytest.mark.parametrize("stage", ["train", "evaluate", "costs", "photographs"])
def test_a_download_helper_and_the_data_sets_file_are_no_code_of_later_stages(stage: str) -> None:
    from wsolbench.launch.code import ENTRIES

    code = code_of([*ENTRIES[stage], "wsolbench.methods.cam", "wsolbench.models.backbones.convnet"])
    assert not {"wsolbench.acquire.download", "wsolbench.acquire.unpack", "wsolbench.acquire.prepare"} & {*code}
    assert not [name for name in code if name.startswith("wsolbench.datasets")]
    assert [name for name in code if name.startswith("wsolbench.models.backbones.") and "._" not in name] == [
        "wsolbench.models.backbones.base",
        "wsolbench.models.backbones.convnet",
        *(["wsolbench.models.backbones.weights"] if stage in {"train", "costs"} else []),
    ]


SOURCE = '''"""About the module."""

import os  # to ask

NAME = "a # b"


def ask(name: str = NAME) -> str:
    """Ask.

    More.
    """
    "no effect"
    return os.environ[name]  # or raise
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("About the module", "All about the module"),
        ("  # to ask", ""),
        ("    More.\n", "    Less.\n\n    And more.\n"),
        ('    "no effect"\n', ""),
        ("  # or raise", "  # or not"),
    ],
)
def test_comments_and_docstrings_change_no_digest(old: str, new: str) -> None:
    assert old in SOURCE
    assert code_digest(SOURCE.replace(old, new)) == code_digest(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [("a # b", "a # c"), ("[name]", '["name"]'), ("import os", "import sys as os"), ("-> str", "-> object")],
)
def test_code_does(old: str, new: str) -> None:
    assert old in SOURCE
    assert code_digest(SOURCE.replace(old, new)) != code_digest(SOURCE)
