"""``wsolbench list``: what there is to run."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import signature

from ruamel.yaml import YAML

from wsolbench.config import registry
from wsolbench.config.settings import Run, RuntimeSettings, Settings
from wsolbench.models.backbones.weights import PINNED
from wsolbench.tools.catalogue import facts, year_of

__all__ = ["Listing", "print_listing", "print_run"]

_GAP = 2  # spaces between columns
_NARROWEST = 16  # characters of the last column
_whole_words = partial(textwrap.wrap, break_long_words=False, break_on_hyphens=False)


@dataclass
class Listing:
    """A table of text; the last cell of a row is wrapped to the width, the others are not."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self, width: int) -> str:
        """Return the table as plain text of at most ``width`` columns, where its keys allow that."""
        rows = [self.columns, *self.rows]
        widths = [max(map(len, column)) + _GAP for column in zip(*rows, strict=True)][:-1]
        lines = [self.title]
        for *cells, last in rows:
            head = "".join(cell.ljust(wide) for cell, wide in zip(cells, widths, strict=True))
            room = max(width, len(head) + _NARROWEST)
            below = " " * len(head)
            lines += _whole_words(last, room, initial_indent=head, subsequent_indent=below) or [head.rstrip()]
        for note in self.notes:
            lines += _whole_words(note, width)
        return "\n".join(lines) + "\n"


def print_listing(settings: Settings | None, kind: str | None) -> None:
    """Print one table per kind of component, or only the one asked for, as plain text.

    It is as wide as the terminal; elsewhere 80 columns, with columns apart by two spaces, for ``grep`` and ``awk``.
    Without settings (outside a repository) there are components and no more.
    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 80
    tables = [make(settings) for name, make in _COMPONENTS.items() if kind in {None, name}]
    if settings is not None:
        tables += [make(settings) for name, make in _CHOSEN.items() if kind in {None, name}]
    sys.stdout.write("\n".join(table.text(width) for table in tables))


def print_run(run: Run, runtime: RuntimeSettings) -> None:
    """Print a resolved run as YAML: every setting, and every constructor argument with its default."""
    from wsolbench.models.pretrained import backbone_arguments  # noqa: PLC0415

    record = run.as_dict()
    record["track"]["backbone_args"] = backbone_arguments(run.track)
    named: tuple[registry.Kind, str] = ("readout" if run.reads else "method", run.component)
    for component, arguments, given in (
        (registry.load("backbone", run.track.backbone), record["track"]["backbone_args"], 1),
        (registry.load(*named), record["method"]["args"], 1 if run.reads else 2),
    ):
        parameters = list(signature(component).parameters.values())[given:]
        unset = {p.name: p.default for p in parameters if p.name not in arguments and p.default is not p.empty}
        arguments |= {name: list(value) if isinstance(value, tuple) else value for name, value in unset.items()}
    YAML(typ="safe", pure=True).dump(record | {"runtime": runtime.model_dump()}, sys.stdout)


def _methods(settings: Settings | None) -> Listing:
    table = Listing("methods", ("key", "year", "status", "paper"))
    for name, method in facts("method").items():
        table.rows.append([name, year_of(method["reference"]), method["status"], method["reference"]])
        if method["pairs"] != "all":
            table.notes.append(f"{name}: {method['pairs']}")
    return _note_absent(table, settings and settings.methods)


def _ranges(settings: Settings | None) -> Listing:
    table = Listing("ranges", ("method", "argument", "default", "allowed; what a search tries"))
    if settings is not None:
        for field_name, (low, high) in settings.search.recipe.items():
            tried = f"log-uniform {low:g} to {high:g} times the track's (search.recipe)"
            table.rows.append(["all", field_name, "the track's", tried])
    for name, method in facts("method").items():
        for argument, (default, *texts) in method["space"].items():
            table.rows.append([name, argument, default, "; ".join(text for text in texts if text not in {"", "-"})])
    return table


def _datasets(settings: Settings | None) -> Listing:
    table = Listing("datasets", ("key", "truth", "title, and where it is from"))
    known, chosen = facts("dataset"), {} if settings is None else settings.datasets
    for name in dict.fromkeys([*known, *chosen]):
        of = name if settings is None else settings.class_of(name)
        about = known[of]
        origin = f"{about['title']}{'' if of == name else f' (of: {of})'}; {about['reference']}"
        table.rows.append([name, about["truth"], origin])
    return _note_absent(table, settings and settings.datasets)


def _backbones(_settings: Settings | None) -> Listing:
    table = Listing("backbones", ("key", "year", "paper, points of layers and branches, pinned weights"))
    for name, about in facts("backbone").items():
        pinned = ", ".join(PINNED.get(name, {})) or "none: trained from scratch"
        points = (f"{which}: {about[which]}" for which in ("erase points", "side points"))
        text = "; ".join([about["reference"], *points, f"weights: {pinned}"])
        table.rows.append([name, year_of(about["reference"]), text])
    table.notes = ["points: published by a paper or its code, of the port of Choe et al., or ours"]
    return table


def _baselines(_settings: Settings | None) -> Listing:
    table = Listing("baselines", ("key", "title", "reference"))
    table.rows = [[name, about["title"], about["reference"]] for name, about in facts("baseline").items()]
    return table


def _note_absent(table: Listing, chosen: object) -> Listing:
    """Add a note of the keys that have no block in ``params.yaml``."""
    if isinstance(chosen, dict) and (absent := [row[0] for row in table.rows if row[0] not in chosen]):
        table.notes.append(f"not in params.yaml: {', '.join(absent)}")
    return table


def _tracks(settings: Settings) -> Listing:
    table = Listing("tracks", ("key", "epochs", "weights", "data set, backbone"))
    for name, track in settings.tracks.items():
        table.rows.append([name, str(track.epochs), track.weights or "none", f"{track.dataset}, {track.backbone}"])
    table.notes.append(f"in run: {', '.join(settings.run.tracks)}")
    return table


def _variants(settings: Settings) -> Listing:
    table = Listing("variants", ("key", "of", "title, arguments, tracks"))
    for name, block in settings.methods.items():
        if block.of is not None:
            args = ", ".join(f"{key}: {value}" for key, value in block.args.items())
            only = f"only on {', '.join(block.only)}" if block.only else ""
            table.rows.append([name, block.of, "; ".join(filter(None, [block.title, args, only]))])
    return table


def _runs(settings: Settings) -> Listing:
    table = Listing("runs", ("key", "stage"))
    stages = {"train": "train, evaluate", "readout": "readout, evaluate_readout"}
    for track in settings.run.tracks:
        for stage, keys in settings.run.keys(track).items():
            table.rows += [[key, stages.get(stage, stage)] for key in keys]
    return table


_COMPONENTS: dict[str, Callable[[Settings | None], Listing]] = {
    "methods": _methods,
    "ranges": _ranges,
    "datasets": _datasets,
    "backbones": _backbones,
    "baselines": _baselines,
}
_CHOSEN: dict[str, Callable[[Settings], Listing]] = {"tracks": _tracks, "variants": _variants, "runs": _runs}
