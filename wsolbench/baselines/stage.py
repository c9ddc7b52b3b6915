"""The baseline stage: fit a baseline, predict its maps, evaluate them as any run's."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

from wsolbench.acquire.building import build_dataset
from wsolbench.baselines.base import Baseline, BaselineInputs
from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Run, Settings
from wsolbench.data.cache import Reading
from wsolbench.data.dataset import Split
from wsolbench.data.index import read_split
from wsolbench.evaluation.evaluate import evaluate_stored, write_evaluation, write_skipped
from wsolbench.models.pretrained import read_placed
from wsolbench.runs.scratch import exclusive, log_file

__all__ = ["run_baseline"]


def run_baseline(settings: Settings, key: str, layout: Layout, jobs: int | None) -> None:
    """Fit and evaluate the baseline that ``<track>-<baseline>-<seed>`` names.

    One that trains is skipped on a track where nothing is trained, with that reason.

    Raises:
        SettingsError: the key names no baseline.
        DataError: the data set is not prepared, or the baseline cannot use it.
    """
    run = settings.resolve(key)
    component: type[Baseline] = registry.load("baseline", run.method)
    prepared = layout.prepared(run.track_name)
    image_root = build_dataset(settings, run.track.dataset).image_root(prepared)
    weights, weights_file = read_placed(layout.weights(run.track_name), run.track.backbone, run.track.weights)
    record = _record(run, component, weights)
    if component.trains and run.track.epochs == 0:
        reason = "it trains by the track's recipe, and nothing is trained on this track"
        write_skipped(record | {"reason": reason}, layout)
        return
    splits = {name: read_split(prepared, name) for name in ("val", "test")}
    with exclusive(layout.work(key)) as work, log_file(layout.log(key)):
        inputs = BaselineInputs(
            run=run,
            train_size=len(read_split(prepared, "train")),
            val=splits["val"],
            test=splits["test"],
            image_root=image_root,
            weights_file=weights_file,
            runtime=settings.runtime,
            reading=Reading.of(settings.runtime, layout),
            work=work,
        )
        stored = component().predictions(inputs)
        used = {name: _of_maps(split, set(stored[name].ids.tolist())) for name, split in splits.items()}
        evaluation = evaluate_stored(record, stored, used, settings.evaluate, None, jobs)
        write_evaluation(evaluation, layout, run.track_name, key)
        shutil.rmtree(work, ignore_errors=True)


def _of_maps(split: Split, ids: set[str]) -> Split:
    return replace(split, items=[item for item in split.items if item.id in ids])


def _record(run: Run, component: type[Baseline], weights: dict[str, Any] | None) -> dict[str, Any]:
    record = run.as_dict()
    record["method"] |= {"title": component.title, "reference": component.reference, "status": "baseline"}
    return record | {"weights": weights}
