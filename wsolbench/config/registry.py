"""Find methods, data sets and backbones by name: the name is the stem of the file that defines it.

Listing names reads directories only; a file is imported when it is first asked for, so that a broken or heavy file
costs nothing to those who do not use it.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType
from typing import Any, Literal

from wsolbench.errors import SettingsError, nearest

__all__ = ["RESERVED", "Kind", "kind_of", "load", "names"]

Kind = Literal["method", "readout", "dataset", "backbone", "baseline"]
_PACKAGES: dict[Kind, tuple[str, str, str]] = {
    # kind: package, module of the base class, base class
    "method": ("wsolbench.methods", "wsolbench.models.method", "Method"),
    "readout": ("wsolbench.methods", "wsolbench.models.method", "ReadOut"),
    "dataset": ("wsolbench.datasets", "wsolbench.data.dataset", "WsolDataset"),
    "backbone": ("wsolbench.models.backbones", "wsolbench.models.backbones.base", "Backbone"),
    "baseline": ("wsolbench.baselines", "wsolbench.baselines.base", "Baseline"),
}
RESERVED = frozenset({"base", "stage", "weights"})
"""Stems of files beside components that are none."""


def names(kind: Kind) -> list[str]:
    """Return the names of all components of a kind, sorted, without importing them; read-outs stand among methods."""
    package = importlib.import_module(_PACKAGES[kind][0])
    found = (module.name for module in pkgutil.iter_modules(package.__path__) if not module.ispkg)
    return sorted(name for name in found if name not in RESERVED and not name.startswith("_"))


def load(kind: Kind, name: str) -> type[Any]:
    """Import a component and return its class.

    Raises:
        SettingsError: there is no such file (the nearest name is given), it cannot be imported, or it does not define
            exactly one component.
    """
    if kind == "method" and name in names("baseline") and name not in names(kind):
        raise SettingsError(f"'{name}' is a baseline, no network to train; `wsolbench baseline` makes its results")
    if name not in names(kind):
        raise SettingsError(f"unknown {kind} '{name}': no such file; {nearest(name, names(kind))}")
    return _only_component(kind, name)


def kind_of(name: str) -> Literal["method", "readout"]:
    """Return whether a file in ``methods`` trains a network or reads maps out of a trained one; imports it.

    Raises:
        SettingsError: see :func:`load`.
    """
    return "readout" if name in names("method") and _defined("readout", name)[1] else "method"


@cache
def _only_component(kind: Kind, name: str) -> type[Any]:
    module, found = _defined(kind, name)
    if kind == "method" and not found and _defined("readout", name)[1]:
        raise SettingsError(f"'{name}' is a read-out, which trains nothing; name it in run.readouts")
    if len(found) != 1:
        base_name = _PACKAGES[kind][2]
        listed = ", ".join(cls.__name__ for cls in found) or "none"
        raise SettingsError(f"{module.__file__}: expected exactly one subclass of {base_name}, found {listed}")
    return found[0]


def _defined(kind: Kind, name: str) -> tuple[ModuleType, list[type[Any]]]:
    """Return the module of a component, and the classes of a kind that it defines."""
    package, base_module, base_name = _PACKAGES[kind]
    base = getattr(importlib.import_module(base_module), base_name)
    try:
        module = importlib.import_module(f"{package}.{name}")
    except Exception as error:  # a file of somebody's may raise anything
        where = "method" if kind == "readout" else kind
        raise SettingsError(f"{where} '{name}' cannot be loaded ({type(error).__name__}: {error})") from error
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    return module, found
