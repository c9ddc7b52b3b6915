"""What the documentation shows works: Python runs, commands are understood, what needs nothing of the reader runs."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import typer

from wsolbench.cli import app
from wsolbench.results.metrics import METRICS

PAGES = [Path("README.md"), Path("CONTRIBUTING.md"), *sorted(Path("docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>.+?) -->\n)?^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)


def blocks(language, *, marked=None):
    """Return (page, text) of the blocks in a language: all, those marked as not run, or the others."""
    return [
        pytest.param(found["text"], id=f"{page.stem}-{number}")
        for page in PAGES
        for number, found in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")))
        if found["language"] == language and (marked is None or marked == bool(found["reason"]))
    ]


def commands(text):
    """Return the command lines of a block, without comments, whose program is ours."""
    lines = (shlex.split(line, comments=True) for line in re.split(r"\n|&&", text))
    return [line[1:] for line in lines if line[:1] == ["wsolbench"]]


SHOWN = {
    tuple(line): page.name
    for page in PAGES
    for found in BLOCK.finditer(page.read_text(encoding="utf-8"))
    if found["language"] in {"bash", ""}
    for line in commands(found["text"])
}


@pytest.mark.parametrize("arguments", SHOWN, ids=" ".join)
def test_a_command_that_is_shown_is_understood(arguments):
    command, context, rest = typer.main.get_command(app), None, [*arguments]
    while hasattr(command, "commands"):
        assert rest[0] in command.commands, f"{SHOWN[arguments]} shows `wsolbench {' '.join(arguments)}`"
        command, rest = command.commands[rest[0]], rest[1:]
    context = command.make_context(
        "wsolbench", rest
    )  # raises where an option or argument is unknown, missing or mistyped
    assert not context.args


@pytest.mark.parametrize("text", [each for each in blocks("python") if "--8<--" not in each.values[0]])
def test_python_runs(text):
    exec(compile(text, "documentation", "exec"), {})


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


@pytest.mark.slow
@pytest.mark.parametrize("text", blocks("bash", marked=False))
def test_what_needs_nothing_of_the_reader_runs(text, tmp_path):
    subprocess.run(["git", "clone", "--quiet", str(Path.cwd()), str(tmp_path / "clone")], check=True)
    (tmp_path / "clone" / ".venv").symlink_to(Path(sys.prefix))
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    script = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(script, cwd=tmp_path / "clone", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
