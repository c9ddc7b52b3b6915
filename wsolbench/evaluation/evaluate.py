"""From maps or boxes, a run's or a stranger's, to all numbers; and the evaluate stage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsolbench.config.paths import Layout
from wsolbench.config.settings import EvaluateSettings, Settings
from wsolbench.data.dataset import Split
from wsolbench.data.index import read_split
from wsolbench.data.scoremaps import MAPS_FILE, Stored, StoredMaps, read_maps
from wsolbench.errors import DataError
from wsolbench.evaluation.numbers import Scored, numbers
from wsolbench.evaluation.protocols import CHOE2020
from wsolbench.evaluation.scoring import Answer, Rules, score_split
from wsolbench.evaluation.tables import CURVES, curves, no_images, per_image, per_image_bytes
from wsolbench.evaluation.thumbnails import encode_thumbnails
from wsolbench.files import write_bytes, write_text
from wsolbench.results.metrics import PROTOCOL_VERSION
from wsolbench.results.schema import checked_metrics
from wsolbench.runs.run_folder import read_record

__all__ = ["Answers", "Evaluation", "evaluate_key", "evaluate_stored", "score_answers", "write_evaluation"]

_HEADLINE = {
    "top1_cls": ("cls", "top1"),
    "gt_known_val": ("gt_known", "val"),
    "max_box_acc": ("max_box_acc",),
    "max_box_acc_v2": ("max_box_acc_v2", "mean"),
    "px_ap": ("px_ap",),
    "p_iou_val": ("p_iou", "val"),
}


@dataclass(frozen=True)
class Answers:
    """What was said of the images of a split.

    Attributes:
        split: with truth.
        found: one map or box per image, in the order of the split.
        top5: ``(N, k)`` guessed classes, best first; ``(N, 0)`` if nothing was classified.
    """

    split: Split
    found: Sequence[Answer]
    top5: NDArray[np.int64]

    @classmethod
    def stored(cls, stored: Stored, split: Split) -> Answers:
        """Return what a run stored."""
        return cls(split, list(stored.answers), stored.top5)


def score_answers(test: Answers, val: Answers | None, rules: Rules, jobs: int | None) -> Scored:
    """Score maps or boxes, whosever they are: every number comes from here.

    Args:
        test: of the split to report.
        val: of the split on which thresholds are chosen; without it, or where it is empty, what it chooses is None.
        rules: thresholds and normalisations.
        jobs: parallel processes; None takes one per core.

    Raises:
        DataError: a map or a mask cannot be used; the message names the image or the file.
    """
    jobs = jobs or int(joblib.cpu_count())
    swept = not any(isinstance(each, np.ndarray) and each.ndim == 1 for each in test.found)
    rules = rules if swept else replace(rules, normalisations=())
    scores = [
        None if each is None or not len(each.split) else score_split(each.found, each.split, rules, jobs)
        for each in (val, test)
    ]
    of_test = scores[1] or score_split([], test.split, rules, 1)
    return Scored(of_test, scores[0], test.split, test.top5, rules, swept)


@dataclass(frozen=True)
class Evaluation:
    """All results of a run.

    Attributes:
        metrics: what goes to ``results/metrics``; deterministic values only.
        per_image: one row per test image.
        curves: accuracies over thresholds, percent.
        thumbnails: maps of the gallery's candidate images, ``.npz``.
    """

    metrics: dict[str, Any]
    per_image: pd.DataFrame
    curves: pd.DataFrame
    thumbnails: bytes


def evaluate_key(settings: Settings, key: str, layout: Layout, jobs: int | None) -> None:
    """Evaluate a trained run and write its results.

    Raises:
        DataError: maps and index do not belong together, a map is not finite, or a file is missing or damaged; the
            message names the file, and the image.
    """
    run = settings.resolve(key)
    record = read_record(layout, key)
    if "reason" in record:
        write_skipped(record, layout)
        return
    prepared = layout.prepared(run.track_name)
    maps_file = layout.run(key) / MAPS_FILE
    stored, splits = {}, {}
    for name in ("val", "test"):
        stored[name] = read_maps(maps_file, name, record["files"].get(MAPS_FILE, "none"))
        splits[name] = read_split(prepared, name)
        _check_ids(stored[name], splits[name], maps_file)
        _check_finite(stored[name], maps_file)
    if record.get("index_digest", splits["test"].digest) != splits["test"].digest:
        raise DataError(f"{maps_file} was made of other images, labels or splits than {prepared}; train the run again")
    published = settings.evaluate.published_threshold.get(run.component, {}).get(run.track_name)
    evaluation = evaluate_stored(record, stored, splits, settings.evaluate, published, jobs)
    write_evaluation(evaluation, layout, run.track_name, key)


def evaluate_stored(
    record: Mapping[str, Any],
    stored: Mapping[str, Stored],
    splits: Mapping[str, Split],
    settings: EvaluateSettings,
    published: float | None,
    jobs: int | None,
) -> Evaluation:
    """Compute all results of a run from its maps or boxes.

    Args:
        record: contents of ``run.yaml``.
        stored: maps of ``val`` and ``test``, in the order of ``splits``; or boxes, whose threshold is null.
        splits: the same splits with truth; ``val`` may be empty, and what needs it is then null.
        settings: thresholds and gallery.
        published: threshold that a source states for this method and track, or None.
        jobs: parallel processes; None takes one per core.
    """
    val, test = (Answers.stored(stored[name], splits[name]) for name in ("val", "test"))
    scored = score_answers(test, val, Rules.of(settings, published), jobs)
    thumbnails = encode_thumbnails(stored["test"], settings.gallery)
    metrics = _head(record) | _used(splits) | numbers(scored)
    return Evaluation(metrics, per_image(scored), curves(scored), thumbnails)


def write_evaluation(evaluation: Evaluation, layout: Layout, track: str, key: str) -> None:
    """Write the five files of an evaluation, each atomically."""
    write_text(layout.metrics(track, key), checked_metrics(evaluation.metrics).text())
    write_text(layout.headline(track, key), json.dumps(_headline(evaluation.metrics), indent=2) + "\n")
    write_bytes(layout.per_image(track, key), per_image_bytes(evaluation.per_image))
    write_bytes(layout.curves(track, key), evaluation.curves.to_csv(index=False, lineterminator="\n").encode())
    write_bytes(layout.thumbnails(track, key), evaluation.thumbnails)


def _headline(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers that a run is summed up by, without those that are not defined: few enough for one table."""
    found = {name: _place(metrics, *places) for name, places in _HEADLINE.items()}
    return {name: value for name, value in found.items() if value is not None}


def _place(metrics: Any, *places: str) -> Any:
    return reduce(lambda block, place: (block or {}).get(place), places, metrics)


def _used(splits: Mapping[str, Split]) -> dict[str, Any]:
    """Return which data were evaluated, and how much truth chose thresholds (and selected, where a track does)."""
    val = splits["val"]
    truths = [val.truth(item.id) for item in val.items]
    return {
        "data_digest": splits["test"].digest,
        "truth_digest": splits["test"].truth_digest,
        "val_truth": val.val_truth,
        "boxes_used": {"val": sum(len(truth.boxes) for truth in truths)},
        "masks_used": {"val": sum(len(truth.masks) for truth in truths)},
    }


def _head(record: Mapping[str, Any]) -> dict[str, Any]:
    track, method, variant = record["track"], record["method"], "variant_of" in record["method"]
    return {
        "status": "skipped" if "reason" in record else "ok",
        "key": record["key"],
        "track": track["name"],
        "dataset": track["dataset"],
        "backbone": track["backbone"],
        "method": method["name"],
        "title": f"{method['title']}, {method['variant_title']}" if variant else method["title"],
        "method_status": method["status"],
        "recipe": method["recipe"],
        "seed": record["seed"],
        "weights": record.get("weights"),
        "selection": track.get("selection", "last"),
        "protocol": CHOE2020.name,
        "protocol_version": PROTOCOL_VERSION,
        **{name: method[name] for name in ("class_agnostic", "exempt") if method.get(name)},
        **({"training": record["training"]} if "training" in record else {}),
        **({"variant_of": method["variant_of"]} if variant else {}),
        **({"reads": method["reads"]} if "reads" in method else {}),
    }


def write_skipped(record: Mapping[str, Any], layout: Layout) -> None:
    """Write the five files of a run that was skipped, for the ``reason`` in its record."""
    floats, integers = np.zeros((0, 0), np.float32), np.zeros((0, 0), np.int64)
    empty = StoredMaps(np.zeros(0, np.str_), np.zeros(0, np.int64), floats[None, :0], integers, floats)
    metrics, curve = _head(record) | {"reason": record["reason"]}, pd.DataFrame(columns=["threshold", *CURVES])
    nothing = Evaluation(metrics, no_images(), curve, encode_thumbnails(empty, 0))
    write_evaluation(nothing, layout, metrics["track"], metrics["key"])


def _check_finite(stored: Stored, maps_file: Path) -> None:
    finite = np.isfinite(stored.answers).all(tuple(range(1, stored.answers.ndim)))
    if not finite.all():
        what, image = "map" if isinstance(stored, StoredMaps) else "box", stored.ids[int(np.argmin(finite))]
        raise DataError(f"{maps_file}: the {what} of image '{image}' is not finite; train the run again")


def _check_ids(stored: Stored, split: Split, maps_file: Path) -> None:
    wanted = [item.id for item in split.items]
    found = stored.ids.tolist()
    if len(wanted) != len(found):
        raise DataError(
            f"{maps_file}: {len(found)} maps of split '{split.name}', the index has {len(wanted)} images; "
            "train the run again"
        )
    for position, (have, want) in enumerate(zip(found, wanted, strict=True)):
        if have != want:
            raise DataError(
                f"{maps_file}: map {position} of split '{split.name}' is of image '{have}', the index has '{want}' "
                "there; train the run again"
            )
