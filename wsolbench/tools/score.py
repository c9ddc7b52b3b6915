"""``wsolbench score``: find the truth, score, write, and say what was found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wsolbench.config.paths import Layout
from wsolbench.config.settings import EvaluateSettings, Settings
from wsolbench.data.dataset import Split, SplitName
from wsolbench.data.index import INDEX_FILE, read_split
from wsolbench.errors import DataError, SettingsError, nearest
from wsolbench.evaluation.external_maps import MapsOf, Task, write_scores
from wsolbench.evaluation.lists import read_predictions, split_of_metadata
from wsolbench.evaluation.map_files import check_maps
from wsolbench.evaluation.score_table import comparison_table, difference_table, score_table
from wsolbench.evaluation.scoring import Rules
from wsolbench.files import write_bytes, write_text

__all__ = ["Folder", "Truths", "folders_of", "run_score", "task_of"]


@dataclass(frozen=True)
class Truths:
    """Where the truth is: a prepared data set, or directories of a split's lists in Choe et al.'s format."""

    dataset: str | None
    metadata: Path | None
    masks: Path
    val_metadata: Path | None


@dataclass(frozen=True)
class Folder:
    """Maps to score of the split to report and of ``val``, and a list of classes by image; its name is for tables."""

    name: str
    maps: Path
    val_maps: Path | None = None
    predictions: Path | None = None


def folders_of(
    maps: Sequence[Path], names: Sequence[str], val_maps: Sequence[Path], predictions: Sequence[Path]
) -> list[Folder]:
    """Put together what was given for each folder of maps.

    Raises:
        SettingsError: there are not as many names, folders of ``val`` or lists of predictions (or one for all) as
            folders of maps; or two have one name.
    """
    for option, given in (("--name", names), ("--val-maps", val_maps)):
        if given and len(given) != len(maps):
            raise SettingsError(f"{option}: {len(given)} are given for {len(maps)} folders of maps; give one for each")
    if len(predictions) not in {0, 1, len(maps)}:
        raise SettingsError(
            f"--predictions: {len(predictions)} are given for {len(maps)} folders of maps; give one, or one each"
        )
    named = list(names) or [
        Path(os.path.normpath(Path.cwd() / folder)).name for folder in maps
    ]  # a link may lead to itself
    for name in named:
        if named.count(name) > 1:
            raise SettingsError(f"two folders of maps are called '{name}'; give each another --name")
        if name in {"", ".", ".."} or "/" in name:
            raise SettingsError(f"--name: '{name}' cannot name a directory of results")
    none: list[Path | None] = [None] * len(maps)
    lists = list(predictions) * (len(maps) if len(predictions) == 1 else 1) or none
    return [Folder(*each) for each in zip(named, maps, val_maps or none, lists, strict=True)]


def run_score(
    settings: Settings | None,
    truths: Truths,
    split: SplitName,
    folders: Sequence[Folder],
    out: Path,
    jobs: int | None,
    *,
    maps_of: Literal["label", "predicted"] = "label",
    as_they_are: bool = False,
) -> str:
    """Score maps, write the results to ``out`` (of several folders: to a directory each), and return tables.

    Without ``settings`` (where there is no ``params.yaml``) their defaults hold.

    Raises:
        SettingsError: the options do not go together, or the data set is not in ``params.yaml``.
        DataError: maps, predictions or truth do not fit each other, or the data set is not prepared.
    """
    _check_options(truths, folders, maps_of)
    asked = _truth(settings, truths, split, truths.metadata)
    val = _truth(settings, truths, "val", truths.val_metadata) if folders[0].val_maps is not None else None
    rules = Rules.of(EvaluateSettings() if settings is None else settings.evaluate, as_they_are=as_they_are)
    tasks = {each.name: task_of(each, asked, val, maps_of, rules) for each in folders}
    heads = {each.name: _head(truths, split, each, maps_of, as_they_are=as_they_are) for each in folders}
    if len(folders) == 1:
        ((name, task),) = tasks.items()
        check_maps(task.files)
        scores = task.results(task.score(jobs))
        write_scores(scores, heads[name], out)
        return f"{score_table(scores.numbers)}\n\nAll numbers are in {out}/metrics.json, *.csv and per_image.parquet."
    from wsolbench.tools.compare import compare, merged_per_image  # noqa: PLC0415 - imports scipy.stats: a second

    found = compare(tasks, jobs)
    for name, each in found.scores.items():
        write_scores(each, heads[name], out / name)
    for file, table in (("differences", found.differences), ("per_image", merged_per_image(found.scores))):
        write_bytes(out / f"{file}.csv", table.to_csv(index=False, lineterminator="\n").encode())
    shown = comparison_table({name: each.numbers for name, each in found.scores.items()})
    tested = difference_table(found.differences) if len(found.differences) else "There is no measure to compare."
    write_text(out / "comparison.md", f"{shown}\n\n{tested}\n")
    return f"{shown}\n\n{tested}\n\nAll of it is in {out}/comparison.md, *.csv and a directory for each folder of maps."


def task_of(
    folder: Folder, asked: Split, val: Split | None, maps_of: Literal["label", "predicted"], rules: Rules
) -> Task:
    """Return what is to be scored of a folder."""
    return Task(
        MapsOf(folder.maps, asked),
        None if folder.val_maps is None or val is None else MapsOf(folder.val_maps, val),
        None if folder.predictions is None else read_predictions(folder.predictions),
        maps_of,
        rules,
    )


def _check_options(truths: Truths, folders: Sequence[Folder], maps_of: str) -> None:
    with_val = any(each.val_maps is not None for each in folders)
    if (truths.dataset is None) == (truths.metadata is None):
        raise SettingsError("give either --dataset or --metadata")
    if with_val and truths.metadata is not None and truths.val_metadata is None:
        raise SettingsError("--val-maps with --metadata needs --val-metadata")
    if truths.val_metadata is not None and (not with_val or truths.metadata is None):
        raise SettingsError("--val-metadata goes with --metadata and --val-maps")
    if maps_of == "predicted" and any(each.predictions is None for each in folders):
        raise SettingsError("--maps-of predicted needs --predictions: which class a map is of stands there")


def _head(
    truths: Truths, split: SplitName, folder: Folder, maps_of: str, *, as_they_are: bool
) -> dict[str, str | bool | None]:
    return {
        "dataset": truths.dataset or str(truths.metadata),
        "split": split,
        "maps": str(folder.maps),
        "maps_of": maps_of,
        "val_maps": None if folder.val_maps is None else str(folder.val_maps),
        "as_they_are": as_they_are,
    }


def _truth(settings: Settings | None, truths: Truths, split: SplitName, metadata: Path | None) -> Split:
    if metadata is not None:
        return split_of_metadata(metadata, split, truths.masks)
    name = truths.dataset or ""
    if settings is None:
        raise SettingsError("--dataset: there is no params.yaml here; run this in the repository, or give --metadata")
    tracks = [track for track, chosen in settings.tracks.items() if chosen.dataset == name]
    if not tracks:
        known = {chosen.dataset for chosen in settings.tracks.values()}
        raise SettingsError(f"--dataset: no track of params.yaml has data set '{name}'; {nearest(name, sorted(known))}")
    prepared = [Layout().prepared(track) for track in tracks if (Layout().prepared(track) / INDEX_FILE).is_file()]
    if not prepared:
        raise DataError(f"data set '{name}' is not prepared; run `wsolbench prepare {tracks[0]}` first")
    return read_split(prepared[0], split)
