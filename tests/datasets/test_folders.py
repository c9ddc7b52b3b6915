"""Walks through people's folders end, wherever links lead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wsolbench.data.folders import files_below, walk
from wsolbench.errors import DataError


def test_a_link_to_a_folder_above_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("1", "a/2", "a/b/3"):
        (tmp_path / name).touch()
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "b" / "itself").symlink_to("itself")
    assert walk(tmp_path / "a") == ["2", "b/3", "b/itself"]
    assert walk(tmp_path) == ["1", "a/2", "a/b/3", "a/b/itself"]


def test_a_folder_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    assert walk(tmp_path / "no" / "where") == []


def test_a_walk_returns_names_that_are_not_utf_8_and_files_below_refuses_them(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xe4")
    (tmp_path / name).touch()
    assert walk(tmp_path) == [name]
    with pytest.raises(DataError, match="1 file name is not UTF-8"):
        files_below(tmp_path)
