"""``wsolbench score``: find the truth, score, write, and say what was found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsolbench.acquire.building import build_dataset
from wsolbench.acquire.mask_checks import check_masks
from wsolbench.config.paths import Layout
from wsolbench.config.settings import EvaluateSettings, Settings
from wsolbench.data.dataset import Split, SplitName
from wsolbench.data.index import INDEX_FILE, read_split
from wsolbench.errors import DataError, SettingsError, nearest
from wsolbench.evaluation.external_maps import MapsOf, score, write_scores
from wsolbench.evaluation.lists import read_predictions, split_of_metadata
from wsolbench.evaluation.score_table import score_table

__all__ = ["Truths", "run_score"]


@dataclass(frozen=True)
class Truths:
    """Where the truth is: a prepared data set, or metadata files.

    Attributes:
        dataset: key of ``datasets`` in ``params.yaml``.
        metadata: directory of a split's lists in Choe et al.'s format; one of the two is given.
        masks: folder that mask paths of the lists are relative to.
        val_metadata: the lists of ``val``.
    """

    dataset: str | None
    metadata: Path | None
    masks: Path
    val_metadata: Path | None


def run_score(
    settings: Settings | None,
    truths: Truths,
    split: SplitName,
    maps: Path,
    val_maps: Path | None,
    predictions: Path | None,
    out: Path,
    jobs: int | None,
    *,
    as_they_are: bool,
) -> str:
    """Score maps, write the results to ``out``, and return a table.

    Without ``settings`` (where there is no ``params.yaml``) their defaults hold.

    Raises:
        SettingsError: the options do not go together, or the data set is not in ``params.yaml``.
        DataError: maps, predictions or truth do not fit each other, or the data set is not prepared.
    """
    if (truths.dataset is None) == (truths.metadata is None):
        raise SettingsError("give either --dataset or --metadata")
    if val_maps is not None and truths.metadata is not None and truths.val_metadata is None:
        raise SettingsError("--val-maps with --metadata needs --val-metadata")
    if truths.val_metadata is not None and (val_maps is None or truths.metadata is None):
        raise SettingsError("--val-metadata goes with --metadata and --val-maps")
    asked = MapsOf(maps, *_truth(settings, truths, split, truths.metadata))
    val = None if val_maps is None else MapsOf(val_maps, *_truth(settings, truths, "val", truths.val_metadata))
    scores = score(
        asked,
        val=val,
        predictions=None if predictions is None else read_predictions(predictions),
        settings=EvaluateSettings() if settings is None else settings.evaluate,
        as_they_are=as_they_are,
        jobs=jobs,
    )
    head = {
        "dataset": truths.dataset or str(truths.metadata),
        "split": split,
        "maps": str(maps),
        "val_maps": None if val_maps is None else str(val_maps),
        "as_they_are": as_they_are,
    }
    write_scores(scores, head, out)
    return f"{score_table(scores.numbers)}\n\nAll numbers are in {out}/metrics.json, {out}/*.csv and per_image.parquet."


def _truth(settings: Settings | None, truths: Truths, split: SplitName, metadata: Path | None) -> tuple[Split, Path]:
    if metadata is not None:
        found = split_of_metadata(metadata, split)
        check_masks(truths.masks, found.items, {item.id: found.truth(item.id) for item in found.items})
        return found, truths.masks
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
    return read_split(prepared[0], split), build_dataset(settings, name).image_root(prepared[0])
