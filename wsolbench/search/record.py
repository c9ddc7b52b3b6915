"""What a search leaves behind: a table of its trials, and a JSON file that says how they were made.

``results/search/<track>/<method>.csv`` has a row per trial, ``.json`` beside it the budget, the space and the digests.
Both are functions of code, parameters, data and seed, and hold neither times nor names of machines. The JSON is written
last and holds the digest of the table, so that a pair is whole or refused.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from wsolbench.config.schema import StrictModel, validated
from wsolbench.errors import DataError, SettingsError

__all__ = [
    "ARGUMENT",
    "COMPLETE",
    "FAILED",
    "OBJECTIVES",
    "RECIPE",
    "Search",
    "SearchHead",
    "SpaceEntry",
    "folder_of",
    "read_search",
    "read_searches",
    "search_files",
    "write_search",
]

COMPLETE, FAILED = "complete", "failed"
ARGUMENT, RECIPE = "args.", "train."
"""Prefixes of a parameter's name: an argument of the method's constructor, or a field of the track's recipe."""

OBJECTIVES = {
    "max_box_acc_v2": "MaxBoxAccV2 (choe2020), each IoU at its best threshold",
    "px_ap": "PxAP",
    "p_iou": "pIoU at the best threshold",
    "top1_cls": "Top-1 Cls, without boxes or masks",
}
"""What trials are judged by, percent of `val`, and its name for people."""

_HEADINGS = ("number", "state", "value", "reason", "epochs")


class SpaceEntry(StrictModel):
    """A parameter that was searched.

    Attributes:
        name: with :data:`ARGUMENT` or :data:`RECIPE` in front.
        kind: how values were drawn: ``uniform``, ``log`` (log-uniform) or ``choice`` (whose values stand in the table
            as JSON).
        range: the distribution in words, with its source.
    """

    name: str
    kind: Literal["uniform", "log", "choice"]
    range: str


class SearchHead(StrictModel):
    """How the trials of a search were made.

    Attributes:
        track: key of ``tracks``.
        method: key of ``methods``.
        title: the method's name for people.
        objective: key of :data:`OBJECTIVES`.
        sampler: ``random`` or ``tpe``.
        seed: of draws and trainings.
        trials: how many there are, failed ones included.
        epochs: passes over the training split per trial.
        batch: images per step.
        images: images of ``val`` that every trial was judged on.
        boxes_used: true boxes of ``val`` that judged (and selected epochs, where the track does), the same in every
            trial.
        masks_used: masks, likewise.
        val_truth: whose truth ``val`` has.
        data_digest: of the index.
        common: recipe fields that are searched alike for all methods, with their ranges.
        space: everything that was searched.
        definition: digests and settings on which the trials depend, by name; see :mod:`wsolbench.search.plan`.
        table_sha256: of the CSV file.
    """

    track: str
    method: str
    title: str
    objective: Literal["max_box_acc_v2", "px_ap", "p_iou", "top1_cls"]
    sampler: Literal["random", "tpe"]
    seed: int
    trials: int
    epochs: int
    batch: int
    images: int
    boxes_used: int
    masks_used: int
    val_truth: str
    data_digest: str
    common: dict[str, str]
    space: list[SpaceEntry]
    definition: dict[str, Any]
    table_sha256: str

    @property
    def budget(self) -> dict[str, str]:
        """What must be equal for two searches of a track to compare, as text by name."""
        shared = ", ".join(f"{name} {drawn}" for name, drawn in self.common.items())
        return {
            "trials": str(self.trials),
            "epochs per trial": str(self.epochs),
            "batch": str(self.batch),
            "objective": OBJECTIVES[self.objective],
            "sampler": self.sampler,
            "seed": str(self.seed),
            "common recipe": shared or "not searched",
            "images of val": str(self.images),
            "boxes of val": str(self.boxes_used),
            "masks of val": str(self.masks_used),
            "data digest": self.data_digest[:12],
        }


@dataclass(frozen=True)
class Search:
    """A finished search.

    Attributes:
        head: how it was made.
        table: one row per trial, by number: ``number``, ``state`` (``complete`` or ``failed``), ``value`` (percent,
            NaN if failed), ``reason`` (of a failure), ``epochs``, and one column per parameter; of a ``choice``, JSON.
    """

    head: SearchHead
    table: pd.DataFrame

    @property
    def values(self) -> list[float]:
        """Percent of the trials that did not fail, by number."""
        return [float(value) for value in self.table.loc[self.table["state"] == COMPLETE, "value"]]

    @property
    def failed(self) -> int:
        """Number of trials that failed."""
        return int((self.table["state"] == FAILED).sum())

    @property
    def best(self) -> int | None:
        """Row of the winner: the highest value, of equals the first; None if every trial failed."""
        return int(np.nanargmax(self.table["value"].to_numpy(np.float64))) if self.values else None

    def parameters(self, row: int) -> dict[str, Any]:
        """Return the parameters of a trial, by name, as ``params.yaml`` has them."""
        stored = self.table.iloc[row].to_dict()
        return {
            entry.name: json.loads(str(stored[entry.name])) if entry.kind == "choice" else float(stored[entry.name])
            for entry in self.head.space
        }


def folder_of(root: Path) -> Path:
    """Return where the searches of all tracks lie."""
    return root / "results" / "search"


def search_files(root: Path, track: str, method: str) -> tuple[Path, Path]:
    """Return table and head of a search."""
    folder = folder_of(root) / track
    return folder / f"{method}.csv", folder / f"{method}.json"


def write_search(root: Path, head: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Search:
    """Write a search; equal trials give equal bytes.

    Args:
        root: the repository.
        head: of :class:`SearchHead`, all but ``table_sha256``.
        rows: of :attr:`Search.table`.

    Returns:
        What was written.
    """
    columns = [*_HEADINGS, *(entry["name"] for entry in head["space"])]
    text = pd.DataFrame(list(rows), columns=columns).to_csv(index=False, lineterminator="\n")
    digest = hashlib.sha256(text.encode()).hexdigest()
    record = {**head, "table_sha256": digest}
    table, described = search_files(root, head["track"], head["method"])
    for path, content in ((table, text), (described, json.dumps(record, indent=2) + "\n")):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(content, encoding="utf-8")
        temporary.replace(path)
    found = validated(SearchHead, record, "", str(described))
    return Search(found, _parsed(text, found))


def read_search(root: Path, track: str, method: str) -> Search | None:
    """Read a search; None where there is none.

    Raises:
        DataError: a file is missing or damaged, or the two do not belong together; the message names it and says what
            to do.
    """
    table, described = search_files(root, track, method)
    if not described.is_file() and not table.is_file():
        return None
    again = f"restore it from git, or run `wsolbench search {track} --method {method} --restart`"
    try:
        record = json.loads(described.read_text(encoding="utf-8"))
        text = table.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"{error.filename} is missing; {again}") from None
    except ValueError as error:
        raise DataError(f"{described} or its table is damaged ({error}); {again}") from None
    try:
        head = validated(SearchHead, record, "", str(described))
    except SettingsError as error:
        raise DataError(f"{error}; {again}") from None
    if hashlib.sha256(text.encode()).hexdigest() != head.table_sha256:
        raise DataError(f"{table} is not the table that {described.name} describes; {again}")
    if (head.track, head.method) != (track, method):
        raise DataError(f"{described} is of {head.method} on {head.track}; {again}")
    try:
        return Search(head, _parsed(text, head))
    except ValueError as error:
        raise DataError(f"{table} is damaged ({error}); {again}") from None


def read_searches(root: Path, track: str) -> list[Search]:
    """Read all searches of a track, by the names of their methods.

    Raises:
        DataError: see :func:`read_search`.
    """
    names = {path.stem for path in (folder_of(root) / track).glob("*") if path.suffix in {".csv", ".json"}}
    found = [read_search(root, track, name) for name in sorted(names)]
    return [search for search in found if search is not None]


def _parsed(text: str, head: SearchHead) -> pd.DataFrame:
    table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    if list(table.columns) != [*_HEADINGS, *(entry.name for entry in head.space)]:
        raise ValueError(f"its columns are {', '.join(map(str, table.columns))}")
    # Python's own conversion gives every number back to the last bit, with any version of pandas.
    table["number"], table["epochs"] = ([int(cell) for cell in table[name]] for name in ("number", "epochs"))
    for name in ("value", *(entry.name for entry in head.space if entry.kind != "choice")):
        table[name] = [float(cell) if cell else float("nan") for cell in table[name]]
    if list(table["number"]) != list(range(head.trials)) or not set(table["state"]) <= {COMPLETE, FAILED}:
        raise ValueError(f"its trials are not numbered from 0 to {head.trials - 1}, or have an unknown state")
    done = table["state"] == COMPLETE
    if bool((table["value"].notna() != done).any()) or not bool(table["value"][done].between(0, 100).all()):
        raise ValueError("a complete trial has no value from 0 to 100, or a failed one has a value")
    return table
