"""``wsolbench list``: what there is to run."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from wsolbench.config import registry
from wsolbench.config.settings import Run, RuntimeSettings, Settings
from wsolbench.models.backbones.weights import PINNED
from wsolbench.models.pretrained import backbone_arguments

if TYPE_CHECKING:
    from wsolbench.models.method import Method  # imports torch, which most listings do not need

__all__ = ["Listing", "datasets_listing", "print_listing", "print_run", "supported_pairs", "year_of"]


@dataclass
class Listing:
    """A table of text; the cells of a row in the order of the columns."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    caption: str | None = None


def print_listing(settings: Settings, kind: str | None) -> None:
    """Print one table per kind of component, or only the one asked for.

    On a terminal they are drawn and wrapped to its width; elsewhere each row is a line of plain text, columns apart by
    two spaces or more, for ``grep`` and ``awk``.
    """
    console = Console()
    for number, make in enumerate(make for name, make in _LISTINGS.items() if kind in {None, name}):
        listing = make(settings)
        if sys.stdout.isatty():
            console.print(_drawn(listing))
        else:
            sys.stdout.write(("\n" if number else "") + _plain(listing))


def _drawn(listing: Listing) -> Table:
    table = Table(title=listing.title, title_justify="left", caption=listing.caption)
    for column in listing.columns:
        table.add_column(column, overflow="fold")
    for row in listing.rows:
        table.add_row(*row)
    return table


def _plain(listing: Listing) -> str:
    rows = [listing.columns, *listing.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([listing.title, *lines, *([listing.caption] if listing.caption else [])]) + "\n"


def print_run(run: Run, runtime: RuntimeSettings) -> None:
    """Print a resolved run as YAML: every setting, and every constructor argument with its default."""
    record = run.as_dict()
    record["track"]["backbone_args"] = backbone_arguments(run.track)
    for component, arguments, given in (
        (registry.load("backbone", run.track.backbone), record["track"]["backbone_args"], 1),
        (registry.load("method", run.component), record["method"]["args"], 2),
    ):
        parameters = list(signature(component).parameters.values())[given:]
        unset = {p.name: p.default for p in parameters if p.name not in arguments and p.default is not p.empty}
        arguments |= {name: list(value) if isinstance(value, tuple) else value for name, value in unset.items()}
    YAML(typ="safe", pure=True).dump(record | {"runtime": runtime.model_dump()}, sys.stdout)


def _methods(settings: Settings) -> Listing:
    table = _listing("methods", "key", "title", "year", "status", "paper", "backbones and data sets", "in params.yaml")
    for name in registry.names("method"):
        method = registry.load("method", name)
        facts = [method.title, year_of(method.reference), method.status, method.reference, supported_pairs(method)]
        table.rows.append([name, *facts, "yes" if name in settings.methods else "no"])
    return table


def _variants(settings: Settings) -> Listing:
    table = _listing("variants", "key", "of", "title", "args", "only on", "in run")
    for name, block in settings.methods.items():
        if block.of is not None:
            args = ", ".join(f"{key}: {value}" for key, value in block.args.items())
            chosen = "yes" if name in settings.run.methods else "no"
            table.rows.append([name, block.of, str(block.title), args, ", ".join(block.only or ()), chosen])
    return table


def year_of(reference: str) -> str:
    """Return the year that a reference names, empty if it names none; an arXiv number is no year."""
    found = re.search(r"(?<![\d.])(?:19|20)\d\d(?![\d.])", reference)
    return found[0] if found else ""


def supported_pairs(method: type[Method]) -> str:
    """Return ``all``, or each reason that the method gives and the pairs that it gives it for."""
    reasons: dict[str, list[str]] = {}
    for backbone in registry.names("backbone"):
        for dataset in registry.names("dataset"):
            reason = method.unsupported(backbone, registry.load("dataset", dataset).traits)
            if reason is not None:
                reasons.setdefault(reason, []).append(f"{backbone} on {dataset}")
    return "; ".join(f"not {', '.join(pairs)}: {reason}" for reason, pairs in reasons.items()) or "all"


def _ranges(settings: Settings) -> Listing:
    table = _listing("ranges", "method", "argument or field", "default", "a search tries")
    for field_name, (low, high) in settings.search.recipe.items():
        tried = f"log-uniform {low:g} to {high:g} times the track's (search.recipe)"
        table.rows.append(["all", field_name, "the track's", tried])
    for name in registry.names("method"):
        method = registry.load("method", name)
        defaults = signature(method).parameters
        for argument, drawn in method.search_space.items():
            table.rows.append([name, argument, str(defaults[argument].default), str(drawn)])
    return table


def datasets_listing(settings: Settings) -> Listing:
    """Return a row for each class in `datasets` and for each key in `params.yaml`."""
    table = _listing("datasets", "key", "of", "title", "truth", "reference", "in params.yaml")
    for name in dict.fromkeys([*registry.names("dataset"), *settings.datasets]):
        dataset, chosen = settings.dataset_class(name), "yes" if name in settings.datasets else "no"
        traits = ", ".join(sorted(dataset.traits))
        table.rows.append([name, settings.class_of(name), dataset.title, traits, dataset.reference, chosen])
    return table


def _backbones(settings: Settings) -> Listing:
    import torch  # noqa: PLC0415 - seconds that other listings do not need

    del settings
    table = _listing("backbones", "key", "year", "paper", "erase points", "side points", "pinned weights")
    for name in registry.names("backbone"):
        component = registry.load("backbone", name)
        with torch.device("meta"):  # shapes only: nothing is initialised
            backbone = component()
        erased = f"{', '.join(backbone.erase_points)} ({backbone.erase_source})"
        sides = f"{', '.join(backbone.side_points)} ({backbone.side_source})"
        pinned = ", ".join(PINNED.get(name, {})) or "none: trained from scratch"
        table.rows.append([name, year_of(component.reference), component.reference, erased, sides, pinned])
    table.caption = "points: published by a paper or its code, of the port of Choe et al., or ours"
    return table


def _baselines(settings: Settings) -> Listing:
    table = _listing("baselines", "key", "title", "reference", "in run")
    chosen = {*settings.run.baselines, *settings.run.seeded_baselines}
    for name in registry.names("baseline"):
        baseline = registry.load("baseline", name)
        table.rows.append([name, baseline.title, baseline.reference, "yes" if name in chosen else "no"])
    return table


def _tracks(settings: Settings) -> Listing:
    table = _listing("tracks", "key", "data set", "backbone", "weights", "epochs", "batch", "in run")
    for name, track in settings.tracks.items():
        row = [track.dataset, track.backbone, track.weights or "none", str(track.epochs), str(track.batch)]
        table.rows.append([name, *row, "yes" if name in settings.run.tracks else "no"])
    return table


def _runs(settings: Settings) -> Listing:
    table = _listing("runs", "key", "stage")
    chosen = settings.run
    for track in chosen.tracks:
        for seed in chosen.seeds:
            for method in chosen.methods:
                table.rows.append([f"{track}-{method}-{seed}", "train, evaluate"])
            for baseline in chosen.seeded_baselines:
                table.rows.append([f"{track}-{baseline}-{seed}", "baseline_seeded"])
        for baseline in chosen.baselines:
            table.rows.append([f"{track}-{baseline}-0", "baseline"])
    return table


def _listing(title: str, *columns: str) -> Listing:
    return Listing(title, columns)


_LISTINGS: dict[str, Callable[[Settings], Listing]] = {
    "methods": _methods,
    "ranges": _ranges,
    "datasets": datasets_listing,
    "backbones": _backbones,
    "baselines": _baselines,
    "tracks": _tracks,
    "variants": _variants,
    "runs": _runs,
}
