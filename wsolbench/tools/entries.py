"""``wsolbench score --entry``: maps that were not trained here, as a row of a track's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.dataset import Split
from wsolbench.data.index import INDEX_FILE, read_split
from wsolbench.errors import DataError, SettingsError, nearest
from wsolbench.evaluation.external_maps import Scores
from wsolbench.evaluation.map_files import check_maps
from wsolbench.evaluation.protocols import CHOE2020
from wsolbench.evaluation.score_table import score_table
from wsolbench.evaluation.scoring import Rules
from wsolbench.files import parquet_bytes, write_bytes, write_text
from wsolbench.results.entries import ABOUT, METRICS_FILE, PER_IMAGE_FILE, check_name, entry_folder, read_entry
from wsolbench.results.metrics import PROTOCOL_VERSION
from wsolbench.results.schema import checked_metrics
from wsolbench.tools.score import Folder, task_of

__all__ = ["score_entry"]

_TEMPLATE = """\
# What the tables say of these results, which were not trained here. Every line is needed, in words for people.
title:        # name in tables: PSOL
reference:    # authors, title, venue and year
licence:      # of code and weights; none, if there is none
network:      # that makes the maps: ResNet50 for boxes, EfficientNet-B7 for classes
pretraining:  # data and weights that its training began with: ImageNet, supervised
epoch:        # what chose the epoch: the last one; the best Top-1 on val; the best boxes of the test split
threshold:    # what chose the threshold that its authors report: boxes of val; boxes of the test split; none
code:         # address
class_agnostic: false  # true where maps are the same whatever class is asked for
"""


def score_entry(
    settings: Settings,
    track: str,
    folder: Folder,
    root: Path,
    jobs: int | None,
    *,
    maps_of: Literal["label", "predicted"] = "label",
    as_they_are: bool = False,
) -> str:
    """Score the maps of an entry on a prepared track, write them to ``entries/<name>/<track>``, and return a table.

    Where the entry says nothing of itself yet, a template to fill in is written, too.

    Raises:
        SettingsError: the track does not exist, or the name is a method's.
        DataError: maps, predictions or truth do not fit each other, or the entry's file is wrong; the message names it.
    """
    check_name(settings, folder.name)
    if track not in settings.tracks:
        raise SettingsError(f"--track: params.yaml has no '{track}'; {nearest(track, settings.tracks)}")
    about, prepared = entry_folder(root, folder.name) / ABOUT, Layout(root).prepared(track)
    if about.exists():
        read_entry(root, folder.name)
    if not (prepared / INDEX_FILE).is_file():
        raise DataError(f"track '{track}' is not prepared; run `wsolbench prepare {track}` first")
    test, val = read_split(prepared, "test"), None if folder.val_maps is None else read_split(prepared, "val")
    task = task_of(folder, test, val, maps_of, Rules.of(settings.evaluate, as_they_are=as_they_are))
    check_maps(task.files)
    scores = task.results(task.score(jobs))
    _write(scores, _head(settings, track, folder.name, test, val), entry_folder(root, folder.name) / track)
    following = "run `wsolbench report`, or `wsolbench launch`"
    if not about.exists():
        write_text(about, _TEMPLATE)
        following = f"fill in {about}; then {following}"
    return f"{score_table(scores.numbers)}\n\nAll numbers are in {about.parent / track}. Next: {following}."


def _head(settings: Settings, track: str, name: str, test: Split, val: Split | None) -> dict[str, Any]:
    truths = [] if val is None else [val.truth(item.id) for item in val.items]
    return {
        "status": "ok",
        "key": f"{track}-{name}-0",
        "track": track,
        "dataset": settings.tracks[track].dataset,
        "method": name,
        "title": name,
        "method_status": "not trained here",
        "recipe": "theirs",
        "seed": 0,
        "weights": None,
        "selection": None,
        "protocol": CHOE2020.name,
        "protocol_version": PROTOCOL_VERSION,
        "truth_digest": test.truth_digest,
        "val_truth": test.val_truth if val is None else val.val_truth,
        "boxes_used": {"val": sum(len(truth.boxes) for truth in truths)},
        "masks_used": {"val": sum(len(truth.masks) for truth in truths)},
    }


def _write(scores: Scores, head: dict[str, Any], folder: Path) -> None:
    write_bytes(folder / PER_IMAGE_FILE, parquet_bytes(scores.per_image))
    write_text(folder / METRICS_FILE, checked_metrics(head | scores.numbers).text())
