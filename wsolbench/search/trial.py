"""One trial: train with its values in a scratch place, predict ``val``, judge."""

from __future__ import annotations

import joblib
import torch

from wsolbench.config.paths import Layout
from wsolbench.config.settings import Run
from wsolbench.data.dataset import Split
from wsolbench.data.index import read_split
from wsolbench.data.scoremaps import MAPS_FILE, Stored, read_maps
from wsolbench.errors import DataError, DivergedError, FailedTrialError, SettingsError, WsolbenchError
from wsolbench.evaluation.accuracy import IOUS, classified, max_box_acc_v2, percent
from wsolbench.evaluation.numbers import mask_ious
from wsolbench.evaluation.protocols import CHOE2020, threshold_grid
from wsolbench.evaluation.pxap import curve
from wsolbench.evaluation.scoring import Rules, score_split
from wsolbench.models.pretrained import read_placed
from wsolbench.runs.run_folder import read_record
from wsolbench.search.plan import Plan
from wsolbench.search.record import Objective
from wsolbench.training.building import build_method
from wsolbench.training.trainer import train

__all__ = ["run_trial", "score_of"]

_OF_THE_METHOD = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_LONGEST = 300  # characters of a reason


def run_trial(plan: Plan, number: int) -> float:
    """Train and judge a trial, from its start or where a killed process saved its state; return percent of ``val``.

    Its scratch directory is below that of the plan, and the data in it have no ``test`` (see
    :func:`wsolbench.search.plan.place_data`).

    Raises:
        FailedTrialError: the training diverged, or the method cannot be built or trained with these values.
        DataError: data are missing or damaged.
        SettingsError: the device is not there.
        TrainingError: memory ran out, which says nothing about the values.
        InterruptedTrainingError: SIGINT or SIGTERM came; the state is saved.
    """
    run, place = plan.trial(number), Layout(plan.scratch / str(number))
    place.root.mkdir(parents=True, exist_ok=True)
    data = place.root / "data"
    if not data.is_symlink():
        data.symlink_to((plan.scratch / "data").resolve())
    maps_file = place.run(run.key) / MAPS_FILE
    if not maps_file.is_file():  # else it was trained, and the process died while it was judged
        _train(plan, run, place)
    prepared = place.prepared(run.track_name)
    digest = read_record(place, run.key)["files"].get(MAPS_FILE, "none")
    maps, val = read_maps(maps_file, "val", digest), read_split(prepared, "val")
    made = plan.definition
    return score_of(made.objective, maps, val, made.threshold_step, int(joblib.cpu_count()))


def score_of(objective: Objective, stored: Stored, val: Split, threshold_step: float, jobs: int) -> float:
    """Return the objective of a trial's maps, percent.

    ``max_box_acc_v2``: mean over IoU 0.3, 0.5 and 0.7 of the best BoxAcc over thresholds, any component's box counts
    (Choe et al., 2020, V2). ``px_ap``: area under precision and recall of pixels. ``p_iou``: mean overlap with the mask
    at the best threshold. ``top1_cls``: accuracy, which does not look at the truth of ``val``.

    Raises:
        DataError: the maps are not those of ``val``, or a map or mask cannot be scored; the image is named.
    """
    if stored.ids.tolist() != [item.id for item in val.items]:
        raise DataError("the maps of a trial are not those of val; search again with --restart")
    if objective == "top1_cls":
        classes = classified(stored.top5, stored.labels)
        if classes is None:
            raise DataError("search.objective: top1_cls needs a method that classifies; take another objective")
        return float(classes[0].mean() * 100)
    scores = score_split(list(stored.answers), val, Rules(threshold_grid(threshold_step)), jobs)
    if objective == "max_box_acc_v2":
        hits = scores.hits[0, 1]
        return max_box_acc_v2({iou: percent(hits[place], scores.images) for place, iou in enumerate(IOUS)})["mean"]
    if objective == "p_iou":
        return float(mask_ious(scores).max() * 100 / scores.images)
    return curve(scores.histogram(CHOE2020.name)).px_ap


def _train(plan: Plan, run: Run, place: Layout) -> None:
    cache = plan.settings.runtime.cache_folder or str(plan.layout.cache.resolve())  # the same as for other trainings
    runtime = plan.settings.runtime.model_copy(update={"visualisers": [], "cache_folder": cache})
    settings = plan.settings.model_copy(update={"runtime": runtime})
    _, weights_file = read_placed(place.weights(run.track_name), run.track.backbone, run.track.weights)
    try:
        build_method(run, plan.val.num_classes, weights_file)
    except (SettingsError, *_OF_THE_METHOD) as error:
        raise FailedTrialError(_one_line(error)) from error
    try:
        train(run, settings, place)
    except torch.AcceleratorError:
        raise
    except (DivergedError, *_OF_THE_METHOD) as error:
        raise FailedTrialError(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    """Return an error as one line that is the same wherever the checkout lies."""
    first = " ".join(str(error).split())
    text = first if isinstance(error, WsolbenchError) else f"{type(error).__name__}: {first}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
