"""One trial: train with its parameters in a scratch place, predict `val`, judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import joblib
import torch

from wsolbench.acquire.building import build_dataset
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Run
from wsolbench.data.index import read_split
from wsolbench.data.scoremaps import MAPS_FILE, read_maps
from wsolbench.errors import DataError, SettingsError, TrainingError, WsolbenchError
from wsolbench.models.pretrained import read_placed
from wsolbench.runs.run_folder import read_record
from wsolbench.search.objective import judged
from wsolbench.search.plan import Plan
from wsolbench.training.building import build_method
from wsolbench.training.trainer import train

__all__ = ["FailedTrialError", "run_trial", "trainer_of"]

_DIVERGED = "the training has diverged"  # of the trainer's error about a map that is not finite
_OF_THE_METHOD = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class FailedTrialError(WsolbenchError):
    """A trial's parameters cannot be trained with; it counts, without a value."""


def trainer_of(plan: Plan) -> Callable[[int, Mapping[str, Any], Path], float]:
    """Return what runs a trial from its number, its parameters as Optuna holds them, and its scratch directory."""
    return lambda number, stored, folder: run_trial(plan, number, stored, folder)


def run_trial(plan: Plan, number: int, stored: Mapping[str, Any], folder: Path) -> float:
    """Train and judge a trial, from its start or from where a killed process saved its state.

    The directory that stands for ``data`` has no ``test`` in it (see :func:`wsolbench.search.plan.place_data`).

    Args:
        plan: the search.
        number: of the trial.
        stored: its parameters.
        folder: its scratch.

    Returns:
        Percent of ``val``.

    Raises:
        FailedTrialError: the training diverged, or the method cannot be built or trained with these parameters.
        DataError: data are missing or damaged.
        SettingsError: the device is not there.
        TrainingError: memory ran out, which says nothing about the parameters.
        InterruptedTrainingError: SIGINT or SIGTERM came; the state is saved.
    """
    run, place = plan.trial(number, stored), Layout(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    if not data.is_symlink():
        data.symlink_to(plan.folder.resolve() / "data")
    maps_file = place.run(run.key) / MAPS_FILE
    if not maps_file.is_file():  # else it was trained, and the process died while it was judged
        _train(plan, run, place)
    prepared = place.prepared(run.track_name)
    mask_root = build_dataset(plan.settings, run.track.dataset).image_root(prepared)
    digest = read_record(place, run.key)["files"].get(MAPS_FILE, "none")
    maps, val = read_maps(maps_file, "val", digest), read_split(prepared, "val")
    step = plan.settings.evaluate.threshold_step
    return judged(plan.objective, maps, val, mask_root, step, int(joblib.cpu_count()))


def _train(plan: Plan, run: Run, place: Layout) -> None:
    runtime = plan.settings.runtime.model_copy(update={"visualisers": [], "cache_folder": str(plan.cache)})
    settings = plan.settings.model_copy(update={"runtime": runtime})
    _, weights_file = read_placed(place.weights(run.track_name), run.track.backbone, run.track.weights)
    try:
        build_method(run, plan.val.num_classes, weights_file)
    except (SettingsError, *_OF_THE_METHOD) as error:
        raise FailedTrialError(_said(error)) from error
    try:
        train(run, settings, place)
    except TrainingError as error:
        if isinstance(error.__context__, RuntimeError):  # memory
            raise
        raise FailedTrialError(_said(error)) from error
    except DataError as error:
        if _DIVERGED not in str(error):
            raise
        raise FailedTrialError(_said(error)) from error
    except torch.AcceleratorError:
        raise
    except _OF_THE_METHOD as error:
        raise FailedTrialError(_said(error)) from error


def _said(error: Exception) -> str:
    """Return an error as one line that is the same wherever the checkout lies."""
    first = " ".join(str(error).split())
    text = first if isinstance(error, WsolbenchError) else f"{type(error).__name__}: {first}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


_LONGEST = 300
