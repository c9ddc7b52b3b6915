"""No command that a page shows escapes: each is run, or named with its test or with what it needs, and understood."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from dvc.cli import parse_args

from tests.docs.blocks import PAGES, Block, blocks, inline_commands, languages
from wsolbench.cli import app

SHELL = blocks("bash")
HISTORY = Path("CHANGELOG.md")  # names what was, too
OTHERS = {".", "apt-get", "cat", "cd", "chown", "export", "git", "mkdir", "sinfo", "slurmctld", "slurmd", "su"}
"""Programs that are not ours to parse, and that pages show."""


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command of ours that some words name, and the words behind it."""
    command: Any = typer.main.get_command(app)
    rest = words
    while hasattr(command, "commands"):  # a group; whose class it is depends on typer's version
        assert rest, f"wsolbench {shlex.join(words)} names no command"
        assert rest[0] in command.commands, f"wsolbench has no {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def check_wsolbench(words: list[str]) -> None:
    command, rest = command_of(words)
    if rest != ["--help"]:
        context = command.make_context("wsolbench", rest)  # raises for what is unknown, missing or mistyped
        assert not context.args


def check_dvc(words: list[str]) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            parse_args([word for word in words if word != "..."])
        except Exception as error:
            raise AssertionError(f"dvc {shlex.join(words)}: {said.getvalue() or error}") from error


def check_make(words: list[str]) -> None:
    targets = re.findall(r"^([\w-]+):", Path("Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {*words} <= {*targets}


def check_python(words: list[str]) -> None:
    """The file or folder that is run exists, and knows the options."""
    named = next(word for word in words if "/" in word)
    assert Path(named).exists(), named
    if named.endswith(".py"):
        source = Path(named).read_text(encoding="utf-8")
        assert all(f'"{word}"' in source for word in words if word.startswith("--"))


def check_started_by_another(words: list[str]) -> None:
    """What a container or a launcher starts is the last ``wsolbench`` and what follows it."""
    if "wsolbench" in words and words[0] != "build":
        rest = words[len(words) - words[::-1].index("wsolbench") :]
        if rest:
            check_wsolbench(rest)


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "wsolbench": check_wsolbench,
    "dvc": check_dvc,
    "make": check_make,
    "python": check_python,
    "docker": check_started_by_another,
    "torchrun": check_started_by_another,
    ".ci/run": lambda _: None,
}


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_every_command_of_a_block_is_understood(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    assert block.commands
    for program, *words in block.commands:
        assert program in CHECKS.keys() | OTHERS, program
        if program in CHECKS:
            CHECKS[program](words)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("wsolbench trian x", "has no trian"),
        ("wsolbench train", "Missing"),
        ("wsolbench train x --devise cpu", "--devise"),
        ("dvc exp rum", "rum"),
        ("make bench", "bench"),
        ("python perf/x.py", "perf/x"),
    ],
)
def test_a_command_that_does_not_exist_is_found(wrong: str, said: str) -> None:
    program, *words = shlex.split(wrong)
    with pytest.raises(Exception, match=said):
        CHECKS[program](words)


@pytest.mark.parametrize("page", [page for page in PAGES if page != HISTORY], ids=str)
def test_commands_and_options_within_sentences_exist(page: Path) -> None:
    for program, *words in inline_commands(page):
        if program == "wsolbench":
            command, rest = command_of(words)
            known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            assert {word for word in rest if word.startswith("-")} <= known | {"--help"}, (page, rest)
        else:
            CHECKS[program](words)


def test_every_block_says_its_language() -> None:
    assert languages() <= {"bash", "python", "yaml", "toml", "text"}


@pytest.mark.parametrize("block", [block for block in SHELL if block.why], ids=str)
def test_what_is_not_run_names_its_test_or_what_it_needs(block: Block) -> None:
    named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", block.why or "")
    assert named or (block.why or "").startswith("needs "), block.why
    for path, name in named:
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{path}::{name}"
