"""``dvc exp run -S`` changes what it names, by DVC's own code, and the runs see it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from wsolbench.config.paths import Layout
from wsolbench.config.settings import read_settings
from wsolbench.launch.resolve import resolve

PAGE = Path("docs/how-to/experiments.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^dvc exp run .*$", PAGE, flags=re.MULTILINE)


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return Path(shutil.copy("params.yaml", tmp_path))


def override(params: Path, overrides: list[str]) -> None:
    from dvc.utils.hydra import apply_overrides

    apply_overrides(params, overrides)


def leaves(block: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(block, dict) and block:
        for name, inner in block.items():
            yield from leaves(inner, *names, name)
    else:
        yield names, block


def another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return {str: "other", list: [7, 8], type(None): 5}[type(value)]


def loaded(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def changed(data: Any, names: tuple[str, ...], value: Any) -> str:
    """Put another value in place of a leaf's, and return the override that says so."""
    for name in names[:-1]:
        data = data[name]
    if value == {}:  # what is added to an empty mapping
        data[names[-1]] = {"key": 1}
        return f"+{'.'.join(names)}.key=1"
    data[names[-1]] = another(value)
    return f"{'.'.join(names)}={json.dumps(another(value))}"


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line]


def place_of(top: Any, text: list[str], names: tuple[str, ...]) -> slice:
    """Return the lines on which a leaf's key and value stand."""
    node = top
    for name in names:
        key, node = next(pair for pair in node.value if pair[0].value == name)
    end = max(node.end_mark.line + (node.end_mark.column > 0), key.end_mark.line + 1)
    while text[end - 1].lstrip().startswith("#"):
        end -= 1
    return slice(key.start_mark.line, end)


def assert_change_alone(params: Path, chosen: list[tuple[tuple[str, ...], Any]]) -> None:
    """Override some leaves, which follow one another in the file, and compare all data, and all lines between them."""
    before, expected = lines(params), loaded(params)
    top = YAML(typ="safe", pure=True).compose("\n".join(before))
    places = [place_of(top, before, names) for names, _ in chosen]
    override(params, [changed(expected, names, value) for names, value in chosen])
    assert loaded(params) == expected
    after, start = lines(params), 0
    for kept in (slice(0, places[0].start), *(slice(a.stop, b.start) for a, b in pairwise(places))):
        length = kept.stop - kept.start
        start = next((at for at in range(start, start + 9) if after[at : at + length] == before[kept]), len(after))
        assert start < len(after), before[kept]
        start += length
    behind = before[places[-1].stop :]
    assert after[len(after) - len(behind) :] == behind


@pytest.mark.slow
def test_every_leaf_of_the_shipped_file_changes_alone_and_leaves_all_other_lines_as_they_are(params: Path) -> None:
    found, step = list(leaves(loaded(params))), 4
    assert len(found) > 200
    for first in range(step):
        shutil.copy("params.yaml", params)
        assert_change_alone(params, found[first::step])


def test_one_override_changes_one_line(params: Path) -> None:
    before = lines(params)
    override(params, ["tracks.cub-vgg16.lr=0.5"])
    pairs = [pair for pair in zip(before, lines(params), strict=True) if pair[0] != pair[1]]
    assert [new.split("#")[0].strip() for _, new in pairs] == ["lr: 0.5"]


def test_an_override_of_a_track_leaves_those_that_extend_it_extending(params: Path) -> None:
    override(params, ["tracks.cub-vgg16.weight_decay=0.5"])
    assert loaded(params)["tracks"]["cub-resnet50"]["extends"] == "cub-vgg16"
    settings = read_settings(params)
    assert settings.tracks["ilsvrc-vgg16"].weight_decay == 0.5
    assert settings.tracks["cub-resnet50"].weight_decay == 1.0e-4  # its own


def test_readme_shows_experiments() -> None:
    assert SHOWN


@pytest.mark.slow
@pytest.mark.parametrize("command", SHOWN)
def test_each_experiment_of_readme_is_what_its_runs_do(params: Path, command: str) -> None:
    words = shlex.split(command, comments=True)
    overrides = [word for before, word in pairwise(words) if before in {"-S", "--set-param"}]
    assert overrides
    layout = Layout(params.parent)
    resolve(read_settings(params), layout)
    before = {path: path.read_text() for path in layout.recipes.rglob("*.json")}
    for each in overrides:
        shutil.copy("params.yaml", params)
        override(params, [each])
        resolve(read_settings(params), layout)
        changed = {path for path, text in before.items() if path.read_text() != text}
        group, name, *_, field = each.lstrip("+").partition("=")[0].split(".")
        value = YAML(typ="safe").load(each.partition("=")[2])
        runs = {path for path in changed if path.parent.name == "train"}
        assert runs
        blocks = loaded(params)[group]
        for path in runs:
            recipe = json.loads(path.read_text())
            run = recipe["run"]
            found = (run["track"] if group == "tracks" else run["method"])["name"]
            assert name in (found, blocks[found].get("extends"))  # an embedded track follows another
            assert (run["track"] if group == "tracks" else recipe["arguments"])[field] == value
