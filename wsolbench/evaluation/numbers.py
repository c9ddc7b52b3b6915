"""From the scores of val and test to the numbers of a run, each protocol by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsolbench.data.dataset import Split
from wsolbench.evaluation.accuracy import IOUS, choose_threshold, classified, localization, percent, v2
from wsolbench.evaluation.choe2020 import true_boxes
from wsolbench.evaluation.image_scores import CHOE2020, PIXEL, Thresholds
from wsolbench.evaluation.mask_numbers import image_columns, pixel_errors, precision_and_recall, px_ap, px_ap_per_class
from wsolbench.evaluation.misses import MISSES, SIZES, kind_of_miss, size_of
from wsolbench.evaluation.rows import Rows
from wsolbench.evaluation.scoring import SplitScores

__all__ = ["CURVES", "Scored", "by_class", "curves", "no_images", "numbers", "per_image"]

Floats = NDArray[np.float64]

_NAMES = ("fixed", "val", "oracle", "published")
_AT = ("fixed", "val", "oracle")
_NO_V2: dict[str, float | None] = dict.fromkeys((*(f"iou{iou}" for iou in IOUS), "mean"))
_FIVE = 5  # guesses of Top-5
_NEAR_PEAK = 0.95
_CURVE_STEP = 0.01  # distance of the thresholds in a stored curve
CURVES = (
    "localization",  # box_acc_iou50, or p_iou of a split without boxes: what every track has
    *(f"{prefix}box_acc_iou{iou}" for prefix in ("", "multi_") for iou in IOUS),
    "val_box_acc_iou50",
    "pixel_box_acc_iou50",
    "p_iou",
    "px_precision",
    "px_recall",
)
"""Columns of a stored curve after ``threshold``."""


@dataclass(frozen=True)
class Scored:
    """What the numbers of a run are made from.

    Attributes:
        test: scores of the test split.
        val: scores of val; None where it is empty.
        split: the test split, with truth.
        labels: ``(N,)`` true classes of the test images.
        top5: ``(N, k)`` guesses at them, best first; ``(N, 0)`` if nothing was classified.
        thresholds: at which both were scored.
        fixed: the threshold that is the same for all.
        published: the one that a source states, or None.
        swept: False for boxes, which have no threshold.
    """

    test: SplitScores
    val: SplitScores | None
    split: Split
    labels: NDArray[np.int64]
    top5: NDArray[np.int64]
    thresholds: Thresholds
    fixed: float
    published: float | None
    swept: bool = True

    @property
    def classes(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None] | None:
        """Which images are right at the first guess and within five; None for what was not classified so far."""
        found = classified(self.top5, self.labels)
        if found is None or self.top5.shape[1] >= min(_FIVE, self.split.num_classes):
            return found
        return found[0], None

    def on_grid(self, values: NDArray[Any]) -> NDArray[Any]:
        """Leave out the thresholds that are not part of the sweep."""
        return values[..., : len(self.thresholds.grid)]

    def accuracy(self, split: SplitScores, name: str, iou: int, *, multi: bool = False) -> Floats:
        """BoxAcc over the sweep, percent."""
        boxes = split.boxes.get(name) or split.normalised[name]
        hits = (boxes.multi if multi else boxes.single)[IOUS.index(iou)]
        return percent(self.on_grid(hits), split.images)

    def places(self, name: str) -> dict[str, int]:
        """Positions of the thresholds of a protocol or normalisation, by how they were chosen; none without boxes."""
        if not self.test.boxes:
            return {}
        chosen = None if self.val is None or not self.val.boxes else self.accuracy(self.val, name, 50)
        return self._places(chosen, self.accuracy(self.test, name, 50))

    def mask_places(self) -> dict[str, int]:
        """The same for masks: the highest mean overlap chooses."""
        if self.test.masks is None:
            return {}
        chosen = None if self.val is None or self.val.masks is None else self.on_grid(self.val.masks.ious)
        return self._places(chosen, self.on_grid(self.test.masks.ious))

    def _places(self, val: Floats | None, test: Floats) -> dict[str, int]:
        places = {"fixed": self.thresholds.position(self.fixed)}
        if self.published is not None:
            places["published"] = self.thresholds.position(self.published)
        if val is not None:
            places["val"] = choose_threshold(val)
        return places | {"oracle": choose_threshold(test)}


def numbers(scored: Scored) -> dict[str, Any]:
    """Return all numbers of a run, percent or None, as ``results/metrics`` has them."""
    first, five = scored.classes or (None, None)
    found: dict[str, Any] = {
        "images": {"val": 0 if scored.val is None else scored.val.images, "test": scored.test.images},
        "cls": {
            "top1": None if first is None else float(first.mean() * 100),
            "top5": None if five is None else float(five.mean() * 100),
        },
    }
    found |= _boxes(scored, CHOE2020)
    if not scored.test.boxes and scored.test.masks is not None:
        found["threshold"] = _values(scored, scored.mask_places())
    found |= {
        "px_ap": px_ap(scored.test.pixels.get(CHOE2020)),
        "px_ap_per_class": px_ap_per_class(scored.test.pixels.get(CHOE2020)),
        **_masks(scored),
        "by_size": _by_size(scored),
        "misses": _misses(scored),
        "pixel_errors": pixel_errors(scored.test.masks, scored.mask_places()),
        "pixel": _boxes(scored, PIXEL),
        "normalisation": _normalisations(scored),
    }
    return found


def per_image(scored: Scored, stored_ids: NDArray[np.str_]) -> pd.DataFrame:
    """Return one row per test image, in the order of the split."""
    count = len(stored_ids)
    first, five = scored.classes or (None, None)
    columns: dict[str, Any] = {
        "id": stored_ids,
        "label": scored.labels,
        "predicted": pd.array([pd.NA] * count, dtype="Int64") if first is None else scored.top5[:, 0],
        "in_top5": pd.array([pd.NA] * count, dtype="boolean") if five is None else five,
    }
    for name, prefix in ((CHOE2020, "iou"), (PIXEL, "iou_pixel")):
        columns |= _columns(scored, name, prefix)
    if scored.test.masks is not None:
        columns |= image_columns(scored.test.masks, scored.mask_places())
    columns["area"] = scored.test.areas
    columns["size"] = size_of(scored.test.areas)
    boxes, kinds = np.zeros((count, 4), np.int64), [""] * count
    if len(scored.test.drawn):
        places = scored.places(CHOE2020) or scored.mask_places()
        boxes = _drawn(scored, places.get("val", places["fixed"]))
    if scored.test.boxes:
        kinds = _kinds(scored, places.get("val", places["fixed"]))
    return pd.DataFrame(
        columns | {"miss": kinds} | {name: boxes[:, k] for k, name in enumerate(("x0", "y0", "x1", "y1"))}
    )


def by_class(rows: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """Return images, accuracy and overlap of each class that occurs.

    Args:
        rows: of :func:`per_image`.
        class_names: by label.

    Returns:
        ``class``, ``name``, ``images``, ``top1``, and per protocol and threshold ``gt_known_*``, ``mean_iou_*`` and,
        with masks, ``mean_mask_iou_*``; percent, NaN where there is nothing to measure.
    """
    right = _share(rows["predicted"] == rows["label"], rows["predicted"])
    shares = pd.DataFrame({"class": rows["label"], "top1": right})
    for name in rows.columns[rows.columns.str.match("iou_|mask_iou_")]:
        if name.startswith("iou_"):
            shares[name.replace("iou", "gt_known", 1)] = _share(rows[name] >= 0.5, rows[name])
        shares[f"mean_{name}"] = rows[name]
    groups = shares.groupby("class", sort=True)
    found = (groups.mean() * 100).reset_index()
    found.insert(1, "name", [class_names[label] for label in found["class"]])
    found.insert(2, "images", groups.size().to_numpy())
    return found


def _share(flags: pd.Series, where: pd.Series) -> pd.Series:
    """Return flags as 0 and 1, NaN where there is nothing to judge."""
    return flags.astype("boolean").fillna(value=False).astype(float).where(where.notna())


def curves(scored: Scored) -> pd.DataFrame:
    """Return accuracies over thresholds, percent; a hundred of them at most."""
    grid = scored.thresholds.grid
    every = max(round(_CURVE_STEP / (grid[1] - grid[0])), 1)
    columns: dict[str, Any] = {"threshold": grid} | {name: np.full(len(grid), np.nan) for name in CURVES}
    if scored.test.boxes:
        for iou in IOUS:
            columns[f"box_acc_iou{iou}"] = scored.accuracy(scored.test, CHOE2020, iou)
            columns[f"multi_box_acc_iou{iou}"] = scored.accuracy(scored.test, CHOE2020, iou, multi=True)
        columns["pixel_box_acc_iou50"] = scored.accuracy(scored.test, PIXEL, 50)
    if scored.val is not None and scored.val.boxes:
        columns["val_box_acc_iou50"] = scored.accuracy(scored.val, CHOE2020, 50)
    if scored.test.masks is not None:
        columns["p_iou"] = scored.on_grid(scored.test.masks.ious) * 100 / scored.test.images
    columns["localization"] = columns["box_acc_iou50" if scored.test.boxes else "p_iou"]
    columns |= precision_and_recall(scored.test.pixels.get(CHOE2020), len(grid))
    return pd.DataFrame(columns).iloc[::every]


def _boxes(scored: Scored, protocol: str) -> dict[str, Any]:
    nothing = dict.fromkeys(_NAMES)
    if not scored.test.boxes:
        return {
            **dict.fromkeys(("threshold", "gt_known", "top1_loc", "top5_loc", "mean_iou"), nothing),
            **dict.fromkeys(("max_box_acc", "regret", "peak_width")),
            **dict.fromkeys(("max_box_acc_v2", "max_box_acc_v2_val"), _NO_V2),
        }
    places, boxes = scored.places(protocol), scored.test.boxes[protocol]
    overlaps = {name: boxes.overlaps.column(place) for name, place in places.items()}
    at = {name: localization(column, scored.classes) for name, column in overlaps.items()}
    oracle = at["oracle"].gt_known
    return {
        "threshold": _values(scored, places),
        "gt_known": nothing | {name: each.gt_known for name, each in at.items()},
        "top1_loc": nothing | {name: each.top1 for name, each in at.items()},
        "top5_loc": nothing | {name: each.top5 for name, each in at.items()},
        "mean_iou": nothing | {name: float(column.mean() * 100) for name, column in overlaps.items()},
        "max_box_acc": oracle,
        "regret": oracle - at["val"].gt_known if "val" in at and scored.swept else None,
        "peak_width": _peak_width(scored, protocol),
        "max_box_acc_v2": _v2(scored, protocol),
        "max_box_acc_v2_val": _v2_at_val(scored, protocol),
    }


def _values(scored: Scored, places: dict[str, int]) -> dict[str, float | None]:
    known = {name: float(scored.thresholds.all[place]) for name, place in places.items()} if scored.swept else {}
    return dict.fromkeys(_NAMES) | known


def _v2(scored: Scored, protocol: str) -> dict[str, float]:
    return v2({iou: scored.accuracy(scored.test, protocol, iou, multi=True) for iou in IOUS})


def _v2_at_val(scored: Scored, protocol: str) -> Mapping[str, float | None]:
    val = scored.val
    if val is None or not val.boxes:
        return _NO_V2
    chosen = {iou: choose_threshold(scored.accuracy(val, protocol, iou, multi=True)) for iou in IOUS}
    return v2({iou: scored.accuracy(scored.test, protocol, iou, multi=True) for iou in IOUS}, chosen)


def _peak_width(scored: Scored, protocol: str) -> float | None:
    """Share of the thresholds at which BoxAcc is at least 95 % of its peak, percent; None if it is always 0."""
    accuracies = scored.accuracy(scored.test, protocol, 50)
    if not scored.swept or accuracies.max() == 0:
        return None
    return float((accuracies >= _NEAR_PEAK * accuracies.max()).mean() * 100)


def _normalisations(scored: Scored) -> dict[str, Any]:
    found = {}
    for name in {**scored.test.normalised, **scored.test.pixels}:
        if name == CHOE2020:
            continue
        block: dict[str, Any] = {"gt_known": dict.fromkeys(_AT), "max_box_acc": None, "max_box_acc_v2": None}
        if scored.test.boxes:
            places = scored.places(name)
            hits = percent(scored.test.normalised[name].single[IOUS.index(50)], scored.test.images)
            block["gt_known"] |= {at: float(hits[places[at]]) for at in _AT if at in places}
            block["max_box_acc"] = block["gt_known"]["oracle"]
            block["max_box_acc_v2"] = _v2(scored, name)["mean"]
        found[name] = block | {"px_ap": px_ap(scored.test.pixels.get(name))}
    return found


def _masks(scored: Scored) -> dict[str, Any]:
    masks = scored.test.masks
    nothing = dict.fromkeys(_AT)
    if masks is None:
        return {"p_iou": nothing, "p_iou_pooled": nothing, "p_iou_threshold": nothing}
    places = {name: place for name, place in scored.mask_places().items() if name in _AT}
    pooled = masks.pooled[:, 0] / np.maximum(masks.pooled.sum(1), 1)
    return {
        "p_iou": nothing
        | {name: float(masks.ious[place] * 100 / scored.test.images) for name, place in places.items()},
        "p_iou_pooled": nothing | {name: float(pooled[place] * 100) for name, place in places.items()},
        "p_iou_threshold": {name: value for name, value in _values(scored, places).items() if name in _AT},
    }


def _by_size(scored: Scored) -> dict[str, Any]:
    sizes = size_of(scored.test.areas)
    found = {}
    places, mask_places = scored.places(CHOE2020), scored.mask_places()
    for size in SIZES:
        chosen = sizes == size
        known: dict[str, float | None] = dict.fromkeys(_AT)
        pixels = known.copy()
        for name in _AT if chosen.any() else ():
            if name in places:
                known[name] = float((_overlaps(scored, places[name])[chosen] >= 0.5).mean() * 100)
            if scored.test.masks is not None and name in mask_places:
                shares = scored.test.masks.shares(mask_places[name])
                pixels[name] = float(shares[chosen, 0].mean() * 100)
        found[size] = {"images": int(chosen.sum()), "gt_known": known, "p_iou": pixels}
    return found


def _misses(scored: Scored) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(_AT)
    places = scored.places(CHOE2020)
    for name in _AT:
        if name in places:
            kinds = _kinds(scored, places[name])
            found[name] = {kind: 100 * kinds.count(kind) / len(kinds) for kind in MISSES}
    return found


def _kinds(scored: Scored, place: int) -> list[str]:
    kinds = []
    for box, item in zip(_drawn(scored, place), scored.split.items, strict=True):
        kinds.append(kind_of_miss(box, true_boxes(scored.split.truth(item.id), item)))
    return kinds


def _columns(scored: Scored, protocol: str, prefix: str) -> dict[str, Floats]:
    missing = np.full(scored.test.images, np.nan)
    if not scored.test.boxes:
        return {f"{prefix}_{name}": missing for name in _AT}
    places, boxes = scored.places(protocol), scored.test.boxes[protocol]
    return {f"{prefix}_{name}": boxes.overlaps.column(places[name]) if name in places else missing for name in _AT}


def _overlaps(scored: Scored, place: int) -> Floats:
    return scored.test.boxes[CHOE2020].overlaps.column(place)


def _drawn(scored: Scored, place: int) -> NDArray[np.int64]:
    return scored.test.drawn.column(place).astype(np.int64)


def no_images() -> pd.DataFrame:
    """Return the table of :func:`per_image` for a run that was skipped: its columns without masks, and no row."""
    nothing = SplitScores(0, {}, {}, Rows((1, 4), np.int16), {}, None, np.zeros(0))
    labels, top5 = np.zeros(0, np.int64), np.zeros((0, 0), np.int64)
    split = Split("test", [], [], "")
    scored = Scored(nothing, None, split, labels, top5, Thresholds(np.zeros(1), (0.0,)), 0.0, None)
    return per_image(scored, np.zeros(0, np.str_))
