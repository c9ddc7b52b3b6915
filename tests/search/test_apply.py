"""The winner is written into params.yaml, and nothing else in that file changes."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.search.stored import head_of, store
from wsolbench.errors import SettingsError
from wsolbench.search.apply import apply_search, winner, with_block
from wsolbench.search.record import Search, read_search

PARAMS = """\
# top
methods:
  plain: {}  # one line
  argued: {args: {a: 1}}
  block:
    args: {a: 1}  # why
    tracks:
      # above
      one:
        # of the reason

        recipe: common  # old reason
        # of the arguments
        args: {a: 2, kept: [1, 2]}  # source
        train: {lr: 0.5}
      # of two
      two: {args: {b: 3}}  # of a line
      bare:
        # ours
        args: {c: 1}  # theirs
      other: {train: {lr: 1.0e-4}}
  flow:
    tracks: {one: {args: {a: 1}}}

  # about the last
  last:
    args: {z: 1}
    # behind z

# run
run:
  methods:
  - plain
  - block  # last
  nothing:  # at all
"""
BLOCK = {"recipe": "searched", "args": {"a": 0.25}, "train": {"lr": 1e-05}}
SAFE = YAML(typ="safe", pure=True)


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    diff = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[:2] in {"- ", "+ "}]
    return [line[2:] for line in diff if line[0] == "-"], [line[2:] for line in diff if line[0] == "+"]


def comments_in(lines: list[str]) -> set[str]:
    return {line.partition("#")[2].strip() for line in lines if "#" in line}


@pytest.mark.parametrize("track", ["one", "two", "bare", "other", "new"])
@pytest.mark.parametrize("method", ["plain", "argued", "block", "flow", "last"])
def test_only_the_block_changes_in_any_layout(method: str, track: str) -> None:
    after = with_block(PARAMS, method, track, BLOCK, "won")
    found, expected = SAFE.load(after), SAFE.load(PARAMS)
    expected["methods"][method].setdefault("tracks", {})[track] = BLOCK
    assert found == expected
    gone, came = changed_lines(PARAMS, after)
    assert comments_in(gone) - comments_in(came) <= {"old reason"}
    assert "won" in comments_in(came)
    assert len(gone) <= 3


def test_comments_stay_where_they_were() -> None:
    after = with_block(PARAMS, "block", "one", {**BLOCK, "args": {"a": 9, "kept": [1, 2]}}, "won")
    assert changed_lines(PARAMS, after) == (
        [
            "        recipe: common  # old reason",
            "        args: {a: 2, kept: [1, 2]}  # source",
            "        train: {lr: 0.5}",
        ],
        [
            "        recipe: searched  # won",
            "        args: {a: 9, kept: [1, 2]}  # source",
            "        train: {lr: 1.0e-05}",
        ],
    )


def test_arguments_with_a_line_and_a_comment_each_keep_them() -> None:
    lines = [
        "methods:",
        "  plain:",
        "    tracks:",
        "      one:",
        "        args:",
        "          a: 2  # of a",
        "          kept: 1.0e-3  # of another",
        "        train: {lr: 0.5}",
        "other: 1",
    ]
    block = {**BLOCK, "args": {"a": 0.25, "kept": 0.001, "new": [1, 2]}}
    after = with_block("\n".join(lines), "plain", "one", block, "won").replace(" # of a\n", "  # of a\n").splitlines()
    changed = ["        recipe: searched  # won", "        args:", "          a: 0.25  # of a", *lines[6:7]]
    assert after == [*lines[:4], *changed, "          new: [1, 2]", "        train: {lr: 1.0e-05}", "other: 1"]


def test_what_others_are_aliases_of_is_left_alone_and_the_block_is_told() -> None:
    text = PARAMS.replace("other: {train", "three: &three {train").replace(
        "flow:\n", "flow:\n    tracks: {four: *three}\n", 1
    )
    text = text.replace("    tracks: {one: {args: {a: 1}}}\n", "")
    for method, track in (("block", "three"), ("flow", "four")):
        with pytest.raises(SettingsError, match=rf"methods\.{method}\.tracks\.{track}") as caught:
            with_block(text, method, track, BLOCK, "won")
        assert SAFE.load(str(caught.value).splitlines()[-1]) == {track: BLOCK}
    assert SAFE.load(with_block(text, "block", "one", BLOCK, "won"))["methods"]["flow"]["tracks"]["four"]


def test_a_method_that_stands_there_without_a_value_gets_one() -> None:
    after = SAFE.load(with_block("methods:\n  plain:\n", "plain", "one", BLOCK, "won"))
    assert after == {"methods": {"plain": {"tracks": {"one": BLOCK}}}}


def test_a_method_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match="'nobody'"):
        with_block(PARAMS, "nobody", "one", BLOCK, "won")


def test_a_file_may_end_without_a_newline() -> None:
    text = "methods:\n  plain:\n    tracks:\n      one: {args: {a: 1}}"
    assert SAFE.load(with_block(text, "plain", "one", BLOCK, "won"))["methods"]["plain"]["tracks"]["one"] == BLOCK


@pytest.mark.parametrize("value", [1e-05, 2.5e-07, 1e22, 0.1, 3.0, 7, True, None, "a b", [1, [2, 3]], {"x": [1.5]}])
def test_values_read_back_as_they_were(value: Any) -> None:
    block = {"recipe": "searched", "args": {"a": value}}
    after = with_block(PARAMS, "plain", "one", block, "won")
    assert SAFE.load(after)["methods"]["plain"]["tracks"]["one"] == block
    old = YAML(typ="safe", pure=True)
    old.version = (1, 1)
    assert old.load(after.partition("\n")[2])["methods"]["plain"]["tracks"]["one"] == block


@pytest.mark.slow
@pytest.mark.parametrize("name", YAML(typ="safe", pure=True).load(Path("params.yaml").read_text())["methods"])
def test_every_method_of_our_own_file_can_be_changed(name: str) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    after = with_block(text, name, "shapes-convnet", BLOCK, "won")
    gone, came = changed_lines(text, after)
    assert len(gone) <= 3
    assert len(came) <= 6
    assert SAFE.load(after)["methods"][name]["tracks"]["shapes-convnet"] == BLOCK


def search_of(root: Path, values: tuple[float | None, ...] = (40.0, None, 100 / 3), **changes: Any) -> Search:
    head = head_of(**changes)
    store(root, values, head)
    search = read_search(root, head.track, head.method)
    assert search is not None
    return search


def test_the_winner_keeps_what_was_not_searched(tmp_path: Path) -> None:
    present = {"recipe": "common", "args": {"sizes": [4], "other": 1}, "train": {"lr": 9.0, "batch": 2}}
    assert winner(search_of(tmp_path), present) == {
        "recipe": "searched",
        "args": {"sizes": None, "other": 1},
        "train": {"lr": 0.1, "batch": 2},
    }


def test_a_search_whose_every_trial_failed_has_no_winner(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'alpha' on 'toy'"):
        winner(search_of(tmp_path, (None, None, None)), {})


def test_applying_writes_the_file_whole_and_twice_the_same(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(Path("params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    name = next(iter(SAFE.load(params.read_text())["methods"]))
    search = search_of(tmp_path, track="shapes-convnet", method=name)
    block = apply_search(search, tmp_path)
    once = params.read_text(encoding="utf-8")
    assert SAFE.load(once)["methods"][name]["tracks"]["shapes-convnet"] == block
    assert "# wsolbench search: MaxBoxAccV2 (choe2020) 40.0 on val, the best of 3 trials" in once
    apply_search(search, tmp_path)
    assert params.read_text(encoding="utf-8") == once
    assert {path.name for path in tmp_path.iterdir()} == {"params.yaml", "results"}


def test_settings_that_would_not_hold_are_not_written(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    before = Path("params.yaml").read_text(encoding="utf-8")
    params.write_text(before, encoding="utf-8")
    with pytest.raises(SettingsError, match="toy"):
        apply_search(search_of(tmp_path, method=next(iter(SAFE.load(before)["methods"]))), tmp_path)
    assert params.read_text(encoding="utf-8") == before


def test_no_line_is_broken_that_was_none() -> None:
    line = f"  only: [{', '.join(f'method_{k}' for k in range(30))}]\n"
    after = with_block(f"methods:\n  cam: {{}}\nrun:\n{line}", "cam", "toy", BLOCK, "won")
    assert after.endswith(f"run:\n{line}")
