"""Tests between methods in a track's page."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from tests.report.conftest import Repository
from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.report.paired import paired_section


def section(repository: Repository) -> str:
    return paired_section(repository.track(), repository.root)


def test_every_pair_is_tested_and_what_is_significant_is_bold(full: Repository) -> None:
    found = section(full)
    (line,) = [line for line in found.splitlines() if line.startswith("| Alpha - Beta")]
    assert "| **-7.5** |" in line  # (45 + 46 + 47) / 3 - (52.5 + 53.5 + 54.5) / 3
    assert line.count("< 0.001") >= 3
    assert "Ceiling" not in found  # a bound is no method
    assert found in full.page()


def test_equal_methods_are_not_bold(repository: Callable[..., Repository]) -> None:
    toy = repository(methods=["alpha", "beta"])
    for seed in toy.seeds:
        for method in toy.methods:
            toy.write(method, seed, 50.0 + seed)
    found = section(toy)
    assert "| +0.0 |" in found
    assert "**+0.0**" not in found


def test_methods_of_different_recipes_are_not_compared(repository: Callable[..., Repository]) -> None:
    toy = repository(methods=["alpha", "beta"])
    for seed in toy.seeds:
        toy.write("alpha", seed, 50.0)
        toy.write("beta", seed, 60.0, recipe="searched")
    assert section(toy) == ""


def test_one_seed_is_not_tested(repository: Callable[..., Repository]) -> None:
    toy = repository(methods=["alpha", "beta"], seeds=[0])
    for method in toy.methods:
        toy.write(method, 0, 50.0)
    assert "no test is made" in section(toy)


@pytest.mark.parametrize("content", [b"", b"PAR1"])
def test_a_damaged_file_is_named(full: Repository, content: bytes) -> None:
    path = Layout(full.root).per_image("toy", "toy-beta-1")
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"toy-beta-1\.parquet is damaged.*wsolbench evaluate toy-beta-1"):
        section(full)
    path.unlink()
    with pytest.raises(DataError, match=r"toy-beta-1\.parquet is missing"):
        section(full)


def test_other_images_are_named(full: Repository) -> None:
    path = Layout(full.root).per_image("toy", "toy-alpha-2")
    frame = pd.read_parquet(path)
    frame.iloc[::-1].to_parquet(path)
    with pytest.raises(DataError, match=r"toy-alpha-2\.parquet is of other images than toy-alpha-0"):
        section(full)


def test_only_what_is_significant_is_bold(repository: Callable[..., Repository]) -> None:
    toy = repository(methods=["alpha", "beta", "gamma"], baselines=["ceiling"])
    for seed in toy.seeds:
        for method, level in (("alpha", 45.0), ("beta", 60.0), ("gamma", 45.5), ("ceiling", 90.0)):
            toy.write(method, seed, level + seed)
    page = toy.page()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in page.splitlines() if line[:2] == "| "]
    bold = [row for row in rows if any(cell.startswith("**") for cell in row[1:])]
    assert [row[0] for row in bold] == ["Alpha - Beta", "Beta - Gamma"]
    for row in rows:
        if " - " in row[0]:
            corrected = float(row[4].removeprefix("< "))
            assert row[1].startswith("**") == (corrected < 0.05)
            assert "**" not in "".join([row[0], *row[2:]])
