"""Grid for a paper: a row per photograph, a column per method, truth and predictions as lines over them.

Maps, truth and small photographs of the gallery's candidates are in git. Where the data set is prepared here,
photographs come from it, in full; images that are no candidates need it, and the runs' stored maps.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from wsolbench.acquire.building import build_dataset
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.images import read_image, resize
from wsolbench.data.index import INDEX_FILE, read_split
from wsolbench.data.scoremaps import MAPS_FILE, read_maps, upsample_and_normalise
from wsolbench.data.seeding import image_key
from wsolbench.errors import DataError, SettingsError, WsolbenchError, first_three, nearest
from wsolbench.evaluation.photographs import Outline, Photograph, outlines, read_photographs
from wsolbench.evaluation.protocols import SIDE
from wsolbench.evaluation.pxap import coded_masks
from wsolbench.evaluation.thumbnails import read_thumbnails
from wsolbench.report.figures.style import TALLEST, text_inches, wrapped
from wsolbench.report.gallery import check_digest
from wsolbench.report.palette import PREDICTED_RGB, TRUE_RGB
from wsolbench.report.track import records
from wsolbench.results.load import load_per_image, remedy, truth_of
from wsolbench.runs.run_folder import read_record

__all__ = ["GRID_DPI", "Column", "Shown", "grid", "grid_content"]

GRID_DPI = 300
"""Dots per inch of photographs at their size in the figure."""

_CORNERS = ["x0", "y0", "x1", "y1"]
_BLEND = 0.45  # share of the heat map
_GAP = 0.04  # inches between cells
_LEAST_SIDE, _LEAST_SIZE = 0.55, 6.0  # inches of a cell, points of a heading
_EDGE = 0.02  # inches at the right, for the lines of boxes that reach it
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shown:
    """A photograph, ``(H, W, 3)`` uint8, and the outlines of its true boxes or masks, as shares of width and height."""

    id: str
    class_name: str
    pixels: NDArray[np.uint8]
    truth: Sequence[Outline]


@dataclass(frozen=True)
class Column:
    """What a method's first run makes of the photographs of a grid.

    Attributes:
        title: of the method.
        heats: a map in [0, 1] for each photograph; None for what has no maps.
        predicted: outlines of the box or mask at the threshold from ``val`` (the fixed one without), for each.
    """

    title: str
    heats: Sequence[NDArray[np.float64] | None]
    predicted: Sequence[Sequence[Outline]]


def grid_content(
    settings: Settings,
    frame: pd.DataFrame,
    runs: pd.DataFrame,
    root: Path,
    methods: Sequence[str],
    images: Sequence[str],
    count: int,
    seed: int,
    *,
    stored_only: bool = False,
) -> tuple[list[Shown], list[Column]]:
    """Return the photographs of a grid and its columns.

    Args:
        settings: name the track's data set.
        frame: numbers of the track.
        runs: its runs.
        root: the repository.
        methods: to show, in this order; all of them, without variants and baselines, if empty.
        images: ids of test images, in this order; some are chosen of the gallery's candidates if empty.
        count: how many are chosen, spread over the classes.
        seed: another one chooses others.
        stored_only: take the small photographs that git tracks, also where the data set is prepared here.

    Raises:
        SettingsError: an image is not in the test split.
        DataError: results or files are missing or damaged.
    """
    track = str(runs["track"].iloc[0])
    caption, tiles = read_photographs(root, track)
    check_digest(track, dict(zip(runs["key"], runs["data_digest"], strict=True)), caption.data_digest, root)
    chosen = list(images) or _spread(caption.photographs, count, seed)
    small = {
        facts.id: Shown(facts.id, caption.class_names[facts.label], tile, [*map(_box, facts.boxes), *facts.outlines])
        for facts, tile in zip(caption.photographs, tiles, strict=True)
    }
    others = [name for name in chosen if name not in small]
    full = {} if stored_only else _from_data(settings, track, caption.data_digest, root, chosen, needed=others)
    runs = runs[runs["skipped"].isna()]
    own = runs[(runs["kind"] == "method") & runs["variant_of"].isna()]
    asked = [runs[runs["method"] == method] for method in methods]
    rows = pd.concat(asked) if asked else runs if own.empty else own
    numbers = frame.pivot_table(index="key", columns="metric", values="value", observed=True)
    columns = []
    for run in records(rows.drop_duplicates(["method", "recipe"])):
        heats = _heats(run, chosen, root, from_git=not others)
        at = numbers.loc[run.key].dropna()
        threshold = at.get("threshold.val", at.get("threshold.fixed", 0.0))
        predicted = _masks(heats, threshold) if truth_of(frame) == "masks" else _boxes(run, chosen, root)
        columns.append(Column(run.title, heats, predicted))
    _log.info("grid of %s: %s", track, " ".join(f"--images {name}" for name in chosen))
    return [(small | full)[name] for name in chosen], columns


def _box(corners: Sequence[float]) -> Outline:
    x0, y0, x1, y1 = corners
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _spread(photographs: Sequence[Photograph], count: int, seed: int) -> list[str]:
    """Return ids by the lowest hash of seed and id, a second one of a class after one of each."""
    drawn: Counter[int] = Counter()
    places: list[tuple[int, int, str]] = []
    for facts in sorted(photographs, key=lambda each: image_key(f"{seed}:{each.id}")):
        places.append((drawn[facts.label], len(places), facts.id))
        drawn[facts.label] += 1
    return [name for _, _, name in sorted(places)[:count]]


def _from_data(
    settings: Settings, track: str, digest: str, root: Path, chosen: Sequence[str], *, needed: Sequence[str]
) -> dict[str, Shown]:
    """Return photographs as they are in the data set, if it is here and the one that was measured, else none."""
    prepared = Layout(root).prepared(track)
    try:
        if not (prepared / INDEX_FILE).is_file():
            raise DataError(f"{track} is not prepared here; run `wsolbench prepare {track}`")
        split = read_split(prepared, "test")
        if split.digest != digest:
            raise DataError(f"{prepared} holds other data than the results were measured on; run `wsolbench launch`")
        folder = build_dataset(settings, settings.tracks[track].dataset).image_root(prepared)
    except WsolbenchError as error:
        if needed:
            raise DataError(f"only the gallery's candidates can be drawn, not {first_three(needed)}: {error}") from None
        _log.warning("photographs are small copies from results/thumbnails: %s", error)
        return {}
    items = {item.id: item for item in split.items}
    if unknown := [name for name in chosen if name not in items]:
        raise SettingsError(f"--images: '{unknown[0]}' is no test image of {track}; {nearest(unknown[0], items)}")
    found = {}
    for item in (items[name] for name in chosen):
        truth = split.truth(item.id)
        boxes = (truth.boxes / np.array([item.width, item.height] * 2, np.float64)).tolist()
        drawn = list(map(_box, boxes)) or outlines(coded_masks(truth) == 1)
        pixels = read_image(folder / item.path, item)
        found[item.id] = Shown(item.id, split.class_names[item.label], pixels, drawn)
    return found


def _heats(run: Any, chosen: Sequence[str], root: Path, *, from_git: bool) -> list[NDArray[np.float64] | None]:
    """Return the maps of a run; None for each where it has no maps."""
    layout = Layout(root)
    path = layout.thumbnails(run.track, run.key)
    stored: Any = read_thumbnails(path, remedy(run.kind, run.key))
    if not len(stored.ids):
        return [None] * len(chosen)
    if not from_git and run.kind == "baseline":
        raise DataError(f"maps of '{run.method}' are kept for the gallery's candidates only; leave it out by --methods")
    if not from_git:
        path = layout.run(run.key) / MAPS_FILE
        stored = read_maps(path, "test", read_record(layout, run.key)["files"].get(MAPS_FILE, "none"))
    maps = dict(zip(stored.ids.tolist(), stored.maps, strict=True))
    _check_all(chosen, maps, path, run)
    return [upsample_and_normalise(maps[name].astype(np.float64), SIDE, SIDE) for name in chosen]


def _check_all(chosen: Sequence[str], there: Container[str], path: Path, run: Any) -> None:
    if missing := [name for name in chosen if name not in there]:
        raise DataError(f"{path} lacks image '{missing[0]}'; {remedy(run.kind, run.key)}")


def _masks(heats: Sequence[NDArray[np.float64] | None], threshold: float) -> list[Sequence[Outline]]:
    return [[] if heat is None else outlines((heat >= threshold) & (heat.max() > 0)) for heat in heats]


def _boxes(run: Any, chosen: Sequence[str], root: Path) -> list[Sequence[Outline]]:
    table = load_per_image(run.track, [run.key], root, _CORNERS).set_index("id")
    _check_all(chosen, table.index, Layout(root).per_image(run.track, run.key), run)
    boxes = (table.loc[list(chosen), _CORNERS].to_numpy(np.float64) / SIDE).tolist()
    return [[_box(corners)] if corners[0] < corners[2] and corners[1] < corners[3] else [] for corners in boxes]


def grid(shown: Sequence[Shown], columns: Sequence[Column], what: str) -> Figure:
    """Draw photographs with their truth, and each method's heat map and prediction over them.

    Cells keep the photographs' aspects. Methods for which the width has no room stand in a band below; cells become
    smaller, as far as they can be read, where all bands would be taller than a page.
    """
    width, size = mpl.rcParams["figure.figsize"][0], mpl.rcParams["font.size"]
    titles = ["photograph", *(column.title for column in columns)]
    widest = max(text_inches(word, 1) for title in titles for word in title.split()) / 0.93  # small print is wider
    margin = 1.25 * size / 72  # for the names of classes
    room = width - margin - _EDGE + _GAP
    bands = -(-len(titles) // max(int(room / (max(widest * _LEAST_SIZE, _LEAST_SIDE) + _GAP)), 1))
    across = -(-len(titles) // bands)
    pitch = room / across - _GAP
    heading_size = min(max(pitch / widest, _LEAST_SIZE), size)
    headings = [wrapped(title, 0.93 * pitch, heading_size) for title in titles]
    above = (max(heading.count("\n") for heading in headings) + 1.5) * 1.25 * heading_size / 72
    aspects = sum(each.pixels.shape[0] / each.pixels.shape[1] for each in shown)
    fitting = ((TALLEST - 1.9 * margin) / bands - above - _GAP * len(shown)) / aspects
    side = min(pitch, max(fitting, _LEAST_SIDE))
    heights = [side * each.pixels.shape[0] / each.pixels.shape[1] for each in shown]
    band = above + sum(heights) + _GAP * len(shown)
    height = band * bands + 1.9 * margin
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("none")  # every cell has its place

    def text(x: float, y: float, words: str, **how: Any) -> None:
        figure.text(x / width, y / height, words, ha="center", **how)

    for place, heading in enumerate(headings):
        left, top = margin + place % across * (pitch + _GAP), height - place // across * band - above
        text(left + side / 2, top + 0.04, heading, va="bottom", size=heading_size, linespacing=1)
        for number, (each, high) in enumerate(zip(shown, heights, strict=True)):
            top -= high + _GAP * (number > 0)
            axis = figure.add_axes((left / width, top / height, side / width, high / height))
            heat, predicted = (
                (columns[place - 1].heats[number], columns[place - 1].predicted[number]) if place else (None, ())
            )
            # "none" keeps the pixels as they are in PDF and SVG, whatever the resolution at which these are written.
            pixels = _blended(_fitted(each.pixels, side, high), heat)
            axis.imshow(pixels, extent=(0, 1, 1, 0), aspect="auto", interpolation="none")
            for outline, colour in [
                *((one, TRUE_RGB) for one in each.truth),
                *((one, PREDICTED_RGB) for one in predicted),
            ]:
                axis.add_patch(Polygon(outline, clip_on=False, **_line(colour)))
            axis.set(xlim=(0, 1), ylim=(1, 0))
            axis.axis("off")
            if place % across == 0:
                name = wrapped(each.class_name.replace("_", " "), high, size, 1)
                text(margin * 0.45, top + high / 2, name, rotation=90, va="center")
    keys = [Patch(label=f"true {what}", **_line(TRUE_RGB)), Patch(label=f"predicted {what}", **_line(PREDICTED_RGB))]
    middle = ((margin + width) / 2 / width, 0.3 * margin / height)
    figure.legend(handles=keys, loc="lower center", bbox_to_anchor=middle, ncols=2, borderaxespad=0, borderpad=0)
    return figure


def _fitted(pixels: NDArray[np.uint8], wide: float, high: float) -> NDArray[np.uint8]:
    """Return a photograph at its size in print, but never enlarged to more than the grid of the protocols."""
    scale = GRID_DPI / max(wide * GRID_DPI / max(pixels.shape[1], SIDE), 1)
    return resize(pixels, (max(round(high * scale), 1), max(round(wide * scale), 1)))


def _blended(pixels: NDArray[np.uint8], heat: NDArray[np.float64] | None) -> NDArray[np.uint8]:
    if heat is None:
        return pixels
    large = cv2.resize(heat, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    coloured = cv2.applyColorMap((large * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    return (pixels * (1 - _BLEND) + coloured * _BLEND).astype(np.uint8)


def _line(colour: tuple[int, int, int]) -> dict[str, Any]:
    """Return a thin line in a colour with a dark rim, which is seen on any photograph and on paper."""
    rim = [withStroke(linewidth=1.8, foreground="black")]
    edge = tuple(value / 255 for value in colour)
    return {"facecolor": "none", "edgecolor": edge, "linewidth": 0.9, "path_effects": rim}
