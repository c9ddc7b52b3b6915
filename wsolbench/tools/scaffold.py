"""``wsolbench new``: write the file of a new method and its lines in ``params.yaml``."""

from __future__ import annotations

import datetime as dt
import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from wsolbench.config import registry
from wsolbench.config.schema import PARAMS_FILE
from wsolbench.config.settings import Settings
from wsolbench.errors import SettingsError
from wsolbench.files import write_text

__all__ = ["new_method"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TEMPLATE = "templates/method.py.template"


def new_method(name: str, settings: Settings, root: Path) -> Path:
    """Write ``methods/<name>.py``, a commented method that works, and its two lines in ``params.yaml``.

    These are ``<name>: {}`` under ``methods``, and its name in ``run.methods``.
    Comments and layout of ``params.yaml`` stay as they are. Nothing is written unless both files can be.

    Args:
        name: of the method; its key, and the stem of its file.
        settings: of the repository.
        root: the repository.

    Returns:
        The file of the method.

    Raises:
        SettingsError: the name is not that of a Python module in snake_case or is taken, or ``params.yaml`` is written
            in a way that leaves no place for it.
    """
    path = root / "methods" / f"{name}.py"
    _check_name(name, settings, path)
    class_name = "".join(part.capitalize() for part in name.split("_"))
    template = Template(files("wsolbench.tools").joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    year = dt.datetime.now(tz=dt.UTC).year
    source = template.substitute(name=name, class_name=class_name, title=class_name, year=year)
    params = root / PARAMS_FILE
    changed = _with_method(params.read_text(encoding="utf-8"), name)
    write_text(path, source)
    write_text(params, changed)
    return path


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
    """Return the YAML text with an empty block for a method behind the last one, and its name in ``run.methods``."""
    yaml = YAML(typ="safe", pure=True)
    by_hand = (
        f"{PARAMS_FILE}: no place was found for the new method; add '{name}: {{}}' under methods, and '{name}' to "
        "run.methods"
    )
    chosen = _value(_value(yaml.compose(text), "run"), "methods")
    if not isinstance(chosen, SequenceNode) or not chosen.value:
        raise SettingsError(by_hand)
    if chosen.flow_style:
        end = chosen.value[-1].end_mark.index
        changed = f"{text[:end]}, {name}{text[end:]}"
    else:
        changed = _with_line(text, chosen.value[-1], f"{' ' * chosen.start_mark.column}- {name}\n")
    methods = _value(yaml.compose(changed), "methods")
    if not isinstance(methods, MappingNode) or methods.flow_style or not methods.value:
        raise SettingsError(by_hand)
    changed = _with_line(changed, methods.value[-1][1], f"{' ' * methods.value[0][0].start_mark.column}{name}: {{}}\n")
    before, after = yaml.load(text), yaml.load(changed)
    before["methods"][name], before["run"]["methods"] = {}, [*before["run"]["methods"], name]
    if after != before:
        raise SettingsError(by_hand)
    return changed


def _value(node: Node | None, key: str) -> Node | None:
    pairs = node.value if isinstance(node, MappingNode) else ()
    return next((value for name, value in pairs if name.value == key), None)


def _with_line(text: str, last: Node, line: str) -> str:
    """Return the text with a line behind the last entry of a block, and behind the comments on that."""
    lines = text.splitlines(keepends=True)
    # A block ends where the next token starts, behind blank lines and comments that belong to what follows.
    end = last.end_mark.line + (last.end_mark.column > 0)
    while not lines[end - 1].strip() or lines[end - 1].startswith("#"):
        end -= 1
    while end < len(lines) and re.match(r"[ \t]+#", lines[end]):  # comments on the last entry
        end += 1
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += "\n"
    return "".join([*lines[:end], line, *lines[end:]])
