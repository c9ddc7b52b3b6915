"""What a grid of photographs and methods shows: from git-tracked results, and from stored runs for other images.

Maps, truth and small photographs of the gallery's candidates are in git. Where the data set is prepared here,
photographs come from it, in full; images that are no candidates need it, and the runs' stored maps.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsolbench.acquire.building import build_dataset
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.dataset import Item, Split
from wsolbench.data.images import read_image
from wsolbench.data.index import INDEX_FILE, read_split
from wsolbench.data.scoremaps import MAPS_FILE, StoredMaps, read_maps, upsample_and_normalise
from wsolbench.data.seeding import image_key
from wsolbench.errors import DataError, SettingsError, WsolbenchError, first_three, nearest
from wsolbench.evaluation.choe2020 import SIDE
from wsolbench.evaluation.image_scores import coded_masks
from wsolbench.evaluation.outlines import Outline, outlines
from wsolbench.evaluation.photographs import Photograph, read_photographs
from wsolbench.evaluation.thumbnails import read_thumbnails
from wsolbench.report.gallery import check_digest
from wsolbench.results.load import Row, TrackResults, remedy
from wsolbench.results.per_image import read_per_image
from wsolbench.runs.run_folder import read_record

__all__ = ["Column", "Guess", "Shown", "grid_content"]

Box = tuple[float, float, float, float]
_CORNERS = ["x0", "y0", "x1", "y1"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shown:
    """A photograph and what is true of it; places are shares of width and height.

    Attributes:
        id: of the image.
        class_name: true class.
        pixels: ``(H, W, 3)`` uint8.
        boxes: true boxes, half-open.
        outlines: of the true masks, where there are no boxes.
    """

    id: str
    class_name: str
    pixels: NDArray[np.uint8]
    boxes: Sequence[Box]
    outlines: Sequence[Outline]


@dataclass(frozen=True)
class Guess:
    """What a run makes of a photograph, at the threshold from ``val`` (the fixed one without).

    Attributes:
        heat: ``(h, w)`` map in [0, 1]; None for what has no maps.
        box: None if it is empty, or masks are predicted.
        outlines: of the predicted mask, where truth has no boxes.
    """

    heat: NDArray[np.float64] | None
    box: Box | None
    outlines: Sequence[Outline]


@dataclass(frozen=True)
class Column:
    """A method's first seed on all photographs of a grid."""

    title: str
    seed: int
    guesses: Sequence[Guess]


def grid_content(
    settings: Settings,
    results: TrackResults,
    methods: Sequence[str],
    root: Path,
    images: Sequence[str],
    count: int,
    seed: int,
) -> tuple[list[Shown], list[Column]]:
    """Return the photographs of a grid and its columns.

    Args:
        settings: name the track's data set.
        results: of the track.
        methods: rows to show, in this order; all methods, without cells and baselines, if empty.
        root: the repository.
        images: ids of test images, in this order; some are chosen of the gallery's candidates if empty.
        count: how many are chosen, spread over the classes.
        seed: another one chooses others.

    Raises:
        SettingsError: an image is not in the test split.
        DataError: results or files are missing or damaged.
    """
    by_method = [next(row for row in results.measured if row.method == name) for name in methods]
    rows = by_method or [row for row in results.measured if row.kind == "method"] or list(results.measured)
    caption, tiles = read_photographs(root, results.track)
    check_digest(results, caption.data_digest, root)
    known = {facts.id: (facts, tile) for facts, tile in zip(caption.photographs, tiles, strict=True)}
    chosen = list(images) or _spread(caption.photographs, count, seed)
    others = [name for name in chosen if name not in known]
    split, image_root = _prepared(settings, results.track, caption.data_digest, root, needed=others)
    items = {} if split is None else {item.id: item for item in split.items}
    if unknown := [name for name in others if name not in items]:
        raise SettingsError(
            f"--images: '{unknown[0]}' is no test image of {results.track}; {nearest(unknown[0], items)}"
        )
    shown = [
        _of_data(split, items[name], image_root)
        if split is not None and image_root is not None and name in items
        else _of_git(*known[name], caption.class_names)
        for name in chosen
    ]
    columns = [_column(results, row, chosen, root, from_git=not others) for row in rows]
    _log.info("grid of %s: %s", results.track, " ".join(f"--images {name}" for name in chosen))
    return shown, columns


def _spread(photographs: Sequence[Photograph], count: int, seed: int) -> list[str]:
    """Return ids by the lowest hash of seed and id, a second one of a class after one of each."""
    drawn: dict[int, int] = {}
    places: list[tuple[int, int, str]] = []
    for facts in sorted(photographs, key=lambda each: image_key(f"{seed}:{each.id}")):
        places.append((drawn.get(facts.label, 0), len(places), facts.id))
        drawn[facts.label] = places[-1][0] + 1
    return [name for _, _, name in sorted(places)[:count]]


def _prepared(
    settings: Settings, track: str, digest: str, root: Path, *, needed: Sequence[str]
) -> tuple[Split | None, Path | None]:
    """Return the test split and the folder of its images, if they are here and those that were measured."""
    prepared = Layout(root).prepared(track)
    try:
        if not (prepared / INDEX_FILE).is_file():
            raise DataError(f"{track} is not prepared here; run `wsolbench prepare {track}`")
        split = read_split(prepared, "test")
        if split.digest != digest:
            raise DataError(f"{prepared} holds other data than the results were measured on; run `make benchmark`")
        folder = build_dataset(settings, settings.tracks[track].dataset).image_root(prepared)
    except WsolbenchError as error:
        if needed:
            raise DataError(f"only the gallery's candidates can be drawn, not {first_three(needed)}: {error}") from None
        _log.warning("photographs are small copies from results/thumbnails: %s", error)
        return None, None
    return split, folder


def _of_git(facts: Photograph, tile: NDArray[np.uint8], class_names: Sequence[str]) -> Shown:
    return Shown(facts.id, class_names[facts.label], tile, facts.boxes, facts.outlines)


def _of_data(split: Split, item: Item, image_root: Path) -> Shown:
    truth = split.truth(item.id)
    size = np.array([item.width, item.height] * 2, np.float64)
    boxes = [(x0, y0, x1, y1) for x0, y0, x1, y1 in (truth.boxes / size).tolist()]
    drawn = [] if boxes else outlines(coded_masks(truth) == 1)
    return Shown(item.id, split.class_names[item.label], read_image(image_root / item.path, item), boxes, drawn)


def _column(results: TrackResults, row: Row, chosen: Sequence[str], root: Path, *, from_git: bool) -> Column:
    run = row.runs[0]
    table = read_per_image(results, row, root, _CORNERS)[0].set_index("id")
    if missing := [name for name in chosen if name not in table.index]:
        path = Layout(root).per_image(results.track, run.key)
        raise DataError(f"{path} lacks image '{missing[0]}'; {remedy(row.kind, run.key)}")
    maps = _maps(results, row, chosen, root, from_git=from_git)
    threshold = run.threshold.fixed if run.threshold.val is None else run.threshold.val
    guesses = []
    for name, raw in zip(chosen, maps, strict=True):
        heat = None if raw is None else upsample_and_normalise(raw, SIDE, SIDE)
        if results.truth == "masks":
            drawn = [] if heat is None or threshold is None else outlines((heat >= threshold) & (heat.max() > 0))
            guesses.append(Guess(heat, None, drawn))
            continue
        x0, y0, x1, y1 = (table.loc[name, _CORNERS].to_numpy(np.float64) / SIDE).tolist()
        guesses.append(Guess(heat, (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None, []))
    return Column(row.title, run.seed, guesses)


def _maps(
    results: TrackResults, row: Row, chosen: Sequence[str], root: Path, *, from_git: bool
) -> list[NDArray[np.float64] | None]:
    """Return the raw maps of a row's first run; None for each where it has no maps."""
    layout, run = Layout(root), row.runs[0]
    path = layout.thumbnails(results.track, run.key)
    small = read_thumbnails(path, remedy(row.kind, run.key))
    if not len(small.ids):
        return [None] * len(chosen)
    if from_git:
        places = {name: place for place, name in enumerate(small.ids.tolist())}
        if missing := [name for name in chosen if name not in places]:
            raise DataError(f"{path} lacks image '{missing[0]}'; {remedy(row.kind, run.key)}")
        return [small.maps[places[name]].astype(np.float64) for name in chosen]
    if row.kind == "baseline":
        raise DataError(f"maps of '{row.method}' are kept for the gallery's candidates only; leave it out by --methods")
    record = read_record(layout, run.key)
    stored = read_maps(layout.run(run.key) / MAPS_FILE, "test", record["files"].get(MAPS_FILE, "none"))
    if not isinstance(stored, StoredMaps):
        raise DataError(f"'{row.method}' has boxes and no maps; leave it out by --methods")
    places = {name: place for place, name in enumerate(stored.ids.tolist())}
    return [stored.maps[places[name]].astype(np.float64) for name in chosen]
