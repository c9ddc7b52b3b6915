"""Find methods, data sets and backbones by name: here, the name is the stem of the file that defines it.

Others lie outside: ``from`` in ``params.yaml`` says where, or an installed package announces them as entry points.

Listing names reads directories and packages' metadata only; a file is imported when it is first asked for, so that a
broken or heavy one costs nothing to those who do not use it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pkgutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from wsolbench.errors import SettingsError, nearest

__all__ = ["RESERVED", "Kind", "Origin", "kind_of", "load", "names", "origin", "place"]

Kind = Literal["method", "readout", "dataset", "backbone", "baseline"]
_PACKAGES: dict[Kind, tuple[str, str, str]] = {
    # kind: package, module of the base class, base class
    "method": ("wsolbench.methods", "wsolbench.models.method", "Method"),
    "readout": ("wsolbench.methods", "wsolbench.models.method", "ReadOut"),
    "dataset": ("wsolbench.datasets", "wsolbench.data.dataset", "WsolDataset"),
    "backbone": ("wsolbench.models.backbones", "wsolbench.models.backbones.base", "Backbone"),
    "baseline": ("wsolbench.baselines", "wsolbench.baselines.base", "Baseline"),
}
_GROUPS: dict[Kind, str] = {"method": "methods", "readout": "methods", "dataset": "datasets", "backbone": "backbones"}
_PLACED = "WSOLBENCH_COMPONENTS"  # variable that hands what `place` was told on to the processes that this one starts
RESERVED = frozenset({"base", "stage", "weights"})
"""Stems of files beside components that are none."""


@dataclass(frozen=True)
class Origin:
    """Where a component is.

    Attributes:
        target: a module or the path of a file, and, behind a colon, which class, where it is not the only one.
        said_by: who says so; empty for a file of wsolbench's own folders.
    """

    target: str
    said_by: str = ""

    def __str__(self) -> str:
        return f"{self.target} ({self.said_by})" if self.said_by else f"wsolbench's own {self.target}"


def place(group: str, found: Mapping[str, str]) -> None:
    """Say where the components of a group lie that ``from`` names; what was said of it before is forgotten."""
    os.environ[_PLACED] = json.dumps(_placed() | {group: dict(found)})


def _placed() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(os.environ.get(_PLACED, "{}"))
    return found


def names(kind: Kind, *, own: bool = False) -> list[str]:
    """Return the names of all components of a kind, sorted, without importing them; read-outs stand among methods."""
    outside = {point.name for point in _entry_points(kind)} | _placed().get(_GROUPS.get(kind, ""), {}).keys()
    stems = {*_stems(kind)}
    return sorted(stems - outside if own else stems | outside)


def _stems(kind: Kind) -> list[str]:
    package = importlib.import_module(_PACKAGES[kind][0])
    found = (module.name for module in pkgutil.iter_modules(package.__path__) if not module.ispkg)
    return [name for name in found if name not in RESERVED and not name.startswith("_")]


def _entry_points(kind: Kind) -> Any:
    return _announced(_GROUPS[kind]) if kind in _GROUPS else ()


@cache
def _announced(group: str) -> Any:
    return entry_points(group=f"wsolbench.{group}")


def origin(kind: Kind, name: str) -> Origin:
    """Return where a component is; nothing of it is imported.

    Raises:
        SettingsError: it is nowhere (the nearest name is given), or in several places.
    """
    found = [Origin(f"{_PACKAGES[kind][0]}.{name}")] if name in _stems(kind) else []
    placed = _placed().get(_GROUPS.get(kind, ""), {})
    found += [Origin(placed[name], "`from` in params.yaml")] if name in placed else []
    for point in _entry_points(kind):
        if point.name == name:
            package = f"{point.dist.name} {point.dist.version}" if point.dist else "a package"
            found.append(Origin(point.value, f"an entry point of {package}"))
    if not found:
        raise SettingsError(f"unknown {kind} '{name}': no such file; {nearest(name, names(kind))}")
    if len(found) > 1:
        raise SettingsError(f"{kind} '{name}' is both {found[0]} and {found[1]}; rename or remove one of them")
    return found[0]


def load(kind: Kind, name: str) -> type[Any]:
    """Import a component and return its class.

    Raises:
        SettingsError: there is no such file (the nearest name is given) or there are two, it cannot be imported, or it
            does not define exactly one component.
    """
    if kind == "method" and name in names("baseline") and name not in names(kind):
        raise SettingsError(f"'{name}' is a baseline, no network to train; `wsolbench baseline` makes its results")
    return _only_component(kind, name, origin(kind, name))


def kind_of(name: str) -> Literal["method", "readout"]:
    """Return whether a method trains a network or reads maps out of a trained one; imports it.

    Raises:
        SettingsError: see :func:`load`.
    """
    return "readout" if name in names("method") and _defined("readout", name, origin("method", name))[1] else "method"


@cache
def _only_component(kind: Kind, name: str, where: Origin) -> type[Any]:
    module, found = _defined(kind, name, where)
    if kind == "method" and not found and _defined("readout", name, where)[1]:
        raise SettingsError(f"'{name}' is a read-out, which trains nothing; name it in run.readouts")
    if len(found) != 1:
        base_name = _PACKAGES[kind][2]
        listed = ", ".join(cls.__name__ for cls in found) or "none"
        raise SettingsError(f"{module.__file__}: expected exactly one subclass of {base_name}, found {listed}")
    return found[0]


def _defined(kind: Kind, name: str, where: Origin) -> tuple[ModuleType, list[type[Any]]]:
    """Return the module of a component, and the classes of a kind that it defines, or the one that is asked for."""
    _, base_module, base_name = _PACKAGES[kind]
    base = getattr(importlib.import_module(base_module), base_name)
    target, _, class_name = where.target.partition(":")
    try:
        module = _file(target) if target.endswith(".py") else importlib.import_module(target)
        found = [getattr(module, class_name)] if class_name else [*vars(module).values()]
    except (Exception, SystemExit) as error:  # a file of somebody's may raise anything
        what = f"{'method' if kind == 'readout' else kind} '{name}'{f' of {where}' if where.said_by else ''}"
        raise SettingsError(f"{what} cannot be loaded ({type(error).__name__}: {error})") from error
    return module, [
        value
        for value in found
        if isinstance(value, type)
        and issubclass(value, base)
        and (bool(class_name) or value.__module__ == module.__name__)
    ]


@cache
def _file(path: str) -> ModuleType:
    """Import a file under a name that no other module has."""
    module_name = f"wsolbench_outside_{path.encode().hex()}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None or not Path(path).is_file():
        raise FileNotFoundError(f"{path} is not there")
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module
