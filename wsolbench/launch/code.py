"""The code of a stage: every file of the package that it may run, by a digest that comments do not change."""

from __future__ import annotations

import ast
import inspect
import os
import sys
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module, metadata
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import wsolbench
from wsolbench.errors import SettingsError
from wsolbench.files import bytes_sha256

__all__ = ["ELSEWHERE", "ENTRIES", "code_digest", "code_of", "code_outside"]

ENTRIES = {
    "prepare": ["wsolbench.acquire.prepare"],
    "weights": ["wsolbench.models.placing"],
    "train": ["wsolbench.training.trainer"],
    "readout": ["wsolbench.training.readout"],
    "evaluate": ["wsolbench.evaluation.evaluate", "wsolbench.evaluation.history"],
    "costs": ["wsolbench.training.costs"],
    "baseline": ["wsolbench.baselines.stage"],
    "photographs": ["wsolbench.evaluation.gallery"],
    "report": ["wsolbench.report.build"],
    "summary": ["wsolbench.report.build"],
    "page": ["wsolbench.report.page"],
}
"""The modules that a stage begins with, beside the components that its run names."""

ELSEWHERE = {
    "wsolbench.acquire.building": "asked where the images are; the index has the digests of what is read there",
    "wsolbench.errors": "messages",
    "wsolbench.results.metrics": "names numbers; the version of the protocol rises with the code that makes them",
    "wsolbench.results.schema": "checks what is stored, and changes none of it",
    "wsolbench.runs.progress": "printing",
    "wsolbench.config.paths": "where files are: the dependencies and outputs of a stage",
    "wsolbench.config.registry": "which component it is: its file is among the digests",
    "wsolbench.config.ranges": "what values may be, and not what they are",
    "wsolbench.config.recipe": "its outcome stands in the recipe",
    "wsolbench.config.run": "its outcome stands in the recipe",
    "wsolbench.config.schema": "its outcome stands in the recipe",
    "wsolbench.config.settings": "its outcome stands in the recipe",
}
"""Modules that stages import and that are not among the digests, and why they can change no number unnoticed."""

_BESIDE = {"methods", "datasets"}  # packages whose folders lie beside the package's own in a checkout


def code_of(entries: Iterable[str]) -> dict[str, str]:
    """Return the digests, by module, of all files that some modules and what they import at any depth consist of.

    Imports that a function makes when it is called count, those for annotations only do not. Nothing is imported.

    Raises:
        SettingsError: a file is no Python.
    """
    return dict(_digests(frozenset(entries)))


@cache  # as the digests themselves: hundreds of runs begin with the same few modules
def _digests(entries: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    waiting, seen = [*entries], {*ELSEWHERE}
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = _source(name)
        if path is None:
            continue
        waiting += [name.rpartition(".")[0], *_imported(path)]
        found[name] = _digest(path)
    return dict(sorted(found.items()))


def code_outside(components: Iterable[type[Any]]) -> dict[str, str]:
    """Return the digests of components that lie outside of the repository, and of what they import from it.

    Of a package all Python files count, whatever of them a component imports, under its name and version; of a file by
    itself only that, under its path relative to the working directory.
    """
    found: dict[str, str] = {}
    for component in components:
        module = component.__module__
        top = sys.modules[module.partition(".")[0]]
        if top.__name__ == "wsolbench":
            continue
        folders = [Path(folder) for folder in getattr(top, "__path__", ())]
        files = [(str(file.relative_to(each)), file) for each in folders for file in sorted(each.rglob("*.py"))]
        files = files or [("", Path(inspect.getfile(component)))]
        name = _distribution(top.__name__) if folders or not module.startswith("wsolbench_outside") else ""
        name = name or os.path.relpath(files[0][1])
        found[name] = bytes_sha256("".join(f"{inside} {_any_digest(file)}\n" for inside, file in files).encode())
        found |= code_of(dict.fromkeys(each for _, file in files for each in _imported_if_python(file)))
    return found


def _distribution(package: str) -> str:
    """Return the name and version of what installed a package, or the package's own name."""
    installed = metadata.packages_distributions().get(package, [])
    return ", ".join(f"{name} {metadata.version(name)}" for name in sorted(set(installed))) or package


def _any_digest(path: Path) -> str:
    try:
        return code_digest(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, tokenize.TokenError):  # a package may ship files that are no Python of today
        return bytes_sha256(path.read_bytes())


def _imported_if_python(path: Path) -> list[str]:
    try:
        return _imported(path)
    except (SettingsError, ValueError):
        return []


def code_digest(source: str) -> str:
    """Return the hex sha256 of Python source without its comments, docstrings and other strings that stand alone."""
    lines = source.splitlines(keepends=True)
    for first, last in reversed(list(_without_effect(source))):
        (row, column), (end_row, end_column) = first, last
        rest = lines[row - 1][:column].rstrip(" \t"), lines[end_row - 1][end_column:]
        kept = "".join(rest)
        lines[row - 1 : end_row] = [kept] if kept.strip() else []
    return bytes_sha256("".join(lines).encode())


def _without_effect(source: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    before = tokenize.NEWLINE
    for token, following in pairwise(tokenize.generate_tokens(StringIO(source).readline)):
        plain = token.type == tokenize.STRING and "f" not in token.string.partition(token.string[-1])[0].lower()
        alone = before in _BEFORE_A_STATEMENT and following.type == tokenize.NEWLINE
        if token.type == tokenize.COMMENT or (plain and alone):
            yield token.start, token.end
        if token.type not in (tokenize.NL, tokenize.COMMENT):
            before = token.type


_BEFORE_A_STATEMENT = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


@cache
def _digest(path: Path) -> str:
    return code_digest(path.read_text(encoding="utf-8"))


def _source(module: str) -> Path | None:
    package, *parts = module.split(".")
    if package != "wsolbench":
        return None
    folders = [Path(wsolbench.__file__).parent]
    if parts and parts[0] in _BESIDE:  # a project's own methods lie in a second folder
        folders, parts = [Path(place) for place in import_module(f"wsolbench.{parts[0]}").__path__], parts[1:]
    stems = [folder.joinpath(*parts) for folder in folders]
    found = (path for stem in stems for path in (stem.with_suffix(".py"), stem / "__init__.py"))
    return next((path for path in found if path.is_file()), None)


@cache
def _imported(path: Path) -> list[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise SettingsError(f"{path}:{error.lineno}: {error.msg}") from None
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    ]
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names
