"""``wsolbench new``: write the file of a new method and its lines in ``params.yaml``."""

from __future__ import annotations

import datetime as dt
import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Literal

from wsolbench.config import registry
from wsolbench.config.schema import PARAMS_FILE
from wsolbench.config.settings import Settings
from wsolbench.errors import SettingsError
from wsolbench.files import write_text
from wsolbench.tools.params_text import with_additions

__all__ = ["MethodKind", "new_method"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
MethodKind = Literal["cam", "layer", "readout", "generator", "transformer"]
"""What a new method begins as: a class-map classifier, layers that act in training, maps out of trained networks, a
generator of masks, a head on a transformer's tokens."""


def new_method(name: str, settings: Settings, root: Path, kind: MethodKind = "cam") -> Path:
    """Write ``methods/<name>.py``, a commented method that works, and its two lines in ``params.yaml``.

    These are ``<name>: {}`` under ``methods``, and its name in ``run.methods``, or ``run.readouts`` for a read-out.
    Comments and layout of ``params.yaml`` stay as they are. Nothing is written unless both files can be.

    Raises:
        SettingsError: the name is not that of a Python module in snake_case or is taken, or ``params.yaml`` is written
            in a way that leaves no place for it.
    """
    path = root / "methods" / f"{name}.py"
    _check_name(name, settings, path)
    class_name = "".join(part.capitalize() for part in name.split("_"))
    template = Template(
        files("wsolbench.tools").joinpath("templates", f"{kind}.py.template").read_text(encoding="utf-8")
    )
    year = dt.datetime.now(tz=dt.UTC).year
    source = template.substitute(name=name, class_name=class_name, title=class_name, year=year)
    params = root / PARAMS_FILE
    run = "readouts" if kind == "readout" else "methods"
    changed = with_additions(params.read_text(encoding="utf-8"), "methods", name, f"  {name}: {{}}\n", run=run)
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
        "a part of the harness": registry.RESERVED,
    }
    for what, names in taken.items():
        if name in names:
            raise SettingsError(f"'{name}' is already the name of {what}; choose another")
    if path.exists():
        raise SettingsError(f"{path} exists already; choose another name")
    if not path.parent.is_dir():
        raise SettingsError(f"{path.parent} is no directory; run wsolbench from the repository's root")
