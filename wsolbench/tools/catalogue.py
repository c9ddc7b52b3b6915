"""What listings and ``wsolbench doctor`` say of components, kept so that torch is imported once per change of code."""

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

__all__ = ["Facts", "cached", "facts", "supported_pairs", "year_of"]

Facts = dict[str, dict[str, Any]]


def facts(kind: registry.Kind) -> Facts:
    """Return what a listing says of all components of a kind, by name, as plain data.

    Of one that lies outside of the repository it says where, too, and why it cannot be loaded, if so.

    Raises:
        SettingsError: a component of the repository cannot be loaded.
    """
    names = registry.names(kind, own=True)

    def component(name: str) -> type[Any]:
        return registry.load(registry.kind_of(name) if kind == "method" else kind, name)

    found: Facts = cached(kind, names, lambda: {name: _FACTS[kind](component(name)) for name in names})
    for name in sorted({*registry.names(kind)}.difference(names)):
        try:
            about = _FACTS[kind](component(name))
            found[name] = about | {"reference": f"{about['reference']}; {registry.origin(kind, name)}"}
        except SettingsError as error:
            found[name] = _BROKEN | {"reference": str(error)}
    return dict(sorted(found.items()))


_BROKEN: dict[str, Any] = {
    **dict.fromkeys(("title", "truth", "erase points", "side points"), "-"),
    "status": "broken",
    "pairs": "all",
    "space": {},
}


def cached(name: str, of: Any, make: Callable[[], Any]) -> Any:
    """Return what ``make`` returns, as plain data: from ``.wsolbench/catalogue/`` where code and ``of`` are the same.

    Nothing is kept outside a repository (where there is no ``params.yaml``). A damaged file is made anew. ``of`` is
    what the outcome depends on beside the code of the package and its components.
    """
    file, wanted = Path(".wsolbench") / "catalogue" / f"{name}.json", bytes_sha256((_code() + json.dumps(of)).encode())
    with suppress(DataError):
        stored = check_record(parse_file(file, json.loads, "it is made anew"), file, "it is made anew")
        if stored.get("of") == wanted:
            return stored["found"]
    found = json.loads(json.dumps(make()))
    if Path("params.yaml").is_file():
        with suppress(StorageError):
            write_text(file, json.dumps(with_digest({"of": wanted, "found": found})))
    return found


def _code() -> str:
    """Return a digest of all code of the package and of the folders in which components lie."""
    packages = ("wsolbench.methods", "wsolbench.datasets")
    folders = [Path(place) for package in packages for place in import_module(package).__path__]
    files = [*Path(__file__).parents[1].rglob("*.py"), *(file for folder in folders for file in folder.glob("*.py"))]
    return bytes_sha256("".join(f"{file} {bytes_sha256(file.read_bytes())}\n" for file in sorted(files)).encode())


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
