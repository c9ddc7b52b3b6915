"""The harness names no component: methods, data sets and backbones are known to their own files and to params.yaml."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsolbench.config import registry

OWN_FOLDERS = {"method": "methods", "dataset": "datasets", "backbone": "wsolbench/models/backbones"}
SUITE = {"promises.py", "promises_of_readouts.py", "small_networks.py"}  # it tries components on a small network
KINDS = {"new.py": {"cam"}, "scaffold.py": {"cam"}}  # of templates, by which `wsolbench new method` begins
LOOKED_AT = ("wsolbench", "methods", "datasets", "perf", ".ci")


def names_of(kind: str) -> set[str]:
    """File stems, class names and titles."""
    names = registry.names(kind)
    components = [registry.load(registry.kind_of(name) if kind == "method" else kind, name) for name in names]
    titles = {str(getattr(component, "title", component.__name__)) for component in components}
    return {*registry.names(kind), *(component.__name__ for component in components), *titles}


def words_of(source: str) -> Iterator[str]:
    """Everything in a Python file that does something: identifiers, imported modules and strings but for docstrings."""
    tree = ast.parse(source)
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg | ast.keyword):
            yield node.arg or ""
        elif isinstance(node, ast.alias):
            yield from node.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("kind", OWN_FOLDERS)
def test_no_code_outside_its_folder_names_a_component(kind: str) -> None:
    names, own = names_of(kind), Path(OWN_FOLDERS[kind])
    looked_at = 0
    for path in (path for folder in LOOKED_AT for path in Path(folder).rglob("*.py")):
        if own in path.parents or path.name in SUITE:
            continue
        looked_at += 1
        found = names & set(words_of(path.read_text(encoding="utf-8"))) - KINDS.get(path.name, set())
        assert not found, f"{path} names {found}"
    assert looked_at > 50


@pytest.mark.parametrize("kind", OWN_FOLDERS)
@pytest.mark.parametrize("file", ["dvc.yaml", "Makefile"])
def test_no_stage_and_no_target_names_a_component(kind: str, file: str) -> None:
    text = "\n".join(line.partition("#")[0] for line in Path(file).read_text(encoding="utf-8").splitlines())
    text = re.sub(r"--track \S+", "", text)  # a key of params.yaml
    assert not names_of(kind) & set(re.findall(r"\w+", text))


def test_a_name_in_code_is_found_and_one_in_a_docstring_is_not() -> None:
    source = '"""cam, acol."""\nimport wsolbench.methods.adl\nx = registry.load("spg")\ndgdm.f(has=1)\n'
    assert {"adl", "spg", "dgdm", "has"} <= set(words_of(source))
    assert not {"cam", "acol", "cam, acol."} & set(words_of(source))
