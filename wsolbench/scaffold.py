"""``wsolbench new``: write the file of a new method and its line in ``params.yaml``."""

from __future__ import annotations

import datetime as dt
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode

from wsolbench import registry
from wsolbench.errors import SettingsError
from wsolbench.schema import PARAMS_FILE
from wsolbench.settings import Settings

__all__ = ["NewMethod", "new_method"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TEMPLATE = "templates/method.py.template"


@dataclass(frozen=True)
class NewMethod:
    """What was written.

    Attributes:
        path: file of the method.
        runs: whether ``run.methods`` holds it, as it does where it is an alias of ``methods``.
    """

    path: Path
    runs: bool


def new_method(name: str, settings: Settings, root: Path) -> NewMethod:
    """Write ``methods/<name>.py``, a commented method that works, and ``<name>: {}`` under ``methods`` in params.yaml.

    Comments and layout of ``params.yaml`` stay as they are. Nothing is written unless both files can be.

    Args:
        name: of the method; its key, and the stem of its file.
        settings: of the repository.
        root: the repository.

    Raises:
        SettingsError: the name is not that of a Python module in snake_case or is taken, or ``params.yaml`` is not
            written as a block, so that a line cannot be added.
    """
    path = root / "methods" / f"{name}.py"
    _check_name(name, settings, path)
    class_name = "".join(part.capitalize() for part in name.split("_"))
    template = Template(files("wsolbench").joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    year = dt.datetime.now(tz=dt.UTC).year
    source = template.substitute(name=name, class_name=class_name, title=class_name, year=year)
    params = root / PARAMS_FILE
    changed = _with_method(params.read_text(encoding="utf-8"), name)
    _write(path, source)
    _write(params, changed)
    return NewMethod(path, name in YAML(typ="safe", pure=True).load(changed).get("run", {}).get("methods", ()))


def _check_name(name: str, settings: Settings, path: Path) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name.endswith("_"):
        raise SettingsError(
            f"'{name}' cannot name a method; use small letters, digits and underscores, as in my_method"
        )
    taken = {
        "a method": {*registry.names("method"), *settings.methods},
        "a baseline": registry.names("baseline"),
        "a cell": {cell.rpartition("-")[0] for cell in settings.cells},
        "a part of the harness": registry.RESERVED,
    }
    for what, names in taken.items():
        if name in names:
            raise SettingsError(f"'{name}' is already the name of {what}; choose another")
    if path.exists():
        raise SettingsError(f"{path} exists already; choose another name, or delete it")
    if not path.parent.is_dir():
        raise SettingsError(f"{path.parent} is no directory; run wsolbench from the repository's root")


def _with_method(text: str, name: str) -> str:
    """Return the YAML text with an empty block for a method behind the last one."""
    yaml = YAML(typ="safe", pure=True)
    top = yaml.compose(text)
    methods = next((value for key, value in top.value if key.value == "methods"), None)
    if not isinstance(methods, MappingNode) or methods.flow_style or not methods.value:
        raise SettingsError(f"{PARAMS_FILE}: methods is not a block of one line or more per method; add '{name}: {{}}'")
    lines = text.splitlines(keepends=True)
    last = methods.value[-1][1].end_mark
    # A block ends where the next token starts, behind blank lines and comments that belong to what follows.
    end = last.line + (last.column > 0)
    while not lines[end - 1].strip() or lines[end - 1].startswith("#"):
        end -= 1
    while end < len(lines) and re.match(r"[ \t]+#", lines[end]):  # comments on the last method
        end += 1
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += "\n"
    indent = methods.value[0][0].start_mark.column
    changed = "".join([*lines[:end], f"{' ' * indent}{name}: {{}}\n", *lines[end:]])
    _check_only_added(yaml.load(text), yaml.load(changed), name)
    return changed


def _check_only_added(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> None:
    if after["methods"] != {**before["methods"], name: {}}:
        raise SettingsError(f"{PARAMS_FILE}: no place was found for the new method; add '{name}: {{}}' under methods")


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
