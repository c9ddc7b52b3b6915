"""A method is one file: short, and named nowhere else in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wsolbench.config import registry

NEW = ["grad_cam", "layer_cam", "score_cam", "bag_cams", "bas", "calm", "ts_cam", "trilite", "spa"]
PARTS = ["wsolbench", "datasets", "perf", "Makefile", "pyproject.toml", "mkdocs.yml"]
"""All but methods, what a user chooses and what stages are called, tests, documentation and results."""
GENERATED = "catalogue.json"
"""What the components say of themselves, written by ``make schema``."""

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def words() -> dict[str, Path]:
    """Each word of the code, comments and docstrings included, with a file that has it."""
    files = [each for part in PARTS for each in ((ROOT / part).rglob("*") if (ROOT / part).is_dir() else [ROOT / part])]
    texts = {
        file: file.read_text(encoding="utf-8", errors="ignore")
        for file in files
        if file.is_file()
        and not file.name.startswith(("params.yaml", GENERATED))
        and not {"methods", "__pycache__"} & {*file.relative_to(ROOT).parts}
    }
    return {word: file for file, text in texts.items() for word in re.findall(r"\w+", text)}


@pytest.mark.parametrize("name", NEW)
def test_a_method_of_today_is_one_short_file_and_nothing_else_names_it(name: str, words: dict[str, Path]) -> None:
    lines = (ROOT / "methods" / f"{name}.py").read_text(encoding="utf-8").splitlines()
    assert 30 <= len(lines) <= 170
    for word in (name, registry.load(registry.kind_of(name), name).__name__):
        assert word not in words, words[word]


def test_the_words_are_those_of_the_code(words: dict[str, Path]) -> None:
    assert {"ReadOut", "promises", "benchmark"} <= words.keys()
