"""Grid for a paper: a row per photograph, a column per method, truth and predictions as lines over them.

Maps, truth and small photographs of the gallery's candidates are in git. Where the data set is prepared here,
photographs come from it, in full; images that are no candidates need it, and the runs' stored maps.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from wsolbench.acquire.building import build_dataset
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.dataset import Item, Split
from wsolbench.data.images import read_image, resize
from wsolbench.data.index import INDEX_FILE, read_split
from wsolbench.data.scoremaps import MAPS_FILE, read_maps, upsample_and_normalise
from wsolbench.data.seeding import image_key
from wsolbench.errors import DataError, SettingsError, WsolbenchError, first_three, nearest
from wsolbench.evaluation.outlines import Outline, outlines
from wsolbench.evaluation.photographs import Photograph, read_photographs
from wsolbench.evaluation.protocols import SIDE
from wsolbench.evaluation.pxap import coded_masks
from wsolbench.evaluation.thumbnails import read_thumbnails
from wsolbench.report.figures.rows import records
from wsolbench.report.figures.style import text_inches, wrapped
from wsolbench.report.gallery import check_digest
from wsolbench.report.palette import PREDICTED_RGB, TRUE_RGB
from wsolbench.results.load import load_per_image, remedy, truth_of
from wsolbench.runs.run_folder import read_record

__all__ = ["GRID_DPI", "Column", "Guess", "Shown", "grid", "grid_content"]

GRID_DPI = 300
"""Dots per inch of photographs at their size in the figure."""

Box = tuple[float, float, float, float]
_CORNERS = ["x0", "y0", "x1", "y1"]
_BLEND = 0.45  # share of the heat map
_GAP = 0.04  # inches between cells
_LEAST_SIDE, _LEAST_SIZE = 0.55, 6.0  # inches of a cell, points of a heading
_EDGE = 0.02  # inches at the right, for the lines of boxes that reach it
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
    guesses: Sequence[Guess]


def grid_content(
    settings: Settings,
    frame: pd.DataFrame,
    runs: pd.DataFrame,
    root: Path,
    methods: Sequence[str],
    images: Sequence[str],
    count: int,
    seed: int,
) -> tuple[list[Shown], list[Column]]:
    """Return the photographs of a grid and its columns, of which each is the first run of a method.

    Args:
        settings: name the track's data set.
        frame: numbers of the track.
        runs: its runs.
        root: the repository.
        methods: to show, in this order; all of them, without variants and baselines, if empty.
        images: ids of test images, in this order; some are chosen of the gallery's candidates if empty.
        count: how many are chosen, spread over the classes.
        seed: another one chooses others.

    Raises:
        SettingsError: an image is not in the test split.
        DataError: results or files are missing or damaged.
    """
    track = str(runs["track"].iloc[0])
    caption, tiles = read_photographs(root, track)
    check_digest(track, dict(zip(runs["key"], runs["data_digest"], strict=True)), caption.data_digest, root)
    known = {facts.id: (facts, tile) for facts, tile in zip(caption.photographs, tiles, strict=True)}
    chosen = list(images) or _spread(caption.photographs, count, seed)
    others = [name for name in chosen if name not in known]
    split, image_root = _prepared(settings, track, caption.data_digest, root, needed=others)
    items = {} if split is None else {item.id: item for item in split.items}
    if unknown := [name for name in others if name not in items]:
        raise SettingsError(f"--images: '{unknown[0]}' is no test image of {track}; {nearest(unknown[0], items)}")
    shown = [
        _of_data(split, items[name], image_root)
        if split is not None and image_root is not None and name in items
        else Shown(
            name,
            caption.class_names[known[name][0].label],
            known[name][1],
            known[name][0].boxes,
            known[name][0].outlines,
        )
        for name in chosen
    ]
    numbers = frame.pivot_table(index=["method", "seed"], columns="metric", values="value", observed=True)
    runs = runs[runs["skipped"].isna()]
    own = runs[(runs["kind"] == "method") & runs["variant_of"].isna()]
    asked = [runs[runs["method"] == method] for method in methods]
    runs = pd.concat(asked) if asked else runs if own.empty else own
    columns = []
    for run in records(runs.drop_duplicates(["method", "recipe"])):
        at = numbers.loc[(run.method, run.seed)]
        threshold = at.get("threshold.val", at.get("threshold.fixed"))
        maps = _maps(run, chosen, root, from_git=not others)
        columns.append(
            Column(run.title, _guesses(run, chosen, maps, threshold, root, masks=truth_of(frame) == "masks"))
        )
    _log.info("grid of %s: %s", track, " ".join(f"--images {name}" for name in chosen))
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


def _of_data(split: Split, item: Item, image_root: Path) -> Shown:
    truth = split.truth(item.id)
    size = np.array([item.width, item.height] * 2, np.float64)
    boxes = [(x0, y0, x1, y1) for x0, y0, x1, y1 in (truth.boxes / size).tolist()]
    drawn = [] if boxes else outlines(coded_masks(truth) == 1)
    return Shown(item.id, split.class_names[item.label], read_image(image_root / item.path, item), boxes, drawn)


def _maps(run: Any, chosen: Sequence[str], root: Path, *, from_git: bool) -> list[NDArray[np.float64] | None]:
    """Return the raw maps of a run; None for each where it has no maps."""
    layout = Layout(root)
    path = layout.thumbnails(run.track, run.key)
    stored: Any = read_thumbnails(path, remedy(run.kind, run.key))
    if not len(stored.ids):
        return [None] * len(chosen)
    if not from_git:
        if run.kind == "baseline":
            raise DataError(
                f"maps of '{run.method}' are kept for the gallery's candidates only; leave it out by --methods"
            )
        path = layout.run(run.key) / MAPS_FILE
        stored = read_maps(path, "test", read_record(layout, run.key)["files"].get(MAPS_FILE, "none"))
    places = {name: place for place, name in enumerate(stored.ids.tolist())}
    _all_here(chosen, places, path, run)
    return [stored.maps[places[name]].astype(np.float64) for name in chosen]


def _all_here(chosen: Sequence[str], there: Any, path: Path, run: Any) -> None:
    if missing := [name for name in chosen if name not in there]:
        raise DataError(f"{path} lacks image '{missing[0]}'; {remedy(run.kind, run.key)}")


def _guesses(
    run: Any, chosen: Sequence[str], maps: Sequence[Any], threshold: float | None, root: Path, *, masks: bool
) -> list[Guess]:
    table = load_per_image(run.track, [run.key], root, _CORNERS).set_index("id")
    _all_here(chosen, table.index, Layout(root).per_image(run.track, run.key), run)
    guesses = []
    for name, raw in zip(chosen, maps, strict=True):
        heat = None if raw is None else upsample_and_normalise(raw, SIDE, SIDE)
        if masks:
            drawn = [] if heat is None or threshold is None else outlines((heat >= threshold) & (heat.max() > 0))
            guesses.append(Guess(heat, None, drawn))
            continue
        x0, y0, x1, y1 = (table.loc[name, _CORNERS].to_numpy(np.float64) / SIDE).tolist()
        guesses.append(Guess(heat, (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None, []))
    return guesses


def grid(shown: Sequence[Shown], columns: Sequence[Column]) -> Figure:
    """Draw photographs with their truth, and each method's heat map and prediction over them.

    Cells keep the photographs' aspects. Methods for which the width has no room stand in a band below.

    Args:
        shown: a row each.
        columns: with as many guesses each.
    """
    width, size = mpl.rcParams["figure.figsize"][0], mpl.rcParams["font.size"]
    titles = ["photograph", *(column.title for column in columns)]
    widest = max(text_inches(word, 1) for title in titles for word in title.split())  # inches a point
    margin = 1.25 * size / 72  # for the names of classes
    room = width - margin - _EDGE + _GAP
    bands = -(-len(titles) // max(int(room / (max(widest * _LEAST_SIZE / 0.93, _LEAST_SIDE) + _GAP)), 1))
    across = -(-len(titles) // bands)
    side = room / across - _GAP
    fitting = 0.93 * side  # for text: small letters are drawn a little wider than measured
    heading_size = min(max(fitting / widest, _LEAST_SIZE), size)
    headings = [wrapped(title, fitting, heading_size) for title in titles]
    above = (max(heading.count("\n") for heading in headings) + 1.5) * 1.25 * heading_size / 72
    heights = [side * each.pixels.shape[0] / each.pixels.shape[1] for each in shown]
    band = above + sum(heights) + _GAP * len(shown)
    height = band * bands + 1.9 * margin
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("none")  # every cell has its place

    def text(x: float, y: float, words: str, **how: Any) -> None:
        figure.text(x / width, y / height, words, ha="center", **how)

    for place, heading in enumerate(headings):
        left, top = margin + place % across * (side + _GAP), height - place // across * band - above
        text(left + side / 2, top + 0.04, heading, va="bottom", size=heading_size, linespacing=1)
        for number, (each, high) in enumerate(zip(shown, heights, strict=True)):
            top -= high + _GAP * (number > 0)
            axis = figure.add_axes((left / width, top / height, side / width, high / height))
            axis.axis("off")
            _draw(axis, each, columns[place - 1].guesses[number] if place else None, (side, high))
            if place % across == 0:
                name = wrapped(each.class_name.replace("_", " "), high, size, 1)
                text(margin * 0.45, top + high / 2, name, rotation=90, va="center")
    what = "box" if any(each.boxes for each in shown) else "mask"
    handles = [Patch(label=f"true {what}", **_line(TRUE_RGB)), Patch(label=f"predicted {what}", **_line(PREDICTED_RGB))]
    middle = ((margin + width) / 2 / width, 0.3 * margin / height)
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=middle, ncols=2, borderaxespad=0, borderpad=0)
    return figure


def _draw(axis: Axes, shown: Shown, guess: Guess | None, inches: tuple[float, float]) -> None:
    pixels = _fitted(shown.pixels, inches)
    if guess is not None and guess.heat is not None:
        heat = cv2.resize(guess.heat, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        coloured = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
        pixels = (pixels * (1 - _BLEND) + coloured * _BLEND).astype(np.uint8)
    # "none" keeps the pixels as they are in PDF and SVG, whatever the resolution at which these are written.
    axis.imshow(pixels, extent=(0, 1, 1, 0), aspect="auto", interpolation="none")
    predicted = guess or Guess(None, None, [])
    for colour, boxes, polygons in (
        (TRUE_RGB, shown.boxes, shown.outlines),
        (PREDICTED_RGB, [predicted.box] if predicted.box else [], predicted.outlines),
    ):
        for x0, y0, x1, y1 in boxes:
            axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, clip_on=False, **_line(colour)))
        for outline in polygons:
            axis.add_patch(Polygon(outline, **_line(colour)))
    axis.set(xlim=(0, 1), ylim=(1, 0))


def _fitted(pixels: NDArray[np.uint8], inches: tuple[float, float]) -> NDArray[np.uint8]:
    """Return a photograph at its size in print, but never enlarged to more than the grid of the protocols."""
    wide, high = (max(round(each * GRID_DPI), 1) for each in inches)
    least = max(wide / max(pixels.shape[1], SIDE), 1)
    return resize(pixels, (max(round(high / least), 1), max(round(wide / least), 1)))


def _line(colour: tuple[int, int, int]) -> dict[str, Any]:
    """Return a thin line in a colour with a dark rim, which is seen on any photograph and on paper."""
    rim = [withStroke(linewidth=1.8, foreground="black")]
    edge = tuple(value / 255 for value in colour)
    return {"facecolor": "none", "edgecolor": edge, "linewidth": 0.9, "path_effects": rim}
