"""What the documentation shows works: its Python runs, its reference is complete, and its drawings are described."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.docs.blocks import PAGES, blocks
from wsolbench.results.metrics import METRICS


@pytest.mark.parametrize("block", [each for each in blocks("python") if "--8<--" not in each.text], ids=str)
def test_python_runs(block):
    exec(compile(block.text, "documentation", "exec"), {})


@pytest.fixture
def hooks():
    spec = importlib.util.spec_from_file_location("hooks", "docs/hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_metric_once(hooks):
    rows = [line.split(" | ") for line in hooks.metrics().splitlines() if line.startswith("| `")]
    assert sorted(row[0] for row in rows) == sorted(f"| `{name}`" for name in METRICS)


def test_no_page_keeps_a_mark(hooks):
    for page in PAGES:
        assert "<!-- generated" not in hooks.on_page_markdown(page.read_text(encoding="utf-8")), page


@pytest.mark.parametrize("drawing", sorted(Path("docs").rglob("*.svg")), ids=lambda path: path.stem)
def test_a_drawing_is_described_on_both_grounds_and_used(drawing):
    text = drawing.read_text(encoding="utf-8")
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(text)}
    assert {"title", "desc"} <= tags
    assert "prefers-color-scheme: dark" in text
    assert any(f"/{drawing.name})" in page.read_text(encoding="utf-8") for page in PAGES)
