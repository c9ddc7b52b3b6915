"""What listings and ``wsolbench doctor`` say of components, shipped and kept: to describe them, torch is imported."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, get_type_hints

from wsolbench.config import registry
from wsolbench.config.ranges import range_of
from wsolbench.errors import DataError, SettingsError, StorageError
from wsolbench.files import bytes_sha256, check_record, parse_file, with_digest, write_text

__all__ = ["KINDS", "Facts", "cached", "entry", "facts", "own_facts", "supported_pairs", "year_of"]

Facts = dict[str, dict[str, Any]]

_SHIPPED = Path(__file__).with_name("catalogue.json")
_DESCRIBED = ("models", "baselines", "config")  # packages that say what a listing says, beside methods and data sets


def facts(kind: registry.Kind) -> Facts:
    """Return what a listing says of all components of a kind, by name, as plain data.

    Of one that lies outside of the repository it says where, too, and why it cannot be loaded, if so.

    Raises:
        SettingsError: a component of the repository cannot be loaded.
    """
    names, describe = own_facts(kind)
    found: Facts = cached(kind, names, describe)
    for name in sorted({*registry.names(kind)}.difference(names)):
        try:
            about = _described(kind, name)
            found[name] = about | {"reference": f"{about['reference']}; {registry.origin(kind, name)}"}
        except SettingsError as error:
            found[name] = _BROKEN | {"reference": str(error)}
    return dict(sorted(found.items()))


def own_facts(kind: registry.Kind) -> tuple[list[str], Callable[[], Facts]]:
    """Return the names of the repository's components of a kind, and what describes them."""
    names = registry.names(kind, own=True)
    return names, lambda: {name: _described(kind, name) for name in names}


def _described(kind: registry.Kind, name: str) -> dict[str, Any]:
    return _FACTS[kind](registry.load(registry.kind_of(name) if kind == "method" else kind, name))


_BROKEN: dict[str, Any] = {
    **dict.fromkeys(("title", "truth", "erase points", "side points"), "-"),
    "status": "broken",
    "pairs": "all",
    "space": {},
}


def entry(of: Any, make: Callable[[], Any]) -> dict[str, Any]:
    """Return what ``make`` returns, as plain data, and a digest of the code and of what else it depends on."""
    return {"of": _digest(of), "found": json.loads(json.dumps(make()))}


def cached(name: str, of: Any, make: Callable[[], Any]) -> Any:
    """Return what ``make`` returns, as plain data: from ``catalogue.json``, which is shipped, or what was kept here.

    What is kept lies in ``.wsolbench/catalogue``; nothing is kept outside a repository (where there is no
    ``params.yaml``). Both count only for the present code and ``of``, what the outcome depends on beside it. A damaged
    file is made anew.
    """
    file, wanted, cure = Path(".wsolbench") / "catalogue" / f"{name}.json", _digest(of), "it is made anew"
    for read in (
        lambda: parse_file(_SHIPPED, json.loads, cure).get(name, {}),
        lambda: check_record(parse_file(file, json.loads, cure), file, cure),
    ):
        with suppress(DataError):
            stored = read()
            if stored.get("of") == wanted:
                return stored["found"]
    made = entry(of, make)
    if Path("params.yaml").is_file():
        with suppress(StorageError):
            write_text(file, json.dumps(with_digest(made)))
    return made["found"]


def _digest(of: Any) -> str:
    return bytes_sha256((_code() + json.dumps(of)).encode())


def _code() -> str:
    """Return a digest of the files that describe components, the same wherever they lie."""
    folders = [Path(place) for name in ("methods", "datasets") for place in import_module(f"wsolbench.{name}").__path__]
    folders += [Path(__file__).parents[1] / name for name in _DESCRIBED]
    files = [Path(__file__), *(file for folder in folders for file in sorted(folder.rglob("*.py")))]
    return "".join(f"{file.parent.name}/{file.name} {bytes_sha256(file.read_bytes())}\n" for file in files)


def year_of(reference: str) -> str:
    """Return the year that a reference names, empty if it names none; an arXiv number is no year."""
    found = re.search(r"(?<![\d.])(?:19|20)\d\d(?![\d.])", reference)
    return found[0] if found else ""


def supported_pairs(method: type[Any]) -> str:
    """Return ``all``, or each reason that the method gives and what it gives it for."""
    reasons: dict[str, list[str]] = {}
    datasets = registry.names("dataset", own=True)
    for backbone in registry.names("backbone", own=True):
        refused: dict[str, list[str]] = {}
        for dataset in datasets:
            reason = method.unsupported(backbone, registry.load("dataset", dataset).traits)
            if reason is not None:
                refused.setdefault(reason, []).append(f"{backbone} on {dataset}")
        for reason, pairs in refused.items():
            reasons.setdefault(reason, []).extend([backbone] if len(pairs) == len(datasets) else pairs)
    return "; ".join(f"not {', '.join(pairs)}: {reason}" for reason, pairs in reasons.items()) or "all"


def _of_method(method: type[Any]) -> dict[str, Any]:
    annotated = get_type_hints(method.__init__, include_extras=True)
    space = {}
    for argument in list(signature(method).parameters.values())[1:]:
        if argument.default is argument.empty:  # what the harness gives
            continue
        allowed, drawn = range_of(annotated[argument.name]), method.search_space.get(argument.name)
        if allowed or drawn:
            space[argument.name] = [str(argument.default), allowed, str(drawn or "-")]
    about = {"title": method.title, "reference": method.reference, "status": method.status}
    return about | {"pairs": supported_pairs(method), "space": space}


def _of_dataset(dataset: type[Any]) -> dict[str, Any]:
    return {
        "title": dataset.title,
        "reference": dataset.reference,
        "truth": ", ".join(sorted(dataset.traits - {"restricted"})),
    }


def _of_backbone(component: type[Any]) -> dict[str, Any]:
    import torch  # noqa: PLC0415 - seconds, which a listing takes once

    with torch.device("meta"):  # shapes only: nothing is initialised
        backbone = component()
    erased = f"{', '.join(backbone.erase_points)} ({backbone.erase_source})"
    sides = f"{', '.join(backbone.side_points)} ({backbone.side_source})"
    return {"reference": component.reference, "erase points": erased, "side points": sides}


def _of_baseline(baseline: type[Any]) -> dict[str, Any]:
    return {"title": baseline.title, "reference": baseline.reference}


_FACTS: dict[registry.Kind, Callable[[type[Any]], dict[str, Any]]] = {
    "method": _of_method,
    "dataset": _of_dataset,
    "backbone": _of_backbone,
    "baseline": _of_baseline,
}

KINDS = tuple(_FACTS)
"""Kinds of components that are listed."""
